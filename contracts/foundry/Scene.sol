// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bench} from "./Bench.sol";
import {Market} from "./Market.sol";
import {Merkle} from "./Merkle.sol";

/// @title One task and its people, brought to any phase in one call: what the tests of single functions start from.
/// @dev Trainers 0 to 2 are the primaries, 3 and 4 the standbys of rank 1 and 2.
abstract contract Scene is Bench {
    bytes32 internal constant MANIFEST = "manifest";
    uint256 internal constant FUNDS = 10 ** 15;
    uint16 internal constant PRIMARIES = 3;
    uint64 internal constant UNIT_PRICE = 900;
    uint32 internal constant UNITS_EACH = 6;

    address internal client = address(0xC1);
    address internal stranger = address(0xEE);
    address[5] internal validators = [address(0xB0), address(0xB1), address(0xB2), address(0xB3), address(0xB4)];
    address[5] internal trainers = [address(0xA0), address(0xA1), address(0xA2), address(0xA3), address(0xA4)];
    bytes32 internal task;
    Plan internal plan;
    Credit[] internal credits;
    AuditCredit[] internal audits;

    function setUp() public virtual {
        _deploy();
        vm.deal(client, FUNDS);
        vm.deal(stranger, FUNDS);
        for (uint256 i = 0; i < 5; ++i) {
            vm.deal(trainers[i], FUNDS);
            vm.deal(validators[i], FUNDS);
            audits.push(AuditCredit(validators[i], 1));
        }
        task = _taskId(client, MANIFEST);
        plan = _usualPlan();
        for (uint256 i = 0; i < PRIMARIES; ++i) credits.push(Credit(trainers[i], UNITS_EACH, 1, false));
    }

    function _usualPlan() internal pure returns (Plan memory p) {
        p.chunks = 8;
        p.rounds = 3;
        p.seats = 4;
        p.minTrainers = 2;
        p.maxUnitPrice = 1_000;
        p.aggregatePrice = 500;
        p.stakePerSeat = 10_000;
        p.compensation = 300;
        p.noShowPenalty = 4_000;
        p.bidUntil = START + 100;
        p.awardUntil = START + 200;
        p.acceptUntil = START + 300;
        p.standbyUntil = START + 400;
        p.startUntil = START + 500;
        p.endBy = START + 5_000;
        p.window = 60;
        p.auditors = 3;
        p.auditPrice = 100;
        p.audits = 6;
        p.bond = 500;
        p.slash = 5_000;
        p.finderShare = 2_500;
        p.disputeTime = 600;
    }

    /// @dev A plan without audits and disputes.
    function _plainPlan() internal pure returns (Plan memory p) {
        p = _usualPlan();
        p.auditors = 0;
        p.auditPrice = p.bond = p.slash = 0;
        p.audits = p.disputeTime = p.finderShare = 0;
    }

    /// @dev A plan for one trainer, whose word alone is a quorum.
    function _soloPlan() internal pure returns (Plan memory p) {
        p = _usualPlan();
        p.seats = 1;
        p.minTrainers = 1;
    }

    // ------------------------------------------------------------------ what is called

    function _rank(uint256 i) internal pure returns (uint16) {
        return i < PRIMARIES ? 0 : uint16(i - PRIMARIES + 1);
    }

    function _awardLeaves() internal view returns (bytes32[] memory leaves) {
        leaves = new bytes32[](trainers.length);
        for (uint256 i = 0; i < leaves.length; ++i) leaves[i] = _awardLeaf(task, trainers[i], UNITS_EACH, _rank(i));
    }

    function _awardCall(uint64 unitPrice, uint16 primaries) internal view returns (bytes memory) {
        return abi.encodeCall(Market.award, (task, Merkle.root(_awardLeaves()), unitPrice, primaries));
    }

    function _acceptCall(uint256 i) internal view returns (bytes memory) {
        bytes32[] memory proof = Merkle.proof(_awardLeaves(), i);
        return abi.encodeCall(Market.accept, (task, UNITS_EACH, _rank(i), proof));
    }

    function _readyCall() internal view returns (bytes memory) {
        return abi.encodeCall(Market.ready, (task));
    }

    function _startCall() internal view returns (bytes memory) {
        return abi.encodeCall(Market.start, (task));
    }

    function _cancelCall() internal view returns (bytes memory) {
        return abi.encodeCall(Market.cancel, (task));
    }

    function _settleCall() internal view returns (bytes memory) {
        return abi.encodeCall(Market.settle, (task));
    }

    function _expireCall() internal view returns (bytes memory) {
        return abi.encodeCall(Market.expire, (task));
    }

    function _releaseCall(address trainer) internal view returns (bytes memory) {
        return abi.encodeCall(Market.release, (task, trainer));
    }

    function _claimCall(uint256 i) internal view returns (bytes memory) {
        return _claimCall(task, credits[i], Merkle.proof(_leaves(), i));
    }

    function _claimAuditsCall(uint256 i) internal view returns (bytes memory) {
        bytes32[] memory proof = Merkle.proof(_leaves(), credits.length + i);
        return abi.encodeCall(Market.claimAudits, (task, audits[i].validator, audits[i].audits, proof));
    }

    function _requestCall() internal view returns (bytes memory) {
        return abi.encodeCall(Market.requestDraw, (task));
    }

    function _drawCall() internal view returns (bytes memory) {
        return abi.encodeCall(Market.draw, (task));
    }

    function _leaves() internal view returns (bytes32[] memory) {
        return _creditLeaves(task, credits, audits);
    }

    /// @dev What the trainers confirm in the end.
    function _offer() internal view returns (Offer memory o) {
        o.task = task;
        o.round = plan.rounds;
        o.hash = "hash";
        o.logPosition = 41;
        for (uint256 i = 0; i < credits.length; ++i) {
            o.units += credits[i].units;
            o.aggregates += credits[i].aggregates;
        }
        for (uint256 i = 0; i < audits.length; ++i) o.audits += audits[i].audits;
        o.root = Merkle.root(_leaves());
    }

    // ------------------------------------------------------------------ whole phases

    function _register() internal {
        for (uint256 i = 0; i < trainers.length; ++i) _do(trainers[i], plan.stakePerSeat, _registerCall());
        for (uint256 i = 0; i < validators.length; ++i) {
            _do(validators[i], VALIDATOR_STAKE, _registerCall());
            _do(validators[i], _joinCall());
        }
    }

    function _created() internal {
        _register();
        _do(client, _escrowOf(plan), _createCall(MANIFEST, plan));
    }

    function _awarded(uint256 accepting) internal {
        _created();
        vm.warp(plan.bidUntil + 1);
        _do(client, _awardCall(UNIT_PRICE, plan.seats < PRIMARIES ? plan.seats : PRIMARIES));
        for (uint256 i = 0; i < accepting; ++i) _do(trainers[i], _acceptCall(i));
    }

    function _running() internal {
        uint256 seats = plan.seats < PRIMARIES ? plan.seats : PRIMARIES;
        _awarded(seats);
        for (uint256 i = 0; i < seats; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
    }

    function _progressed() internal {
        _running();
        _do(trainers[0], _checkpointCall(_offer()));
        _do(trainers[1], _checkpointCall(_offer()));
    }

    function _settling() internal {
        _running();
        _do(trainers[0], _publishCall(_offer()));
        _do(trainers[1], _confirmCall(_offer()));
    }

    function _settled() internal {
        _settling();
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
    }

    function _task() internal view returns (Task memory) {
        return market.getTask(task);
    }

    function _phase() internal view returns (Phase) {
        return _task().phase;
    }

    /// @dev All of an account's money.
    function _worth(address who) internal view returns (uint256) {
        Account memory a = _account(who);
        return who.balance + a.stake + a.unbonding + a.balance;
    }

    // ------------------------------------------------------------------ errors

    function _wrongPhase() internal view returns (bytes memory) {
        return abi.encodeWithSelector(WrongPhase.selector, task, _phase());
    }

    function _tooEarly(uint64 notBefore) internal view returns (bytes memory) {
        return abi.encodeWithSelector(TooEarly.selector, notBefore, uint64(block.timestamp));
    }

    function _tooLate(uint64 until) internal view returns (bytes memory) {
        return abi.encodeWithSelector(TooLate.selector, until, uint64(block.timestamp));
    }

    function _zero(bytes32 argument) internal pure returns (bytes memory) {
        return abi.encodeWithSelector(ZeroValue.selector, argument);
    }
}
