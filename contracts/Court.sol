// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Validators} from "./Validators.sol";

/// @title Disputes: somebody puts down a bond, a jury of validators decides, the side that was wrong pays.
/// @dev The jury's fee comes out of the bond, whoever wins; what fraud costs comes out of stakes. Every dispute ends by
/// a deadline, without a jury if need be, and no task is settled or expires before its disputes have ended.
/// This contract holds nothing: `TrainingMarket` runs its code on its own books, since both together are larger than a
/// contract may be. Called directly it knows no task and no account, and refuses.
// slither-disable-next-line locked-ether
contract Court is Validators {
    // ------------------------------------------------------------------ opening

    /// @notice Say that a trainer's work is not what it says; `evidence` is the hash of the entry in the task's log.
    function accuse(bytes32 taskId, address trainer, bytes32 evidence) external payable returns (bytes32 disputeId) {
        Task storage task = _disputable(taskId);
        Seat storage seat = _openSeat(taskId, trainer);
        if (seat.accused) revert AlreadyDisputed(taskId);
        if (seat.slashed) revert AlreadySlashed(taskId, trainer);
        // Else whoever gets its bond back, for want of a jury, could accuse for ever and keep a task from its end.
        if (task.phase == Phase.Running) _requireUntil(task.plan.endBy);
        else _requireWindow(taskId, task);
        if (msg.sender == trainer) revert OwnWork(taskId, trainer);
        if (evidence == 0) revert ZeroValue("evidence");
        seat.accused = true;
        return _open(taskId, task, DisputeKind.Fraud, trainer, evidence);
    }

    /// @notice Say that the confirmed result does not follow from the task's log, and what does.
    function challengeResult(bytes32 taskId, Result calldata right) external payable returns (bytes32 disputeId) {
        Task storage task = _disputable(taskId);
        // One result is replaced once: a jury's word is not put before another jury.
        if (task.resultDisputed || task.rightProposal != 0) revert AlreadyDisputed(taskId);
        _requireWindow(taskId, task);
        return _openResult(taskId, task, DisputeKind.Result, right);
    }

    /// @notice Ask a jury for the result that a quorum owes: after the deadline, while the task can still be saved.
    function appeal(bytes32 taskId, Result calldata right) external payable returns (bytes32 disputeId) {
        Task storage task = _disputable(taskId);
        if (task.resultDisputed) revert AlreadyDisputed(taskId);
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
        _requireResult(task, right);
        bytes32 proposal = _proposalOf(taskId, right);
        if (kind == DisputeKind.Result && proposal == _proposalOf(taskId, task.result)) {
            revert SameResult(taskId, proposal);
        }
        task.resultDisputed = true;
        disputeId = _open(taskId, task, kind, address(0), proposal);
        _disputes[disputeId].replacement = right;
        emit ReplacementProposed(taskId, disputeId, right);
    }

    function _open(bytes32 taskId, Task storage task, DisputeKind kind, address accused, bytes32 subject)
        private
        returns (bytes32 disputeId)
    {
        uint64 bond = task.plan.bond;
        if (msg.value != bond) revert WrongBond(bond, msg.value);
        task.disputes += 1;
        task.openDisputes += 1;
        _totalEscrow += bond;
        disputeId = keccak256(abi.encode(taskId, task.disputes));
        Dispute storage dispute = _disputes[disputeId];
        dispute.taskId = taskId;
        dispute.kind = kind;
        dispute.state = DisputeState.Open;
        dispute.bond = bond;
        dispute.openedAt = _time();
        dispute.challenger = msg.sender;
        dispute.accused = accused;
        dispute.subject = subject;
        emit DisputeOpened(taskId, disputeId, kind, msg.sender, accused, subject, bond);
    }

    // ------------------------------------------------------------------ the jury

    /// @notice Draw the jury of a dispute; anyone may, in a later second. Without enough validators it ends at once.
    /// @dev What it calls is the network's own random contract, which calls nobody.
    // slither-disable-next-line reentrancy-no-eth
    function drawJury(bytes32 disputeId) external nonReentrant {
        Dispute storage dispute = _openDispute(disputeId);
        if (dispute.decideBy != 0) revert AlreadyDrawn(disputeId);
        bytes32 taskId = dispute.taskId;
        Task storage task = _tasks[taskId];
        _requireAfter(dispute.openedAt);
        _requireUntil(dispute.openedAt + task.plan.disputeTime);
        address[] memory jury = _pick(taskId, task, _seed(disputeId), dispute.challenger);
        if (jury.length < task.plan.auditors) {
            _close(disputeId, dispute, DisputeState.Void);
            return;
        }
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
        dispute.state = outcome;
        task.openDisputes -= 1;
        if (dispute.kind == DisputeKind.Fraud) _seats[taskId][dispute.accused].accused = false;
        else task.resultDisputed = false;

        // Who was right is paid by who was wrong: the challenger, or the accused trainer, or the client.
        address winner = task.client;
        if (outcome == DisputeState.Upheld) winner = dispute.challenger;
        else if (outcome == DisputeState.Rejected && dispute.kind == DisputeKind.Fraud) winner = dispute.accused;
        uint64 fees = _dismiss(disputeId, dispute, task.plan.auditPrice, outcome, winner);

        uint64 rest = dispute.bond - fees;
        address bondTo = outcome == DisputeState.Void ? dispute.challenger : winner;
        _totalEscrow -= dispute.bond;
        _credit(bondTo, rest);
        emit DisputeClosed(taskId, disputeId, outcome, bondTo, rest);
        if (outcome == DisputeState.Upheld) _punish(disputeId, dispute, task);
    }

    /// @dev Jurors that voted for the outcome are paid; those that voted against it, or not at all, are fined.
    function _dismiss(
        bytes32 disputeId,
        Dispute storage dispute,
        uint64 price,
        DisputeState outcome,
        address winner
    ) private returns (uint64 fees) {
        bytes32 taskId = dispute.taskId;
        for (uint256 i = 0; i < dispute.jury.length; ++i) {
            address juror = dispute.jury[i];
            Ballot ballot = _ballots[disputeId][juror];
            _validators[juror].duties -= 1;
            if (ballot == Ballot.Due || (outcome != DisputeState.Void && ballot != _ballotFor(outcome))) {
                uint64 fine = _fine(juror, price);
                _credit(winner, fine);
                emit JurorFined(taskId, disputeId, juror, winner, fine);
            } else if (outcome != DisputeState.Void) {
                fees += price;
                _credit(juror, price);
                emit JurorPaid(taskId, disputeId, juror, price);
            }
        }
    }

    function _ballotFor(DisputeState outcome) private pure returns (Ballot) {
        return outcome == DisputeState.Upheld ? Ballot.Uphold : Ballot.Reject;
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
        return (_validators[account], _pool.length);
    }
}
