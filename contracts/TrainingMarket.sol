// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Ownable, Ownable2Step} from "@openzeppelin/contracts/access/Ownable2Step.sol";
import {Proxy} from "@openzeppelin/contracts/proxy/Proxy.sol";
import {Pausable} from "@openzeppelin/contracts/utils/Pausable.sol";
import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {Court} from "./Court.sol";
import {MarketBooks} from "./MarketBooks.sol";
import {PlanRules} from "./PlanRules.sol";

/// @title The escrow of shoal's market: stakes, tasks, votes on their progress, and who may take what out.
/// @notice Every amount is an integer number of tinybar, which is what Hedera's EVM gives as `msg.value`.
/// Nobody has power over anyone else's money. The owner can keep new tasks from being created, and nothing else.
/// @dev Money leaves by `withdraw` alone, to the caller alone. No call loops over trainers: each costs O(1), or
/// O(log n) in the length of a proof, or O(1) in the size of a jury, which is 7 at most. A repeated call is refused by
/// an `Already...` error that is checked before phase and time, so that whoever retries after a lost answer learns
/// that the first attempt took effect.
contract TrainingMarket is MarketBooks, Proxy, ReentrancyGuardTransient, Ownable2Step, Pausable {
    /// @notice How long trainers can claim after settlement. Anyone may claim for them.
    uint64 public constant CLAIM_PERIOD = 30 days;
    /// @dev Nobody's stake can be kept for longer, whatever a market was deployed with.
    uint64 private constant MAX_UNBONDING = 90 days;

    /// @notice The code of validators, draws and disputes; its functions are called on this contract.
    address public immutable COURT;

    /// @notice Deploying with one tinybar proves the unit of `msg.value`: where it counts in another, this reverts.
    /// @param unbonding seconds until stake that was asked back can be withdrawn.
    /// @param validatorStake what each validator locks, in tinybar.
    /// @param minDisputeTime seconds that a plan has to give jurors, at least, and challengers: who has no time to act
    /// would be fined for it.
    constructor(uint64 unbonding, uint64 validatorStake, uint64 minDisputeTime)
        payable
        Ownable(msg.sender)
    {
        if (msg.value > 1) revert NotTinybar(msg.value);
        if (unbonding > MAX_UNBONDING) revert OutOfBounds("unbonding", MAX_UNBONDING, unbonding);
        if (validatorStake == 0) revert ZeroValue("validatorStake");
        if (minDisputeTime == 0) revert ZeroValue("minDisputeTime");
        if (minDisputeTime > PlanRules.MAX_WINDOW) {
            revert OutOfBounds("minDisputeTime", PlanRules.MAX_WINDOW, minDisputeTime);
        }
        _unbonding = unbonding;
        _validatorStake = validatorStake;
        _minDisputeTime = minDisputeTime;
        COURT = address(new Court());
    }

    /// @dev Every function that is not declared here is one of `Court`, which runs on the books of this contract.
    function _implementation() internal view override returns (address) {
        return COURT;
    }

    receive() external payable {
        revert NoFunction();
    }

    /// @notice Keep new tasks from being created; those that exist go on.
    function pause() external onlyOwner {
        _pause();
    }

    function unpause() external onlyOwner {
        _unpause();
    }

    /// @notice Give up the power to pause, for good. Not while it is used: nobody could take it back then.
    function renounceOwnership() public override onlyOwner whenNotPaused {
        super.renounceOwnership();
    }

    // ------------------------------------------------------------------ accounts

    /// @notice Record the caller's Ed25519 signing key and age recipient, once; `msg.value` becomes free stake.
    function register(bytes32 signingKey, bytes32 recipient) external payable {
        Account storage account = _accounts[msg.sender];
        if (account.signingKey != 0) revert AlreadyRegistered(msg.sender);
        _requireKeys(signingKey, recipient);
        account.signingKey = signingKey;
        account.recipient = recipient;
        uint64 amount = _amount(msg.value);
        _addStake(account, amount);
        emit Registered(msg.sender, signingKey, recipient, amount);
    }

    /// @notice Add `msg.value` to the caller's free stake.
    function depositStake() external payable {
        Account storage account = _registered(msg.sender);
        if (msg.value == 0) revert ZeroValue("value");
        uint64 amount = _amount(msg.value);
        _addStake(account, amount);
        emit StakeDeposited(msg.sender, amount);
    }

    /// @notice Ask free stake back: it can be had after `settings().unbonding` seconds.
    function requestUnstake(uint64 amount) external {
        Account storage account = _registered(msg.sender);
        if (amount == 0) revert ZeroValue("amount");
        uint64 free = account.stake - account.locked;
        if (free < amount) revert InsufficientStake(amount, free);
        _unbond(msg.sender, amount);
    }

    /// @notice Make what is unbonding free stake again.
    function cancelUnstake() external {
        Account storage account = _accounts[msg.sender];
        uint64 amount = account.unbonding;
        if (amount == 0) revert NothingToUnstake(msg.sender);
        account.unbonding = 0;
        account.stake += amount;
        emit UnstakeCancelled(msg.sender, amount);
    }

    /// @notice Move what has unbonded to the caller's balance.
    function completeUnstake() external {
        Account storage account = _accounts[msg.sender];
        uint64 amount = account.unbonding;
        if (amount == 0) revert NothingToUnstake(msg.sender);
        _requireFrom(account.unbondAt);
        account.unbonding = 0;
        _totalStake -= amount;
        _credit(msg.sender, amount);
        emit Unstaked(msg.sender, amount);
    }

    /// @notice Pay the caller's whole balance out to the caller.
    function withdraw() external nonReentrant {
        uint64 amount = _accounts[msg.sender].balance;
        if (amount == 0) revert NothingToWithdraw(msg.sender);
        _accounts[msg.sender].balance = 0;
        _totalBalances -= amount;
        emit Withdrawn(msg.sender, amount);
        (bool ok,) = msg.sender.call{value: amount}("");
        if (!ok) revert WithdrawFailed(msg.sender, amount);
    }

    // ------------------------------------------------------------------ before the start

    /// @notice Lock the worst case of a task in escrow. The id is keccak256(abi.encode(client, manifestHash)).
    function createTask(
        bytes32 manifestHash,
        uint64 topic,
        bytes32 signingKey,
        bytes32 recipient,
        Plan calldata plan
    ) external payable whenNotPaused {
        bytes32 taskId = keccak256(abi.encode(msg.sender, manifestHash));
        Task storage task = _tasks[taskId];
        if (task.phase != Phase.None) revert TaskExists(taskId);
        if (manifestHash == 0) revert ZeroValue("manifestHash");
        _requireKeys(signingKey, recipient);
        uint256 worstCase = PlanRules.worstCase(plan, _validatorStake, _minDisputeTime);
        if (msg.value != worstCase) revert WrongEscrow(worstCase, msg.value);
        uint64 escrow = _amount(worstCase);

        task.client = msg.sender;
        task.topic = topic;
        task.phase = Phase.Created;
        task.manifestHash = manifestHash;
        task.plan = plan;
        task.escrow = escrow;
        task.reserved = escrow;
        _totalEscrow += escrow;
        emit TaskCreated(taskId, msg.sender, topic, manifestHash, signingKey, recipient, plan, escrow);
    }

    /// @notice Fix the trainers (a Merkle root over task, trainer, units, rank) and the price of a unit.
    function award(bytes32 taskId, bytes32 root, uint64 unitPrice, uint16 primaries) external {
        Task storage task = _clientsTask(taskId);
        if (task.awardRoot != 0) revert AlreadyAwarded(taskId);
        _requirePhase(taskId, task, Phase.Created);
        Plan storage plan = task.plan;
        _requireAfter(plan.bidUntil);
        _requireUntil(plan.awardUntil);
        if (root == 0) revert ZeroValue("root");
        if (unitPrice > plan.maxUnitPrice) revert PriceTooHigh(plan.maxUnitPrice, unitPrice);
        if (primaries < plan.minTrainers || primaries > plan.seats) {
            revert PrimariesOutOfRange(plan.minTrainers, plan.seats, primaries);
        }
        task.phase = Phase.Awarded;
        task.awardRoot = root;
        task.unitPrice = unitPrice;
        task.primaries = primaries;
        emit Awarded(taskId, root, unitPrice, primaries);
    }

    /// @notice Take a seat: rank 0 is a primary, rank k the k-th standby. Locks the caller's stake for the seat.
    function accept(bytes32 taskId, uint32 units, uint16 rank, bytes32[] calldata proof) external {
        Task storage task = _task(taskId);
        Seat storage seat = _seats[taskId][msg.sender];
        if (seat.accepted) revert AlreadyAccepted(taskId, msg.sender);
        _requirePhase(taskId, task, Phase.Awarded);
        if (msg.sender == task.client) revert ClientCannotTrain(taskId);
        Account storage account = _registered(msg.sender);
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(taskId, msg.sender, units, rank))));
        if (!MerkleProof.verifyCalldata(proof, task.awardRoot, leaf)) revert BadProof(taskId, msg.sender);
        _takeSeat(taskId, task, rank);

        uint64 stake = task.plan.stakePerSeat;
        uint64 free = account.stake - account.locked;
        if (free < stake) revert InsufficientStake(stake, free);
        account.locked += stake;
        seat.accepted = true;
        seat.units = units;
        seat.rank = rank;
        emit Accepted(taskId, msg.sender, account.signingKey, account.recipient, units, rank);
    }

    /// @notice Say that the caller has opened its envelope and verified its chunks.
    function ready(bytes32 taskId) external {
        Task storage task = _task(taskId);
        Seat storage seat = _seats[taskId][msg.sender];
        if (!seat.accepted) revert NotAccepted(taskId, msg.sender);
        if (seat.ready) revert AlreadyReady(taskId, msg.sender);
        _requirePhase(taskId, task, Phase.Awarded);
        _requireUntil(task.plan.startUntil);
        seat.ready = true;
        task.ready += 1;
        emit TrainerReady(taskId, msg.sender);
    }

    /// @notice Begin: from here on the task ends without its client, if need be.
    function start(bytes32 taskId) external {
        Task storage task = _clientsTask(taskId);
        if (task.quorum != 0) revert AlreadyStarted(taskId);
        _requirePhase(taskId, task, Phase.Awarded);
        _requireUntil(task.plan.startUntil);
        if (task.ready < task.plan.minTrainers) revert TooFewReady(task.plan.minTrainers, task.ready);
        // Two at least, so that no account decides alone; a plan with one seat has its trainer's word only. Only those
        // that are ready count: a client could else spoil envelopes until no quorum can be had.
        uint16 quorum = task.plan.seats == 1 ? 1 : task.ready / 2 + 1;
        task.phase = Phase.Running;
        task.quorum = quorum;
        task.idle = task.accepted - task.ready;
        emit Started(taskId, task.accepted, task.ready, quorum);
    }

    /// @notice Give a task up before its start: trainers that accepted are owed the compensation.
    function cancel(bytes32 taskId) external {
        Task storage task = _clientsTask(taskId);
        if (task.phase == Phase.Cancelled) revert AlreadyCancelled(taskId);
        if (task.phase != Phase.Created && task.phase != Phase.Awarded) revert WrongPhase(taskId, task.phase);
        (uint64 refunded, uint64 compensation) = _end(task, Phase.Cancelled, task.plan.compensation);
        emit Cancelled(taskId, refunded, compensation);
    }

    // ------------------------------------------------------------------ progress and result

    /// @notice Vote for the checkpoint after a round, counted from 1. A quorum makes it the task's progress, unless
    /// a later round is confirmed already.
    function confirmCheckpoint(
        bytes32 taskId,
        uint32 round,
        bytes32 checkpoint,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    ) external {
        Progress memory proposed = Progress(round, units, aggregates, audits, checkpoint, creditsRoot);
        bytes32 proposal = _checkpointOf(taskId, proposed);
        Task storage task = _votersTask(taskId, proposal);
        if (round == 0) revert ZeroValue("round");
        _requireBounds(task.plan, Result(0, round, units, aggregates, audits, checkpoint, creditsRoot));
        uint16 votes = _vote(taskId, proposal);
        emit CheckpointVoted(taskId, msg.sender, round, checkpoint, units, aggregates, audits, creditsRoot);
        if (votes >= task.quorum && round > task.progress.round) {
            task.progress = proposed;
            emit CheckpointConfirmed(taskId, round, checkpoint, units, aggregates, audits, creditsRoot);
        }
    }

    /// @notice Propose the result and vote for it.
    function publishResult(
        bytes32 taskId,
        bytes32 result,
        uint64 logPosition,
        uint32 round,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    ) external {
        Result memory proposed = Result(logPosition, round, units, aggregates, audits, result, creditsRoot);
        bytes32 proposal = _proposalOf(taskId, proposed);
        Task storage task = _votersTask(taskId, proposal);
        if (_votes[taskId][proposal] != 0) revert AlreadyPublished(taskId, proposal);
        _requireBounds(task.plan, proposed);
        if (units < task.progress.units) revert BelowProgress(task.progress.units, units);
        emit ResultPublished(taskId, msg.sender, result, logPosition, round, units, aggregates, audits, creditsRoot);
        _voteResult(taskId, task, proposal, proposed);
    }

    /// @notice Vote for a published result, naming all of it again. A quorum opens its window.
    function confirmResult(
        bytes32 taskId,
        bytes32 result,
        uint64 logPosition,
        uint32 round,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    ) external {
        Result memory proposed = Result(logPosition, round, units, aggregates, audits, result, creditsRoot);
        bytes32 proposal = _proposalOf(taskId, proposed);
        Task storage task = _votersTask(taskId, proposal);
        if (_votes[taskId][proposal] == 0) revert NoSuchProposal(taskId, proposal);
        // A checkpoint may have been confirmed since the result was published.
        if (units < task.progress.units) revert BelowProgress(task.progress.units, units);
        emit ResultVoted(taskId, msg.sender, result, proposal);
        _voteResult(taskId, task, proposal, proposed);
    }

    // ------------------------------------------------------------------ ends

    /// @notice Close the window of a confirmed result: the client is refunded what the trainers did not earn.
    function settle(bytes32 taskId) external {
        Task storage task = _task(taskId);
        if (task.claimUntil != 0) revert AlreadySettled(taskId);
        _requirePhase(taskId, task, Phase.Settling);
        _requireFrom(task.settleAfter);
        if (task.openDisputes != 0) revert DisputesOpen(taskId, task.openDisputes);
        _settle(taskId, task);
    }

    /// @notice Give a trainer what the credits of a settled task say, and its stake back. Anyone may call.
    function claim(
        bytes32 taskId,
        address trainer,
        uint32 units,
        uint32 aggregates,
        bool noShow,
        bytes32[] calldata proof
    ) external {
        Task storage task = _task(taskId);
        Seat storage seat = _openSeat(taskId, trainer);
        if (!seat.ready) revert NotReady(taskId, trainer);
        _requirePhase(taskId, task, Phase.Settled);
        bytes32 leaf =
            keccak256(bytes.concat(keccak256(abi.encode(taskId, trainer, units, aggregates, noShow))));
        if (!MerkleProof.verifyCalldata(proof, _outcome(task).creditsRoot, leaf)) {
            revert BadProof(taskId, trainer);
        }
        seat.closed = true;
        _count(taskId, task, units, aggregates, 0);
        uint64 earned = _price(task, units, aggregates, 0);
        // A trainer that was slashed has lost its pay as well.
        _fromEscrow(task, seat.slashed ? task.client : trainer, earned);
        (uint64 penalty, uint64 finderFee) = _penalty(taskId, task, seat, trainer, noShow);
        uint64 returned = _unlock(task, seat, trainer, penalty + finderFee);
        _credit(task.client, penalty);
        _credit(task.finder, finderFee);
        (uint64 paid, uint64 forfeited) = seat.slashed ? (uint64(0), earned) : (earned, uint64(0));
        emit Claimed(taskId, trainer, units, aggregates, paid, returned, penalty, finderFee, forfeited);
    }

    /// @notice Give a validator what the credits of a settled task say for its audits. Anyone may call.
    function claimAudits(bytes32 taskId, address validator, uint32 audits, bytes32[] calldata proof) external {
        Task storage task = _task(taskId);
        if (_auditsClaimed[taskId][validator]) revert AlreadyClosed(taskId, validator);
        if (!_auditor[taskId][validator]) revert NotAuditor(taskId, validator);
        _requirePhase(taskId, task, Phase.Settled);
        bytes32 leaf = keccak256(bytes.concat(keccak256(abi.encode(taskId, validator, audits))));
        if (!MerkleProof.verifyCalldata(proof, _outcome(task).creditsRoot, leaf)) revert BadProof(taskId, validator);
        _auditsClaimed[taskId][validator] = true;
        _count(taskId, task, 0, 0, audits);
        uint64 paid = _price(task, 0, 0, audits);
        _fromEscrow(task, validator, paid);
        emit AuditsClaimed(taskId, validator, audits, paid);
    }

    /// @notice End a task whose deadline has passed; anyone may call. `ExpiryReason` lists the cases.
    function expire(bytes32 taskId) external {
        Task storage task = _task(taskId);
        Phase phase = task.phase;
        if (phase == Phase.Expired || phase == Phase.Lapsed) revert AlreadyExpired(taskId);
        if (phase == Phase.Created) {
            _requireAfter(task.plan.awardUntil);
            _expire(taskId, task, ExpiryReason.NotAwarded, 0);
        } else if (phase == Phase.Awarded) {
            _expireAwarded(taskId, task);
        } else if (phase == Phase.Running) {
            // Where there are juries, there is time to appeal to one first.
            _requireAfter(task.plan.endBy + task.plan.disputeTime);
            if (task.openDisputes != 0) revert DisputesOpen(taskId, task.openDisputes);
            if (task.progress.round == 0) {
                _expire(taskId, task, ExpiryReason.NoProgress, 0);
            } else {
                emit Expired(taskId, uint8(ExpiryReason.EndedOnProgress), 0, 0);
                _settle(taskId, task);
            }
        } else if (phase == Phase.Settled) {
            if (_time() <= task.claimUntil) revert AlreadySettled(taskId);
            _lapse(taskId, task);
        } else {
            revert WrongPhase(taskId, phase);
        }
    }

    /// @notice Give a trainer its stake back, and its compensation if due: when a task ended without its claim, or was
    /// started before it was ready.
    function release(bytes32 taskId, address trainer) external {
        Task storage task = _task(taskId);
        Seat storage seat = _openSeat(taskId, trainer);
        Phase phase = task.phase;
        bool idle = task.quorum != 0 && !seat.ready;
        if (!idle && phase != Phase.Cancelled && phase != Phase.Expired && phase != Phase.Lapsed) {
            revert WrongPhase(taskId, phase);
        }
        seat.closed = true;
        if (idle) task.idle -= 1;
        uint64 compensation = idle ? task.plan.compensation : task.compensationDue;
        _fromEscrow(task, trainer, compensation);
        uint64 returned = _unlock(task, seat, trainer, 0);
        emit Released(taskId, trainer, returned, compensation);
    }

    // ------------------------------------------------------------------ views

    function getTask(bytes32 taskId) external view returns (Task memory) {
        return _task(taskId);
    }

    function getAccount(address account) external view returns (Account memory) {
        return _accounts[account];
    }

    /// @notice Seconds that unbonding takes, the tinybar that a validator locks, and the least time of disputes.
    function settings() external view returns (uint64 unbonding, uint64 validatorStake, uint64 minDisputeTime) {
        return (_unbonding, _validatorStake, _minDisputeTime);
    }

    function getSeat(bytes32 taskId, address trainer) external view returns (Seat memory) {
        return _seats[taskId][trainer];
    }

    /// @notice What this contract owes: its balance is never less than the sum of the three. Bonds of open disputes are
    /// in the escrow, what is unbonding is in the stake.
    function liabilities() external view returns (uint64 escrow, uint64 stake, uint64 balances) {
        return (_totalEscrow, _totalStake, _totalBalances);
    }

    /// @notice Votes for a proposal: keccak256(abi.encode(all arguments of the vote, in order, with the task id)).
    function votesFor(bytes32 taskId, bytes32 proposal) external view returns (uint16) {
        return _votes[taskId][proposal];
    }

    // ------------------------------------------------------------------ who and when

    function _clientsTask(bytes32 taskId) private view returns (Task storage task) {
        task = _task(taskId);
        if (msg.sender != task.client) revert NotClient(taskId, msg.sender);
    }

    function _votersTask(bytes32 taskId, bytes32 proposal) private view returns (Task storage task) {
        task = _task(taskId);
        if (_voted[taskId][proposal][msg.sender]) revert AlreadyVoted(taskId, proposal, msg.sender);
        _requirePhase(taskId, task, Phase.Running);
        if (!_mayVote(taskId, task, msg.sender)) revert NotAVoter(taskId, msg.sender);
        _requireUntil(task.plan.endBy);
    }

    function _requireKeys(bytes32 signingKey, bytes32 recipient) private pure {
        if (signingKey == 0) revert ZeroValue("signingKey");
        if (recipient == 0) revert ZeroValue("recipient");
    }

    // ------------------------------------------------------------------ seats and votes

    /// @dev At most `primaries` seats are taken, whatever the root says, so compensation is always covered.
    function _takeSeat(bytes32 taskId, Task storage task, uint16 rank) private {
        Plan storage plan = task.plan;
        if (task.accepted >= task.primaries) revert NoFreeSeat(taskId);
        if (rank == 0) {
            _requireUntil(plan.acceptUntil);
            task.primariesAccepted += 1;
        } else {
            _requireAfter(plan.acceptUntil);
            _requireUntil(plan.standbyUntil);
            uint16 vacancies = task.primaries - task.primariesAccepted;
            if (rank > vacancies) revert RankTooLow(vacancies, rank);
        }
        task.accepted += 1;
    }

    function _vote(bytes32 taskId, bytes32 proposal) private returns (uint16 votes) {
        _voted[taskId][proposal][msg.sender] = true;
        votes = _votes[taskId][proposal] + 1;
        _votes[taskId][proposal] = votes;
    }

    function _voteResult(bytes32 taskId, Task storage task, bytes32 proposal, Result memory r) private {
        if (_vote(taskId, proposal) < task.quorum) return;
        task.phase = Phase.Settling;
        task.settleAfter = _time() + task.plan.window;
        task.result = r;
        emit ResultConfirmed(
            taskId, r.result, r.logPosition, r.round, r.units, r.aggregates, r.audits, r.creditsRoot, task.settleAfter
        );
    }

    // ------------------------------------------------------------------ money

    /// @dev What a seat loses of its stake at its claim: one thing at most, the gravest.
    function _penalty(bytes32 taskId, Task storage task, Seat storage seat, address trainer, bool noShow)
        private
        view
        returns (uint64 toClient, uint64 toFinder)
    {
        if (seat.slashed) return (0, 0); // it has lost it already
        uint64 lost;
        if (task.wrongProposal != 0 && _voted[taskId][task.wrongProposal][trainer]) lost = task.plan.slash;
        else if (task.appealed && !_voted[taskId][task.rightProposal][trainer]) lost = task.plan.noShowPenalty;
        else return (noShow ? task.plan.noShowPenalty : 0, 0);
        toFinder = _finderPart(task.plan, lost);
        toClient = lost - toFinder;
    }

    /// @dev Unlock what is left of a seat's stake, less what it loses now.
    function _unlock(Task storage task, Seat storage seat, address trainer, uint64 lost)
        private
        returns (uint64 returned)
    {
        returned = task.plan.stakePerSeat - lost;
        if (seat.slashed) returned -= task.plan.slash;
        if (lost != 0) _forfeitStake(trainer, lost);
        _accounts[trainer].locked -= returned;
    }

    /// @dev What those are owed that were not ready when a task was started.
    function _idlePay(Task storage task) private view returns (uint64) {
        return task.idle * task.plan.compensation;
    }

    /// @dev End a task without credits: each accepted trainer is owed `compensation`, the client all else.
    function _end(Task storage task, Phase phase, uint64 compensation)
        private
        returns (uint64 refunded, uint64 owed)
    {
        owed = task.accepted * compensation + _idlePay(task);
        refunded = task.reserved - owed;
        task.phase = phase;
        task.compensationDue = compensation;
        _fromEscrow(task, task.client, refunded);
    }

    function _expire(bytes32 taskId, Task storage task, ExpiryReason reason, uint64 compensation) private {
        (uint64 refunded, uint64 owed) = _end(task, Phase.Expired, compensation);
        emit Expired(taskId, uint8(reason), refunded, owed);
    }

    function _expireAwarded(bytes32 taskId, Task storage task) private {
        if (task.accepted < task.plan.minTrainers) {
            _requireAfter(task.plan.standbyUntil);
            _expire(taskId, task, ExpiryReason.TooFewAccepted, 0);
        } else {
            _requireAfter(task.plan.startUntil);
            _expire(taskId, task, ExpiryReason.NotStarted, task.plan.compensation);
        }
    }

    /// @dev What trainers claim by: the confirmed result, else the last confirmed progress.
    function _outcome(Task storage task) private view returns (Progress memory) {
        if (task.result.result == 0) return task.progress;
        Result storage r = task.result;
        return Progress(r.round, r.units, r.aggregates, r.audits, r.result, r.creditsRoot);
    }

    function _settle(bytes32 taskId, Task storage task) private {
        Progress memory outcome = _outcome(task);
        uint64 owed = _price(task, outcome.units, outcome.aggregates, outcome.audits) + _idlePay(task);
        uint64 refunded = task.reserved - owed;
        task.phase = Phase.Settled;
        task.claimUntil = _time() + CLAIM_PERIOD;
        _fromEscrow(task, task.client, refunded);
        emit Settled(taskId, owed, refunded);
    }

    function _lapse(bytes32 taskId, Task storage task) private {
        uint64 owed = _idlePay(task);
        uint64 refunded = task.reserved - owed;
        task.phase = Phase.Lapsed;
        _fromEscrow(task, task.client, refunded);
        emit Expired(taskId, uint8(ExpiryReason.ClaimsLapsed), refunded, owed);
    }

    /// @dev Only a faulty root can promise more than was confirmed; whoever comes last is then refused.
    function _count(bytes32 taskId, Task storage task, uint32 units, uint32 aggregates, uint32 audits) private {
        Progress memory outcome = _outcome(task);
        uint256 claimedUnits = uint256(task.claimedUnits) + units;
        uint256 claimedAggregates = uint256(task.claimedAggregates) + aggregates;
        uint256 claimedAudits = uint256(task.claimedAudits) + audits;
        bool within = claimedUnits <= outcome.units && claimedAggregates <= outcome.aggregates
            && claimedAudits <= outcome.audits;
        if (!within) revert CreditsExhausted(taskId);
        task.claimedUnits = uint32(claimedUnits);
        task.claimedAggregates = uint32(claimedAggregates);
        task.claimedAudits = uint32(claimedAudits);
    }
}
