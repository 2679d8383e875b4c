// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "../Market.sol";
import {Merkle} from "../Merkle.sol";
import {Cast} from "./Cast.sol";

/// @title What people do with their stake, and with a task before it runs.
abstract contract Opening is Cast {
    // ------------------------------------------------------------------ accounts

    function register(uint256 who, uint256 amount) external {
        _act(_member(who), _within(amount, 0, 5_000), _registerCall());
    }

    function depositStake(uint256 who, uint256 amount) external {
        _act(_member(who), _within(amount, 0, 5_000), abi.encodeCall(Market.depositStake, ()));
    }

    /// @dev Asks for more than is free now and then: that must not be given.
    function requestUnstake(uint256 who, uint256 amount) external {
        address person = _anyone(who);
        Account memory account = _account(person);
        uint64 asked = uint64(_within(amount, 0, uint256(account.stake) + 1));
        bool ok = _act(person, abi.encodeCall(Market.requestUnstake, (asked)));
        bool free = asked > 0 && asked <= account.stake - account.locked;
        vm.assertTrue(ok == free, "free stake, and no more, is one's own");
    }

    function cancelUnstake(uint256 who) external {
        _act(_anyone(who), abi.encodeCall(Market.cancelUnstake, ()));
    }

    function completeUnstake(uint256 who) external {
        address person = _anyone(who);
        Account memory account = _account(person);
        bool ok = _act(person, abi.encodeCall(Market.completeUnstake, ()));
        bool due = account.unbonding > 0 && _now() >= account.unbondAt;
        vm.assertTrue(ok == due, "stake comes back when its time is over, and not before");
    }

    function withdraw(uint256 who) external {
        address person = _anyone(who);
        uint64 balance = _account(person).balance;
        uint256 purse = person.balance;
        bool ok = _act(person, abi.encodeCall(Market.withdraw, ()));
        vm.assertEq(person.balance, ok ? purse + balance : purse, "a withdrawal pays the whole balance, once");
    }

    /// @dev An account that is a contract begins or ceases to refuse payments.
    function moody(bool refuses) external {
        guest.setRefuses(refuses);
    }

    /// @dev The owner, who deployed the market, keeps new tasks away for a while: nothing else may change by it.
    function pause(uint256 whether) external {
        bool paused = market.paused();
        if (!paused && whether % 4 == 0) market.pause();
        if (paused) market.unpause();
    }

    // ------------------------------------------------------------------ before the start

    function createTask(uint256 who, uint256 shape) external {
        if (jobs.length < MAX_JOBS && !market.paused()) _create(_member(who), _plan(shape));
    }

    function award(uint256 which, uint256 who, uint256 shape) external {
        Job storage chosen = _job(which);
        _award(chosen, _mostly(chosen.client, who), shape);
    }

    function accept(uint256 which, uint256 who) external {
        Job storage chosen = _job(which);
        if (chosen.crew.length > 0) _accept(chosen, who % chosen.crew.length);
    }

    function ready(uint256 which, uint256 who) external {
        Job storage chosen = _job(which);
        _act(_seated(chosen, who), abi.encodeCall(Market.ready, (chosen.id)));
    }

    function start(uint256 which, uint256 who) external {
        Job storage chosen = _job(which);
        _start(chosen, _mostly(chosen.client, who));
    }

    function cancel(uint256 which, uint256 who) external {
        Job storage chosen = _job(which);
        if (who % 4 != 0) return; // seldom: nothing comes after it
        uint256 owed = chosen.seated.length * market.getTask(chosen.id).plan.compensation;
        address caller = _mostly(chosen.client, who / 4);
        if (_act(caller, abi.encodeCall(Market.cancel, (chosen.id)))) {
            vm.assertTrue(caller == chosen.client, "only the client cancels");
            _gain(chosen.client, chosen.escrow - owed);
        }
    }

    // ------------------------------------------------------------------ single steps

    function _plan(uint256 shape) internal view returns (Plan memory plan) {
        plan.seats = uint16(_within(_more(shape, 0), 1, 4));
        plan.minTrainers = plan.seats == 1 ? 1 : uint16(_within(_more(shape, 1), 2, plan.seats));
        plan.chunks = uint32(_within(_more(shape, 2), plan.seats, 8));
        plan.rounds = uint32(_within(_more(shape, 3), 1, 3));
        plan.maxUnitPrice = uint64(_within(_more(shape, 4), 0, 1_000));
        plan.aggregatePrice = uint64(_within(_more(shape, 5), 0, 500));
        plan.stakePerSeat = uint64(_within(_more(shape, 6), 1, 1_000));
        plan.noShowPenalty = uint64(_within(_more(shape, 7), 0, plan.stakePerSeat));
        if (shape % 4 != 0) _planDisputes(plan, shape);
        plan.compensation = uint64(_within(_more(shape, 8), 0, _escrowOf(plan) / plan.seats));
        plan.bidUntil = _now() + uint64(_within(_more(shape, 9), 1, 20));
        plan.awardUntil = plan.bidUntil + uint64(_within(_more(shape, 10), 1, 60));
        plan.acceptUntil = plan.awardUntil + uint64(_within(_more(shape, 11), 1, 60));
        plan.standbyUntil = plan.acceptUntil + uint64(_within(_more(shape, 12), 1, 60));
        plan.startUntil = plan.standbyUntil + uint64(_within(_more(shape, 13), 1, 60));
        plan.endBy = plan.startUntil + uint64(_within(_more(shape, 14), 1, 600));
        plan.window = uint32(_within(_more(shape, 15), plan.auditors == 0 ? 0 : MIN_DISPUTE_TIME, 60));
    }

    function _planDisputes(Plan memory plan, uint256 shape) private pure {
        uint8 auditors = uint8(1 + 2 * _within(_more(shape, 16), 0, 2));
        plan.slash = uint64(_within(_more(shape, 20), 1, plan.stakePerSeat));
        plan.finderShare = uint16(_within(_more(shape, 21), 5_000, 10_000));
        uint256 most = _toFinder(plan, plan.slash) / auditors;
        if (most == 0) {
            plan.slash = plan.finderShare = 0;
            return;
        }
        plan.auditors = auditors;
        plan.auditPrice = uint64(_within(_more(shape, 17), 1, most < VALIDATOR_STAKE / 16 ? most : VALIDATOR_STAKE / 16));
        plan.audits = uint32(_within(_more(shape, 18), 0, 6));
        plan.bond = uint64(_within(_more(shape, 19), plan.auditors * plan.auditPrice, _toFinder(plan, plan.slash)));
        plan.disputeTime = uint32(_within(_more(shape, 22), MIN_DISPUTE_TIME, 400));
    }

    function _create(address client, Plan memory plan) internal {
        bytes32 manifest = bytes32(jobs.length + 1);
        uint256 escrow = _escrowOf(plan);
        vm.assertTrue(!_act(client, escrow + 1, _createCall(manifest, plan)), "the escrow is exact");
        vm.assertTrue(_act(client, escrow, _createCall(manifest, plan)), "a valid plan is refused");
        _lose(client, escrow);
        Job storage made = jobs.push();
        made.id = _taskId(client, manifest);
        made.client = client;
        made.escrow = escrow;
        made.phase = Phase.Created;
    }

    /// @dev The crew is everyone but the client, from some place on: the first are the primaries, then the standbys.
    function _award(Job storage chosen, address caller, uint256 shape) internal {
        Plan memory plan = market.getTask(chosen.id).plan;
        uint16 primaries = uint16(_within(_more(shape, 0), plan.minTrainers, plan.seats));
        uint64 unitPrice = uint64(_within(_more(shape, 1), 0, plan.maxUnitPrice));
        (address[] memory crew, bytes32[] memory leaves) = _crew(chosen, primaries, shape);
        bytes32 root = Merkle.root(leaves);
        if (!_act(caller, abi.encodeCall(Market.award, (chosen.id, root, unitPrice, primaries)))) return;
        vm.assertTrue(caller == chosen.client && chosen.crew.length == 0, "only the client awards, and once");
        chosen.crew = crew;
        chosen.awards = leaves;
        chosen.primaries = primaries;
        chosen.unitPrice = unitPrice;
    }

    function _crew(Job storage chosen, uint16 primaries, uint256 shape)
        private
        view
        returns (address[] memory crew, bytes32[] memory leaves)
    {
        uint256 size = people.length - 2;
        crew = new address[](size);
        leaves = new bytes32[](size);
        uint256 next = shape % people.length;
        for (uint256 i = 0; i < size; ++next) {
            address one = _member(next);
            if (one == chosen.client) continue;
            crew[i] = one;
            leaves[i] = _awardLeaf(chosen.id, one, UNITS_AWARDED, _rank(i, primaries));
            ++i;
        }
    }

    function _rank(uint256 place, uint16 primaries) internal pure returns (uint16) {
        return place < primaries ? 0 : uint16(place - primaries + 1);
    }

    function _acceptCall(Job storage chosen, uint256 place) internal view returns (bytes memory) {
        bytes32[] memory proof = Merkle.proof(chosen.awards, place);
        uint16 rank = _rank(place, chosen.primaries);
        return abi.encodeCall(Market.accept, (chosen.id, UNITS_AWARDED, rank, proof));
    }

    function _accept(Job storage chosen, uint256 place) internal returns (bool ok) {
        Plan memory plan = market.getTask(chosen.id).plan;
        address trainer = chosen.crew[place];
        Account memory account = _account(trainer);
        ok = _act(trainer, _acceptCall(chosen, place));
        if (!ok) return ok;
        chosen.seated.push(trainer);
        vm.assertLe(chosen.seated.length, chosen.primaries, "more seats are taken than awarded");
        vm.assertLe(plan.stakePerSeat, account.stake - account.locked, "a seat was taken without stake");
        uint64 until = place < chosen.primaries ? plan.acceptUntil : plan.standbyUntil;
        vm.assertLe(block.timestamp, until, "a seat was taken too late");
    }

    /// @dev Somebody else's place: the proof is right, the caller is not, though it has the stake.
    function _acceptForOther(Job storage chosen, address caller, uint256 place) internal {
        if (caller == chosen.crew[place]) return;
        uint64 stake = market.getTask(chosen.id).plan.stakePerSeat;
        if (!_act(caller, stake, _registerCall())) _act(caller, stake, abi.encodeCall(Market.depositStake, ()));
        vm.assertTrue(!_act(caller, _acceptCall(chosen, place)), "a place is personal");
    }

    function _start(Job storage chosen, address caller) internal {
        bool ok = _act(caller, abi.encodeCall(Market.start, (chosen.id)));
        if (ok) vm.assertTrue(caller == chosen.client, "only the client starts");
    }

    function _seated(Job storage chosen, uint256 seed) internal view returns (address) {
        if (chosen.seated.length == 0) return _anyone(seed);
        return _mostly(chosen.seated[(seed / 8) % chosen.seated.length], seed);
    }
}
