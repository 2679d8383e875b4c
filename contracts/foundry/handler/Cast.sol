// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bench} from "../Bench.sol";
import {Guest} from "../Guest.sol";

/// @title The people of the invariant tests, their tasks, and what each of them should own by the rules.
/// @dev `expected` is kept by the handler's own arithmetic and never read from the market: whoever is credited too
/// much, too little or twice differs from it.
abstract contract Cast is Bench {
    struct Job {
        bytes32 id;
        address client;
        uint256 escrow;
        uint64 unitPrice;
        address[] crew; // those of the award's root, in its order
        bytes32[] awards; // their leaves
        uint16 primaries;
        address[] seated; // those that accepted
        Phase phase; // as it was last seen
        uint32 round; // of the confirmed progress, as it was last seen
    }

    uint256 internal constant FUNDS = 10 ** 12;
    uint256 internal constant MAX_JOBS = 6;
    uint32 internal constant UNITS_AWARDED = 5;

    address[] internal people;
    address internal stranger; // calls what anyone may call, and never has a part in anything
    Guest internal guest;
    Job[] internal jobs;
    uint256 public minted; // tinybar that exist outside and inside the market
    uint256 public donated; // sent to the market without running its code
    mapping(address who => uint256) public expected; // purse, stake, unbonding and balance together

    constructor() {
        _deploy();
        minted = donated = 1;
        guest = new Guest();
        for (uint160 i = 1; i <= 10; ++i) _admit(address(0xA0 + i));
        _admit(address(guest));
        stranger = address(0xEE);
        _admit(stranger);
    }

    function _admit(address who) private {
        people.push(who);
        vm.deal(who, FUNDS);
        expected[who] = FUNDS;
        minted += FUNDS;
    }

    function allJobs() external view returns (Job[] memory) {
        return jobs;
    }

    function allPeople() external view returns (address[] memory) {
        return people;
    }

    function guestGotIn() external view returns (bool) {
        return guest.gotIn();
    }

    // ------------------------------------------------------------------ acting

    /// @dev Whatever a call does, money moves between its caller and the market alone.
    function _act(address who, uint256 value, bytes memory call) internal returns (bool ok) {
        uint256 both = who.balance + address(market).balance;
        (ok,) = _try(who, value, call);
        for (uint256 i = 0; ok && i < jobs.length; ++i) _watch(jobs[i]);
        vm.assertEq(who.balance + address(market).balance, both, "a call moved a third account's money");
    }

    function _act(address who, bytes memory call) internal returns (bool ok) {
        return _act(who, 0, call);
    }

    /// @dev Phases follow one another as the table of exits says, and progress only grows.
    function _watch(Job storage watched) private {
        Task memory task = market.getTask(watched.id);
        if (task.phase != watched.phase) {
            vm.assertTrue(_follows(watched.phase, task.phase), "a phase came out of its order");
            watched.phase = task.phase;
        }
        vm.assertLe(watched.round, task.progress.round, "confirmed progress was undone");
        watched.round = task.progress.round;
    }

    function _follows(Phase before, Phase next) private pure returns (bool) {
        if (before == Phase.Created) return next == Phase.Awarded || next == Phase.Cancelled || next == Phase.Expired;
        if (before == Phase.Awarded) return next == Phase.Running || next == Phase.Cancelled || next == Phase.Expired;
        if (before == Phase.Running) return next == Phase.Settling || next == Phase.Settled || next == Phase.Expired;
        if (before == Phase.Settling) return next == Phase.Settled;
        return before == Phase.Settled && next == Phase.Lapsed;
    }

    function _gain(address who, uint256 amount) internal {
        expected[who] += amount;
    }

    function _lose(address who, uint256 amount) internal {
        expected[who] -= amount;
    }

    // ------------------------------------------------------------------ choosing

    function _anyone(uint256 seed) internal view returns (address) {
        return people[seed % people.length];
    }

    /// @dev Anyone but the stranger: the ones who register, train, and buy.
    function _member(uint256 seed) internal view returns (address) {
        return people[seed % (people.length - 1)];
    }

    /// @dev The one who may, and now and then somebody else.
    function _mostly(address rightful, uint256 seed) internal view returns (address) {
        return seed % 8 == 0 ? _anyone(seed / 8) : rightful;
    }

    function _job(uint256 seed) internal view returns (Job storage) {
        return jobs[seed % jobs.length];
    }

    function _now() internal view returns (uint64) {
        return uint64(block.timestamp);
    }

    function _until(uint256 time) internal {
        if (time > block.timestamp) vm.warp(time);
    }
}
