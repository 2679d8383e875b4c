// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {MarketTypes} from "./MarketTypes.sol";
import {PlanRules} from "./PlanRules.sol";

/// @title What the market keeps, how money moves between its books, and who may call when.
/// @dev Accounting is by explicit totals (`liabilities`), never by `address(this).balance`: a native Hedera
/// transfer changes the balance without running any code here, so the invariant is balance >= liabilities.
/// Every variable is declared here and nowhere else: `TrainingMarket` runs the code of `Court` on these.
abstract contract MarketBooks is MarketTypes {
    // Court reads what the market's constructor and functions write.
    // slither-disable-start uninitialized-state
    uint64 internal _unbonding; // seconds until stake that was asked back can be withdrawn
    uint64 internal _validatorStake; // tinybar that each validator locks
    uint64 internal _minDisputeTime; // seconds
    uint64 internal _totalEscrow; // the bonds of open disputes included
    uint64 internal _totalStake; // what is unbonding included
    uint64 internal _totalBalances;

    mapping(address account => Account) internal _accounts;
    mapping(bytes32 taskId => Task) internal _tasks;
    mapping(bytes32 taskId => mapping(address trainer => Seat)) internal _seats;
    mapping(bytes32 taskId => mapping(bytes32 proposal => uint16)) internal _votes;
    mapping(bytes32 taskId => mapping(bytes32 proposal => mapping(address voter => bool))) internal _voted;

    // The pool of validators, with its past: who had a place after a block, and how many places there were.
    mapping(uint256 place => Checkpoints.Trace160) internal _places; // from 1
    Checkpoints.Trace160 internal _poolSizes;
    mapping(address account => Validator) internal _validators;
    mapping(bytes32 taskId => mapping(address validator => bool)) internal _auditor;
    mapping(bytes32 taskId => mapping(address validator => bool)) internal _auditsClaimed;
    mapping(bytes32 disputeId => Dispute) internal _disputes;
    mapping(bytes32 disputeId => mapping(address juror => Ballot)) internal _ballots;
    mapping(bytes32 taskId => mapping(address accused => mapping(bytes32 subject => bool))) internal _disputed;
    // slither-disable-end uninitialized-state

    // ------------------------------------------------------------------ who and when

    function _task(bytes32 taskId) internal view returns (Task storage task) {
        task = _tasks[taskId];
        if (task.phase == Phase.None) revert UnknownTask(taskId);
    }

    function _registered(address who) internal view returns (Account storage account) {
        account = _accounts[who];
        if (account.signingKey == 0) revert NotRegistered(who);
    }

    function _openSeat(bytes32 taskId, address trainer) internal view returns (Seat storage seat) {
        seat = _seats[taskId][trainer];
        if (!seat.accepted) revert NotAccepted(taskId, trainer);
        if (seat.closed) revert AlreadyClosed(taskId, trainer);
    }

    /// @dev Who got ready, and the client, but not where one vote is a quorum: it could then confirm that it owes
    /// nothing. Whoever never got ready could not train, and so could not know what to vote for.
    function _mayVote(bytes32 taskId, Task storage task, address who) internal view returns (bool) {
        if (who == task.client) return task.quorum > 1;
        Seat storage seat = _seats[taskId][who];
        return seat.ready && !seat.slashed;
    }

    function _requirePhase(bytes32 taskId, Task storage task, Phase phase) internal view {
        if (task.phase != phase) revert WrongPhase(taskId, task.phase);
    }

    function _time() internal view returns (uint64) {
        return uint64(block.timestamp);
    }

    function _requireUntil(uint64 until) internal view {
        if (_time() > until) revert TooLate(until, _time());
    }

    function _requireFrom(uint64 notBefore) internal view {
        if (_time() < notBefore) revert TooEarly(notBefore, _time());
    }

    function _requireAfter(uint64 last) internal view {
        _requireFrom(last + 1);
    }

    /// @dev What a result or a checkpoint claims has to be possible at all: in so many rounds, and no more.
    function _requireBounds(Plan storage plan, Result memory r) internal view {
        uint256 maxUnits = uint256(plan.chunks) * r.round;
        if (r.round > plan.rounds) revert OutOfBounds("round", plan.rounds, r.round);
        if (r.units > maxUnits) revert OutOfBounds("units", maxUnits, r.units);
        if (r.aggregates > r.round) revert OutOfBounds("aggregates", r.round, r.aggregates);
        if (r.audits > plan.audits) revert OutOfBounds("audits", plan.audits, r.audits);
        if (r.result == 0) revert ZeroValue("hash");
        if (r.creditsRoot == 0) revert ZeroValue("creditsRoot");
    }

    function _proposalOf(bytes32 taskId, Result memory r) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(taskId, r.result, r.logPosition, r.round, r.units, r.aggregates, r.audits, r.creditsRoot)
        );
    }

    function _checkpointOf(bytes32 taskId, Progress memory p) internal pure returns (bytes32) {
        return keccak256(abi.encode(taskId, p.round, p.checkpoint, p.units, p.aggregates, p.audits, p.creditsRoot));
    }

    /// @dev Tinybar fit in 64 bits: there are 5 * 10^18 in all.
    function _amount(uint256 value) internal pure returns (uint64) {
        if (value > type(uint64).max) revert AmountOutOfRange(value);
        return uint64(value);
    }

    // ------------------------------------------------------------------ money

    function _credit(address to, uint64 amount) internal {
        _accounts[to].balance += amount;
        _totalBalances += amount;
    }

    function _addStake(Account storage account, uint64 amount) internal {
        account.stake += amount;
        _totalStake += amount;
    }

    /// @dev Take locked stake for good; whoever calls this credits it to others.
    function _forfeitStake(address from, uint64 amount) internal {
        Account storage account = _accounts[from];
        account.locked -= amount;
        account.stake -= amount;
        _totalStake -= amount;
    }

    /// @dev Free stake begins to leave. A further request starts the clock anew for all of it.
    function _unbond(address who, uint64 amount) internal {
        Account storage account = _accounts[who];
        account.stake -= amount;
        account.unbonding += amount;
        account.unbondAt = _time() + _unbonding;
        emit UnstakeRequested(who, amount, account.unbondAt);
    }

    function _fromEscrow(Task storage task, address to, uint64 amount) internal {
        if (amount == 0) return;
        task.reserved -= amount;
        _totalEscrow -= amount;
        _credit(to, amount);
    }

    /// @dev The part of a slash that is the finder's; the rest is the client's, so nothing is lost by rounding.
    function _finderPart(Plan storage plan, uint64 amount) internal view returns (uint64) {
        return uint64(uint256(amount) * plan.finderShare / PlanRules.WHOLE);
    }

    /// @dev Never above the escrow: the counts and the price are bounded by what the escrow was computed from.
    function _price(Task storage task, uint32 units, uint32 aggregates, uint32 audits) internal view returns (uint64) {
        return units * task.unitPrice + aggregates * task.plan.aggregatePrice + audits * task.plan.auditPrice;
    }
}
