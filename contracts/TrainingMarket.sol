// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";
import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {MarketTypes} from "./MarketTypes.sol";
import {PlanRules} from "./PlanRules.sol";

/// @title The escrow of shoal's market: stakes, tasks, votes on their progress, and who may take what out.
/// @notice Every amount is an integer number of tinybar, which is what Hedera's EVM gives as `msg.value`.
/// Nobody has power over anyone else's money: there is no owner, no upgrade, no pause.
/// @dev Accounting is by explicit totals (`liabilities`), never by `address(this).balance`: a native Hedera
/// transfer changes the balance without running any code here, so the invariant is balance >= liabilities.
/// Money leaves by `withdraw` alone, to the caller alone. No call loops over trainers: each costs O(1), or
/// O(log n) in the length of a proof. A repeated call is refused by an `Already...` error that is checked before
/// phase and time, so that whoever retries after a lost answer learns that the first attempt took effect.
contract TrainingMarket is MarketTypes, ReentrancyGuardTransient {
    /// @notice How long trainers can claim after settlement. Anyone may claim for them.
    uint64 public constant CLAIM_PERIOD = 30 days;

    // ------------------------------------------------------------------ state

    uint64 private _totalEscrow;
    uint64 private _totalStake;
    uint64 private _totalBalances;

    mapping(address account => Account) private _accounts;
    mapping(bytes32 taskId => Task) private _tasks;
    mapping(bytes32 taskId => mapping(address trainer => Seat)) private _seats;
    mapping(bytes32 taskId => mapping(bytes32 proposal => uint16)) private _votes;
    mapping(bytes32 taskId => mapping(bytes32 proposal => mapping(address voter => bool))) private _voted;

    // ------------------------------------------------------------------ accounts

    /// @notice Deploying with one tinybar proves the unit of `msg.value`: where it counts in another, this reverts.
    constructor() payable {
        if (msg.value > 1) revert NotTinybar(msg.value);
    }

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

    /// @notice Move free stake to the caller's balance.
    function unstake(uint64 amount) external {
        Account storage account = _registered(msg.sender);
        if (amount == 0) revert ZeroValue("amount");
        uint64 free = account.stake - account.locked;
        if (free < amount) revert InsufficientStake(amount, free);
        account.stake -= amount;
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
    ) external payable {
        bytes32 taskId = keccak256(abi.encode(msg.sender, manifestHash));
        Task storage task = _tasks[taskId];
        if (task.phase != Phase.None) revert TaskExists(taskId);
        if (manifestHash == 0) revert ZeroValue("manifestHash");
        _requireKeys(signingKey, recipient);
        uint256 worstCase = PlanRules.worstCase(plan);
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
        // Two at least, so that no account decides alone; a plan with one seat has its trainer's word only.
        uint16 quorum = task.plan.seats == 1 ? 1 : task.accepted / 2 + 1;
        task.phase = Phase.Running;
        task.quorum = quorum;
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
        bytes32 creditsRoot
    ) external {
        bytes32 proposal = keccak256(abi.encode(taskId, round, checkpoint, units, aggregates, creditsRoot));
        Task storage task = _votersTask(taskId, proposal);
        if (round == 0) revert ZeroValue("round");
        if (checkpoint == 0) revert ZeroValue("checkpoint");
        _requireBounds(task.plan, round, units, aggregates, creditsRoot);
        uint16 votes = _vote(taskId, proposal);
        emit CheckpointVoted(taskId, msg.sender, round, checkpoint, units, aggregates, creditsRoot);
        if (votes >= task.quorum && round > task.progress.round) {
            task.progress = Progress(round, units, aggregates, checkpoint, creditsRoot);
            emit CheckpointConfirmed(taskId, round, checkpoint, units, aggregates, creditsRoot);
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
        bytes32 creditsRoot
    ) external {
        Result memory proposed = Result(logPosition, round, units, aggregates, result, creditsRoot);
        bytes32 proposal = _resultProposal(taskId, proposed);
        Task storage task = _votersTask(taskId, proposal);
        if (_votes[taskId][proposal] != 0) revert AlreadyPublished(taskId, proposal);
        if (result == 0) revert ZeroValue("result");
        _requireBounds(task.plan, round, units, aggregates, creditsRoot);
        if (units < task.progress.units) revert BelowProgress(task.progress.units, units);
        _emitPublished(taskId, proposed);
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
        bytes32 creditsRoot
    ) external {
        Result memory proposed = Result(logPosition, round, units, aggregates, result, creditsRoot);
        bytes32 proposal = _resultProposal(taskId, proposed);
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
        _requirePhase(taskId, task, Phase.Settled);
        bytes32 leaf =
            keccak256(bytes.concat(keccak256(abi.encode(taskId, trainer, units, aggregates, noShow))));
        if (!MerkleProof.verifyCalldata(proof, _outcome(task).creditsRoot, leaf)) {
            revert BadProof(taskId, trainer);
        }
        seat.closed = true;
        uint64 paid = _pay(taskId, task, trainer, units, aggregates);
        uint64 penalty = noShow ? task.plan.noShowPenalty : 0;
        uint64 returned = _unlock(task, trainer, penalty);
        emit Claimed(taskId, trainer, units, aggregates, paid, returned, penalty);
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
            _requireAfter(task.plan.endBy);
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

    /// @notice Give a trainer its stake back, and its compensation if due, when a task ended without its claim.
    function release(bytes32 taskId, address trainer) external {
        Task storage task = _task(taskId);
        Seat storage seat = _openSeat(taskId, trainer);
        Phase phase = task.phase;
        if (phase != Phase.Cancelled && phase != Phase.Expired && phase != Phase.Lapsed) {
            revert WrongPhase(taskId, phase);
        }
        seat.closed = true;
        uint64 compensation = task.compensationDue;
        _fromEscrow(task, trainer, compensation);
        uint64 returned = _unlock(task, trainer, 0);
        emit Released(taskId, trainer, returned, compensation);
    }

    // ------------------------------------------------------------------ views

    function getTask(bytes32 taskId) external view returns (Task memory) {
        return _task(taskId);
    }

    function getAccount(address account)
        external
        view
        returns (bool registered, bytes32 signingKey, bytes32 recipient, uint64 stake, uint64 locked, uint64 balance)
    {
        Account storage a = _accounts[account];
        return (a.signingKey != 0, a.signingKey, a.recipient, a.stake, a.locked, a.balance);
    }

    function getSeat(bytes32 taskId, address trainer)
        external
        view
        returns (bool accepted, bool isReady, bool closed, uint32 units, uint16 rank)
    {
        Seat storage seat = _seats[taskId][trainer];
        return (seat.accepted, seat.ready, seat.closed, seat.units, seat.rank);
    }

    /// @notice What this contract owes: its balance is never less than the sum of the three.
    function liabilities() external view returns (uint64 escrow, uint64 stake, uint64 balances) {
        return (_totalEscrow, _totalStake, _totalBalances);
    }

    /// @notice Votes for a proposal: keccak256(abi.encode(all arguments of the vote, in order, with the task id)).
    function votesFor(bytes32 taskId, bytes32 proposal) external view returns (uint16) {
        return _votes[taskId][proposal];
    }

    // ------------------------------------------------------------------ who and when

    function _task(bytes32 taskId) private view returns (Task storage task) {
        task = _tasks[taskId];
        if (task.phase == Phase.None) revert UnknownTask(taskId);
    }

    function _clientsTask(bytes32 taskId) private view returns (Task storage task) {
        task = _task(taskId);
        if (msg.sender != task.client) revert NotClient(taskId, msg.sender);
    }

    /// @dev The client is one more voter, but not where one vote is a quorum: it could then confirm that it owes
    /// nothing.
    function _votersTask(bytes32 taskId, bytes32 proposal) private view returns (Task storage task) {
        task = _task(taskId);
        if (_voted[taskId][proposal][msg.sender]) revert AlreadyVoted(taskId, proposal, msg.sender);
        _requirePhase(taskId, task, Phase.Running);
        bool votes = msg.sender == task.client ? task.quorum > 1 : _seats[taskId][msg.sender].accepted;
        if (!votes) revert NotAVoter(taskId, msg.sender);
        _requireUntil(task.plan.endBy);
    }

    function _registered(address who) private view returns (Account storage account) {
        account = _accounts[who];
        if (account.signingKey == 0) revert NotRegistered(who);
    }

    function _openSeat(bytes32 taskId, address trainer) private view returns (Seat storage seat) {
        seat = _seats[taskId][trainer];
        if (!seat.accepted) revert NotAccepted(taskId, trainer);
        if (seat.closed) revert AlreadyClosed(taskId, trainer);
    }

    function _requirePhase(bytes32 taskId, Task storage task, Phase phase) private view {
        if (task.phase != phase) revert WrongPhase(taskId, task.phase);
    }

    function _time() private view returns (uint64) {
        return uint64(block.timestamp);
    }

    function _requireUntil(uint64 until) private view {
        if (_time() > until) revert TooLate(until, _time());
    }

    function _requireFrom(uint64 notBefore) private view {
        if (_time() < notBefore) revert TooEarly(notBefore, _time());
    }

    function _requireAfter(uint64 last) private view {
        _requireFrom(last + 1);
    }

    function _requireKeys(bytes32 signingKey, bytes32 recipient) private pure {
        if (signingKey == 0) revert ZeroValue("signingKey");
        if (recipient == 0) revert ZeroValue("recipient");
    }

    function _requireBounds(
        Plan storage plan,
        uint32 round,
        uint32 units,
        uint32 aggregates,
        bytes32 creditsRoot
    ) private view {
        uint256 rounds = plan.rounds;
        uint256 maxUnits = plan.chunks * rounds;
        if (round > rounds) revert OutOfBounds("round", rounds, round);
        if (units > maxUnits) revert OutOfBounds("units", maxUnits, units);
        if (aggregates > rounds) revert OutOfBounds("aggregates", rounds, aggregates);
        if (creditsRoot == 0) revert ZeroValue("creditsRoot");
    }

    /// @dev Tinybar fit in 64 bits: there are 5 * 10^18 in all.
    function _amount(uint256 value) private pure returns (uint64) {
        if (value > type(uint64).max) revert AmountOutOfRange(value);
        return uint64(value);
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

    function _resultProposal(bytes32 taskId, Result memory r) private pure returns (bytes32) {
        return keccak256(
            abi.encode(taskId, r.result, r.logPosition, r.round, r.units, r.aggregates, r.creditsRoot)
        );
    }

    function _emitPublished(bytes32 taskId, Result memory r) private {
        emit ResultPublished(
            taskId, msg.sender, r.result, r.logPosition, r.round, r.units, r.aggregates, r.creditsRoot
        );
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
            taskId, r.result, r.logPosition, r.round, r.units, r.aggregates, r.creditsRoot, task.settleAfter
        );
    }

    // ------------------------------------------------------------------ money

    function _credit(address to, uint64 amount) private {
        _accounts[to].balance += amount;
        _totalBalances += amount;
    }

    function _addStake(Account storage account, uint64 amount) private {
        account.stake += amount;
        _totalStake += amount;
    }

    function _fromEscrow(Task storage task, address to, uint64 amount) private {
        if (amount == 0) return;
        task.reserved -= amount;
        _totalEscrow -= amount;
        _credit(to, amount);
    }

    /// @dev Unlock a seat's stake; `penalty` of it goes to the client.
    function _unlock(Task storage task, address trainer, uint64 penalty) private returns (uint64 returned) {
        Account storage account = _accounts[trainer];
        uint64 stake = task.plan.stakePerSeat;
        account.locked -= stake;
        if (penalty != 0) {
            account.stake -= penalty;
            _totalStake -= penalty;
            _credit(task.client, penalty);
        }
        return stake - penalty;
    }

    /// @dev End a task without credits: each accepted trainer is owed `compensation`, the client all else.
    function _end(Task storage task, Phase phase, uint64 compensation)
        private
        returns (uint64 refunded, uint64 owed)
    {
        owed = task.accepted * compensation;
        refunded = task.escrow - owed;
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
        return Progress(r.round, r.units, r.aggregates, r.result, r.creditsRoot);
    }

    function _settle(bytes32 taskId, Task storage task) private {
        Progress memory outcome = _outcome(task);
        uint64 owed = _price(task, outcome.units, outcome.aggregates);
        uint64 refunded = task.escrow - owed;
        task.phase = Phase.Settled;
        task.claimUntil = _time() + CLAIM_PERIOD;
        _fromEscrow(task, task.client, refunded);
        emit Settled(taskId, owed, refunded);
    }

    function _lapse(bytes32 taskId, Task storage task) private {
        uint64 refunded = task.reserved;
        task.phase = Phase.Lapsed;
        _fromEscrow(task, task.client, refunded);
        emit Expired(taskId, uint8(ExpiryReason.ClaimsLapsed), refunded, 0);
    }

    /// @dev Only a faulty root can promise more than was confirmed; whoever comes last is then refused.
    function _pay(bytes32 taskId, Task storage task, address trainer, uint32 units, uint32 aggregates)
        private
        returns (uint64 paid)
    {
        Progress memory outcome = _outcome(task);
        uint256 claimedUnits = uint256(task.claimedUnits) + units;
        uint256 claimedAggregates = uint256(task.claimedAggregates) + aggregates;
        if (claimedUnits > outcome.units || claimedAggregates > outcome.aggregates) {
            revert CreditsExhausted(taskId);
        }
        task.claimedUnits = uint32(claimedUnits);
        task.claimedAggregates = uint32(claimedAggregates);
        paid = _price(task, units, aggregates);
        _fromEscrow(task, trainer, paid);
    }

    /// @dev Never above the escrow: units, aggregates and price are bounded by what the escrow was computed from.
    function _price(Task storage task, uint32 units, uint32 aggregates) private view returns (uint64) {
        return units * task.unitPrice + aggregates * task.plan.aggregatePrice;
    }
}
