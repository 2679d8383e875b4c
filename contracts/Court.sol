// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {Validators} from "./Validators.sol";

/// @title Disputes: somebody puts down a bond, a jury of validators decides, the side that was wrong pays.
/// @dev The bond is the pay of the jurors that decided, whoever was right; what fraud costs comes out of stakes. Nobody
/// gains by a dispute that was not upheld but its jurors. Several may be open about the same, each with another subject,
/// so that none keeps out another. Every dispute ends by a deadline, without a jury if need be, and no task is settled or
/// expires before its disputes have ended.
/// This contract holds nothing: `TrainingMarket` runs its code on its own books, since both together are larger than a
/// contract may be. Called directly it knows no task and no account, and refuses.
// slither-disable-next-line locked-ether
contract Court is Validators {
    using Checkpoints for Checkpoints.Trace160;

    // ------------------------------------------------------------------ opening

    /// @notice Say that a trainer's work is not what it says; `evidence` is the hash of the entry in the task's log.
    function accuse(bytes32 taskId, address trainer, bytes32 evidence) external payable returns (bytes32 disputeId) {
        Task storage task = _disputable(taskId);
        Seat storage seat = _openSeat(taskId, trainer);
        if (!seat.ready) revert NotReady(taskId, trainer);
        if (seat.slashed) revert AlreadySlashed(taskId, trainer);
        // Else whoever gets its bond back, for want of a jury, could accuse for ever and keep a task from its end.
        if (task.phase == Phase.Running) _requireUntil(task.plan.endBy);
        else _requireWindow(taskId, task);
        if (msg.sender == trainer) revert OwnWork(taskId, trainer);
        if (evidence == 0) revert ZeroValue("evidence");
        return _open(taskId, task, DisputeKind.Fraud, trainer, evidence);
    }

    /// @notice Say that the confirmed result does not follow from the task's log, and what does.
    function challengeResult(bytes32 taskId, Result calldata right) external payable returns (bytes32 disputeId) {
        Task storage task = _disputable(taskId);
        // One result is replaced once: a jury's word is not put before another jury.
        if (task.rightProposal != 0) revert AlreadyDisputed(taskId);
        _requireWindow(taskId, task);
        return _openResult(taskId, task, DisputeKind.Result, right);
    }

    /// @notice Ask a jury for the result that a quorum owes: after the deadline, while the task can still be saved.
    function appeal(bytes32 taskId, Result calldata right) external payable returns (bytes32 disputeId) {
        Task storage task = _disputable(taskId);
        _requirePhase(taskId, task, Phase.Running);
        _requireAfter(task.plan.endBy);
        _requireUntil(task.plan.endBy + task.plan.disputeTime);
        return _openResult(taskId, task, DisputeKind.Appeal, right);
    }

    function _disputable(bytes32 taskId) private view returns (Task storage task) {
        task = _task(taskId);
        if (task.plan.auditors == 0) revert NoDisputes(taskId);
        _registered(msg.sender);
    }

    /// @dev The window of a confirmed result.
    function _requireWindow(bytes32 taskId, Task storage task) private view {
        _requirePhase(taskId, task, Phase.Settling);
        if (_time() >= task.settleAfter) revert TooLate(task.settleAfter - 1, _time());
    }

    function _openResult(bytes32 taskId, Task storage task, DisputeKind kind, Result calldata right)
        private
        returns (bytes32 disputeId)
    {
        // What a quorum has confirmed is no bound here: it may be what is wrong.
        _requireBounds(task.plan, right);
        bytes32 proposal = _proposalOf(taskId, right);
        if (kind == DisputeKind.Result && proposal == _proposalOf(taskId, task.result)) {
            revert SameResult(taskId, proposal);
        }
        disputeId = _open(taskId, task, kind, address(0), proposal);
        _disputes[disputeId].replacement = right;
        emit ReplacementProposed(taskId, disputeId, right);
    }

    function _open(bytes32 taskId, Task storage task, DisputeKind kind, address accused, bytes32 subject)
        private
        returns (bytes32 disputeId)
    {
        if (_disputed[taskId][accused][subject]) revert AlreadyDisputed(taskId);
        uint64 bond = task.plan.bond;
        if (msg.value != bond) revert WrongBond(bond, msg.value);
        task.disputes += 1;
        task.openDisputes += 1;
        _disputed[taskId][accused][subject] = true;
        _totalEscrow += bond;
        disputeId = keccak256(abi.encode(taskId, task.disputes));
        Dispute storage dispute = _disputes[disputeId];
        dispute.taskId = taskId;
        dispute.kind = kind;
        dispute.state = DisputeState.Open;
        dispute.bond = bond;
        dispute.openedAt = _time();
        dispute.drawBlock = uint64(block.number);
        dispute.challenger = msg.sender;
        dispute.accused = accused;
        dispute.subject = subject;
        emit DisputeOpened(taskId, disputeId, kind, msg.sender, accused, subject, bond);
    }

    // ------------------------------------------------------------------ the jury

    /// @notice Draw the jury of a dispute; anyone may, from the second block after it was opened on. Where nobody has for
    /// 257 blocks, this asks for it anew.
    function drawJury(bytes32 disputeId) external {
        Dispute storage dispute = _openDispute(disputeId);
        if (dispute.decideBy != 0) revert AlreadyDrawn(disputeId);
        bytes32 taskId = dispute.taskId;
        Task storage task = _tasks[taskId];
        _requireUntil(dispute.openedAt + task.plan.disputeTime);
        if (_isLate(dispute.drawBlock)) {
            dispute.drawBlock = uint64(block.number);
            emit JuryRequested(taskId, disputeId);
            return;
        }
        bytes32 seed = _seed(dispute.drawBlock, disputeId);
        address[] memory jury = _pick(taskId, task, seed, dispute.drawBlock, dispute.challenger);
        for (uint256 i = 0; i < jury.length; ++i) {
            _ballots[disputeId][jury[i]] = Ballot.Due;
            _validators[jury[i]].duties += 1;
        }
        dispute.jury = jury;
        dispute.decideBy = _time() + task.plan.disputeTime;
        emit JuryDrawn(taskId, disputeId, _members(jury), dispute.decideBy);
    }

    /// @notice Vote as a juror: whether the challenger is right.
    function judge(bytes32 disputeId, bool upheld) external {
        Ballot ballot = _ballots[disputeId][msg.sender];
        if (ballot == Ballot.Uphold || ballot == Ballot.Reject) revert AlreadyJudged(disputeId, msg.sender);
        Dispute storage dispute = _openDispute(disputeId);
        if (ballot == Ballot.None) revert NotAJuror(disputeId, msg.sender);
        _requireUntil(dispute.decideBy);
        _ballots[disputeId][msg.sender] = upheld ? Ballot.Uphold : Ballot.Reject;
        if (upheld) dispute.upheld += 1;
        else dispute.rejected += 1;
        emit Judged(dispute.taskId, disputeId, msg.sender, upheld);
    }

    /// @notice End a dispute: when all jurors have voted, or the time for it has passed. Anyone may.
    function resolve(bytes32 disputeId) external {
        Dispute storage dispute = _openDispute(disputeId);
        uint256 jurors = dispute.jury.length;
        if (jurors == 0) {
            _requireAfter(dispute.openedAt + _tasks[dispute.taskId].plan.disputeTime);
        } else if (uint256(dispute.upheld) + dispute.rejected < jurors) {
            _requireAfter(dispute.decideBy);
        }
        DisputeState outcome = DisputeState.Void;
        if (uint256(dispute.upheld) * 2 > jurors) outcome = DisputeState.Upheld;
        else if (uint256(dispute.rejected) * 2 > jurors) outcome = DisputeState.Rejected;
        _close(disputeId, dispute, outcome);
    }

    // ------------------------------------------------------------------ the end

    function _openDispute(bytes32 disputeId) private view returns (Dispute storage dispute) {
        dispute = _disputes[disputeId];
        if (dispute.state == DisputeState.None) revert UnknownDispute(disputeId);
        if (dispute.state != DisputeState.Open) revert AlreadyResolved(disputeId);
    }

    function _close(bytes32 disputeId, Dispute storage dispute, DisputeState outcome) private {
        bytes32 taskId = dispute.taskId;
        Task storage task = _tasks[taskId];
        // Two juries may find the same: the first has settled it.
        bool settled = dispute.kind == DisputeKind.Fraud
            ? _seats[taskId][dispute.accused].slashed
            : task.rightProposal != 0;
        if (outcome == DisputeState.Upheld && settled) outcome = DisputeState.Void;
        dispute.state = outcome;
        task.openDisputes -= 1;
        _disputed[taskId][dispute.accused][dispute.subject] = false;
        uint64 bond = dispute.bond;
        _totalEscrow -= bond;
        uint64 returned = outcome == DisputeState.Void ? bond : 0;
        _dismiss(disputeId, dispute, outcome, bond - returned);
        _credit(dispute.challenger, returned);
        emit DisputeClosed(taskId, disputeId, outcome, dispute.challenger, returned);
        if (outcome == DisputeState.Upheld) _punish(disputeId, dispute, task);
    }

    /// @dev Jurors that voted for the outcome share what is paid and what the others lose: those that voted against it, or
    /// not at all. In a void dispute each vote is as good; and where there is none, nobody is fined, since there is nobody
    /// to whom it could go and who could not have wanted it so.
    function _dismiss(bytes32 disputeId, Dispute storage dispute, DisputeState outcome, uint64 paid) private {
        uint64 price = _tasks[dispute.taskId].plan.auditPrice;
        uint64 right = uint64(dispute.upheld) + dispute.rejected;
        if (outcome == DisputeState.Upheld) right = dispute.upheld;
        else if (outcome == DisputeState.Rejected) right = dispute.rejected;
        uint256 jurors = dispute.jury.length;
        for (uint256 i = 0; i < jurors; ++i) {
            address juror = dispute.jury[i];
            _validators[juror].duties -= 1;
            if (right == 0 || _isRight(_ballots[disputeId][juror], outcome)) continue;
            uint64 fine = _fine(juror, price);
            paid += fine;
            emit JurorFined(dispute.taskId, disputeId, juror, fine);
        }
        uint64 extra = right == 0 ? 0 : paid % right; // to the first
        for (uint256 i = 0; i < jurors; ++i) {
            address juror = dispute.jury[i];
            if (right == 0 || !_isRight(_ballots[disputeId][juror], outcome)) continue;
            uint64 share = paid / right + extra;
            extra = 0;
            _credit(juror, share);
            emit JurorPaid(dispute.taskId, disputeId, juror, share);
        }
    }

    function _isRight(Ballot ballot, DisputeState outcome) private pure returns (bool) {
        if (outcome == DisputeState.Upheld) return ballot == Ballot.Uphold;
        if (outcome == DisputeState.Rejected) return ballot == Ballot.Reject;
        return ballot != Ballot.Due;
    }

    function _punish(bytes32 disputeId, Dispute storage dispute, Task storage task) private {
        bytes32 taskId = dispute.taskId;
        if (dispute.kind == DisputeKind.Fraud) {
            _seats[taskId][dispute.accused].slashed = true;
            uint64 slash = task.plan.slash;
            uint64 toFinder = _finderPart(task.plan, slash);
            _forfeitStake(dispute.accused, slash);
            _credit(dispute.challenger, toFinder);
            _credit(task.client, slash - toFinder);
            emit Slashed(taskId, dispute.accused, toFinder, slash - toFinder);
            return;
        }
        if (dispute.kind == DisputeKind.Appeal) {
            task.appealed = true;
            task.phase = Phase.Settling;
            task.settleAfter = _time();
            // Work does not become less: a progress with more of it was wrong, and costs what a wrong result does.
            if (dispute.replacement.units < task.progress.units) {
                task.wrongProposal = _checkpointOf(taskId, task.progress);
            }
        } else {
            task.wrongProposal = _proposalOf(taskId, task.result);
        }
        task.rightProposal = dispute.subject;
        task.finder = dispute.challenger;
        task.result = dispute.replacement;
        emit ResultReplaced(taskId, disputeId, task.result.result, task.settleAfter);
    }

    // ------------------------------------------------------------------ views

    /// @notice A dispute, and the ballots of its jury in order.
    function getDispute(bytes32 disputeId) external view returns (Dispute memory dispute, Ballot[] memory ballots) {
        dispute = _disputes[disputeId];
        ballots = new Ballot[](dispute.jury.length);
        for (uint256 i = 0; i < ballots.length; ++i) {
            ballots[i] = _ballots[disputeId][dispute.jury[i]];
        }
    }

    /// @notice A validator, and how many there are in the pool.
    function getValidator(address account) external view returns (Validator memory validator, uint256 poolSize) {
        return (_validators[account], _poolSizes.latest());
    }
}
