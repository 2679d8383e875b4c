// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "../Market.sol";
import {Vm} from "../Cheats.sol";
import {Voting} from "./Voting.sol";

/// @title Validators, what is drawn for them, and disputes from their opening to their end.
abstract contract Disputes is Voting {
    bytes32[] internal cases; // disputes
    mapping(bytes32 dispute => uint256 job) internal jobOfCase;
    mapping(bytes32 task => mapping(address validator => bool)) internal drawn; // for audits
    mapping(bytes32 task => bytes32 proposal) internal wrongOf; // a result that a jury replaced
    mapping(bytes32 task => address) internal finderOf; // who asked for that

    function allCases() external view returns (bytes32[] memory) {
        return cases;
    }

    function openCases(bytes32 task) external view returns (uint256) {
        return _openCases(task);
    }

    // ------------------------------------------------------------------ validators and audits

    function joinValidators(uint256 who) external {
        address person = _member(who);
        Account memory account = _account(person);
        Validator memory before = _validator(person);
        bool able = account.signingKey != 0 && before.place == 0
            && account.stake - account.locked >= VALIDATOR_STAKE - before.stake;
        vm.assertTrue(_act(person, _joinCall()) == able, "who has the stake can be a validator, once");
    }

    function leaveValidators(uint256 who, uint256 seldom) external {
        if (seldom % 3 == 0) _act(_anyone(who), _leaveCall());
    }

    function requestDraw(uint256 which, uint256 who) external {
        Job storage chosen = _job(which);
        _act(_voter(chosen, who), abi.encodeCall(Market.requestDraw, (chosen.id)));
    }

    function draw(uint256 which, uint256 who) external {
        _draw(_job(which), _anyone(who));
    }

    // ------------------------------------------------------------------ disputes

    function accuse(uint256 which, uint256 who, uint256 trainer) external {
        Job storage chosen = _job(which);
        address challenger = _anyone(who);
        _open(chosen, challenger, _accuseCall(chosen.id, _seated(chosen, trainer)));
    }

    function challengeResult(uint256 which, uint256 who, uint256 fault) external {
        Job storage chosen = _job(which);
        if (chosen.seated.length > 0) _challenge(chosen, _anyone(who), fault);
    }

    function appeal(uint256 which, uint256 who, uint256 fault) external {
        Job storage chosen = _job(which);
        if (chosen.seated.length > 0) _appeal(chosen, _anyone(who), fault);
    }

    function drawJury(uint256 which, uint256 who) external {
        if (cases.length > 0) _drawJury(cases[which % cases.length], _anyone(who));
    }

    function judge(uint256 which, uint256 who, uint256 verdict) external {
        if (cases.length == 0) return;
        bytes32 id = cases[which % cases.length];
        (Dispute memory dispute,) = market.getDispute(id);
        address juror = _anyone(who);
        if (dispute.jury.length > 0) juror = _mostly(dispute.jury[(who / 8) % dispute.jury.length], who);
        _judge(id, juror, verdict % 3 != 0);
    }

    function resolve(uint256 which, uint256 who) external {
        if (cases.length > 0) _resolve(cases[which % cases.length], _anyone(who));
    }

    /// @dev One dispute the whole way, as far as time allows: most jurors vote, most of them alike.
    function pursue(uint256 which, uint256 seed) external {
        Job storage chosen = _job(which);
        _open(chosen, _member(_more(seed, 8)), _accuseCall(chosen.id, _seated(chosen, _more(seed, 9))));
        if (cases.length == 0) return;
        bytes32 id = cases[cases.length - 1 - which % (cases.length < 3 ? cases.length : 3)];
        (Dispute memory dispute,) = market.getDispute(id);
        if (dispute.state != DisputeState.Open) return;
        if (dispute.decideBy == 0) {
            _until(dispute.openedAt + 2);
            _drawJury(id, stranger);
            (dispute,) = market.getDispute(id);
        }
        for (uint256 i = 0; i < dispute.jury.length; ++i) {
            uint256 mood = _more(seed, i) % 8;
            if (mood != 0) _judge(id, dispute.jury[i], (mood == 1) != (seed % 3 != 0));
        }
        if (seed % 2 == 0) _until(dispute.decideBy + 1);
        _resolve(id, stranger);
    }

    // ------------------------------------------------------------------ single steps

    function _draw(Job storage chosen, address caller) internal {
        vm.recordLogs();
        if (!_act(caller, abi.encodeCall(Market.draw, (chosen.id)))) return;
        Vm.Log[] memory logs = vm.getRecordedLogs();
        if (logs[logs.length - 1].topics[0] == DrawRequested.selector) return; // asked for anew
        (,, Member[] memory committee) = abi.decode(logs[logs.length - 1].data, (uint32, bytes32, Member[]));
        vm.assertEq(committee.length, market.getTask(chosen.id).plan.auditors, "a committee is not complete");
        for (uint256 i = 0; i < committee.length; ++i) {
            _checkDrawn(chosen, committee[i].validator, address(0));
            drawn[chosen.id][committee[i].validator] = true;
        }
    }

    function _checkDrawn(Job storage chosen, address who, address challenger) private view {
        vm.assertTrue(_validator(who).stake != 0, "somebody was drawn whose stake is gone");
        bool part = who == chosen.client || who == challenger || _isSeated(chosen, who);
        vm.assertTrue(!part, "somebody was drawn who has a part in it");
    }

    function _challenge(Job storage chosen, address challenger, uint256 fault) internal {
        Plan memory plan = market.getTask(chosen.id).plan;
        _open(chosen, challenger, _challengeCall(_offer(chosen, plan, plan.rounds, fault % FAULTS)));
    }

    function _appeal(Job storage chosen, address challenger, uint256 fault) internal {
        Plan memory plan = market.getTask(chosen.id).plan;
        _open(chosen, challenger, _appealCall(_offer(chosen, plan, plan.rounds, fault % FAULTS)));
    }

    function _open(Job storage chosen, address challenger, bytes memory call) internal {
        Task memory task = market.getTask(chosen.id);
        if (!_act(challenger, task.plan.bond, call)) return;
        vm.assertTrue(task.plan.auditors > 0, "a dispute in a task without any");
        _lose(challenger, task.plan.bond);
        bytes32 id = keccak256(abi.encode(chosen.id, task.disputes + 1));
        cases.push(id);
        jobOfCase[id] = _indexOf(chosen);
    }

    function _drawJury(bytes32 id, address caller) internal {
        if (!_act(caller, abi.encodeCall(Market.drawJury, (id)))) return;
        (Dispute memory dispute,) = market.getDispute(id);
        if (dispute.decideBy == 0) return; // asked for anew
        Job storage chosen = jobs[jobOfCase[id]];
        vm.assertEq(dispute.jury.length, market.getTask(chosen.id).plan.auditors, "a jury is not complete");
        for (uint256 i = 0; i < dispute.jury.length; ++i) {
            _checkDrawn(chosen, dispute.jury[i], dispute.challenger);
            for (uint256 k = 0; k < i; ++k) {
                vm.assertTrue(dispute.jury[i] != dispute.jury[k], "somebody sits on a jury twice");
            }
        }
    }

    function _judge(bytes32 id, address juror, bool verdict) internal {
        (Dispute memory dispute, Ballot[] memory ballots_) = market.getDispute(id);
        bool due;
        for (uint256 i = 0; i < ballots_.length; ++i) {
            if (dispute.jury[i] == juror) due = ballots_[i] == Ballot.Due;
        }
        due = due && dispute.state == DisputeState.Open && _now() <= dispute.decideBy;
        bool ok = _act(juror, abi.encodeCall(Market.judge, (id, verdict)));
        vm.assertTrue(ok == due, "jurors judge in time, once, and nobody else does");
    }

    /// @dev Who pays whom is computed here from the ballots, before the market does it.
    function _resolve(bytes32 id, address caller) internal returns (bool ok) {
        (Dispute memory dispute, Ballot[] memory ballots_) = market.getDispute(id);
        Task memory task = market.getTask(dispute.taskId);
        bytes32 standing = _standing(dispute.taskId, task);
        bool settled = dispute.kind == DisputeKind.Fraud
            ? _seat(dispute.taskId, dispute.accused).slashed
            : task.rightProposal != 0;
        uint256[] memory stakes = new uint256[](ballots_.length);
        for (uint256 i = 0; i < stakes.length; ++i) stakes[i] = _validator(dispute.jury[i]).stake;
        ok = _act(caller, abi.encodeCall(Market.resolve, (id)));
        if (!ok) return ok;
        vm.assertTrue(dispute.state == DisputeState.Open, "a dispute was closed twice");
        uint256 deadline = dispute.decideBy == 0 ? dispute.openedAt + task.plan.disputeTime : dispute.decideBy;
        bool all = dispute.decideBy != 0 && dispute.upheld + dispute.rejected == ballots_.length;
        vm.assertTrue(all || _now() > deadline, "a dispute ended before its jury had its time");
        DisputeState outcome = _verdict(ballots_);
        if (outcome == DisputeState.Upheld && settled) outcome = DisputeState.Void;
        (Dispute memory closed,) = market.getDispute(id);
        vm.assertTrue(closed.state == outcome, "a dispute ended otherwise than its jury voted");
        _payJury(dispute, task, ballots_, stakes, outcome);
        if (outcome != DisputeState.Upheld) return ok;
        if (dispute.kind == DisputeKind.Fraud) {
            uint256 toFinder = _toFinder(task.plan, task.plan.slash);
            _lose(dispute.accused, task.plan.slash);
            _gain(dispute.challenger, toFinder);
            _gain(task.client, task.plan.slash - toFinder);
            return ok;
        }
        if (dispute.kind == DisputeKind.Result) wrongOf[dispute.taskId] = standing;
        else if (dispute.replacement.units < task.progress.units) wrongOf[dispute.taskId] = _progressOf(dispute.taskId, task);
        upheld[dispute.taskId] = dispute.subject;
        finderOf[dispute.taskId] = dispute.challenger;
    }

    function _verdict(Ballot[] memory ballots_) private pure returns (DisputeState) {
        uint256 for_;
        uint256 against;
        for (uint256 i = 0; i < ballots_.length; ++i) {
            if (ballots_[i] == Ballot.Uphold) ++for_;
            if (ballots_[i] == Ballot.Reject) ++against;
        }
        if (for_ * 2 > ballots_.length) return DisputeState.Upheld;
        return against * 2 > ballots_.length ? DisputeState.Rejected : DisputeState.Void;
    }

    function _progressOf(bytes32 id, Task memory task) private pure returns (bytes32) {
        Progress memory p = task.progress;
        return _checkpointProposal(Offer(id, p.round, p.checkpoint, 0, p.units, p.aggregates, p.audits, p.creditsRoot));
    }

    /// @dev Nobody but jurors gains by it here: not by a bond, and not by what another juror loses.
    function _payJury(
        Dispute memory dispute,
        Task memory task,
        Ballot[] memory ballots_,
        uint256[] memory stakes,
        DisputeState outcome
    ) private {
        uint256 right;
        uint256 pot = outcome == DisputeState.Void ? 0 : dispute.bond;
        for (uint256 i = 0; i < ballots_.length; ++i) if (_wins(ballots_[i], outcome)) ++right;
        for (uint256 i = 0; i < ballots_.length; ++i) {
            if (right == 0 || _wins(ballots_[i], outcome)) continue;
            uint256 fine = task.plan.auditPrice < stakes[i] ? task.plan.auditPrice : stakes[i];
            _lose(dispute.jury[i], fine);
            pot += fine;
        }
        uint256 first = right == 0 ? 0 : pot % right;
        for (uint256 i = 0; i < ballots_.length; ++i) {
            if (!_wins(ballots_[i], outcome)) continue;
            _gain(dispute.jury[i], pot / right + first);
            first = 0;
        }
        if (outcome == DisputeState.Void) _gain(dispute.challenger, dispute.bond);
    }

    function _wins(Ballot ballot, DisputeState outcome) private pure returns (bool) {
        if (outcome == DisputeState.Void) return ballot == Ballot.Uphold || ballot == Ballot.Reject;
        return ballot == (outcome == DisputeState.Upheld ? Ballot.Uphold : Ballot.Reject);
    }

    function _openCases(bytes32 task) internal view returns (uint256 open) {
        for (uint256 i = 0; i < cases.length; ++i) {
            (Dispute memory dispute,) = market.getDispute(cases[i]);
            if (dispute.taskId == task && dispute.state == DisputeState.Open) ++open;
        }
    }
}
