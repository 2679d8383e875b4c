// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

/// @title What TrainingMarket keeps, tells and refuses: its types, events and errors.
/// @dev Amounts are tinybar, times are absolute consensus seconds.
interface MarketTypes {
    /// @notice What the client promises and the contract enforces. Times are absolute consensus seconds.
    struct Plan {
        uint32 chunks;
        uint32 rounds;
        uint16 seats;
        uint16 minTrainers;
        uint64 maxUnitPrice; // tinybar for one chunk trained for one round, at most
        uint64 aggregatePrice; // tinybar for one aggregation
        uint64 stakePerSeat; // tinybar locked by each accepted trainer
        uint64 compensation; // tinybar for each accepted trainer if the client does not start
        uint64 noShowPenalty; // tinybar of the stake that a no-show loses to the client
        uint64 bidUntil;
        uint64 awardUntil;
        uint64 acceptUntil;
        uint64 standbyUntil;
        uint64 startUntil;
        uint64 endBy;
        uint32 window; // seconds between the confirmation of the result and settlement
        uint8 auditors; // validators in a committee and in a jury, an odd number; 0: no audits, no disputes
        uint64 auditPrice; // tinybar for one audit, and for one juror's vote
        uint32 audits; // that are paid, at most
        uint64 bond; // tinybar that whoever opens a dispute puts down
        uint64 slash; // tinybar of the stake that proven fraud costs
        uint16 finderShare; // of it for whoever opened the dispute, in 1/10,000; the rest is the client's
        uint32 disputeTime; // seconds until a jury must be drawn, and then until it must have decided
    }

    enum Phase {
        None,
        Created,
        Awarded,
        Running,
        Settling, // a result is confirmed, its window is open
        Settled, // trainers claim
        Cancelled, // by the client before the start; trainers are released
        Expired, // a deadline passed; trainers are released
        Lapsed // the time to claim is over; trainers that did not claim are released
    }

    /// @notice Why a task expired, as in the event `Expired`.
    enum ExpiryReason {
        None,
        NotAwarded, // full refund
        TooFewAccepted, // full refund, stakes released
        NotStarted, // compensation for each accepted trainer, the rest refunded
        EndedOnProgress, // settled by the last confirmed checkpoint; the sums are in `Settled`
        NoProgress, // full refund, stakes released
        ClaimsLapsed // what nobody claimed is refunded
    }

    /// @notice The last checkpoint that a quorum confirmed.
    struct Progress {
        uint32 round;
        uint32 units;
        uint32 aggregates;
        uint32 audits;
        bytes32 checkpoint;
        bytes32 creditsRoot;
    }

    struct Result {
        uint64 logPosition;
        uint32 round;
        uint32 units;
        uint32 aggregates;
        uint32 audits;
        bytes32 result;
        bytes32 creditsRoot;
    }

    struct Task {
        address client;
        uint64 topic;
        Phase phase;
        uint16 quorum; // votes that confirm; 0 before the start
        bytes32 manifestHash;
        Plan plan;
        uint64 escrow; // tinybar paid in at creation
        uint64 reserved; // tinybar of it still held: all of it, then unpaid claims or compensation
        uint64 unitPrice;
        uint16 primaries;
        uint16 primariesAccepted;
        uint16 accepted;
        uint16 ready;
        uint16 idle; // seats that were not ready at the start, and are not released yet
        bytes32 awardRoot;
        uint64 settleAfter;
        uint64 claimUntil;
        uint32 claimedUnits;
        uint32 claimedAggregates;
        uint32 claimedAudits;
        uint64 compensationDue; // tinybar for each trainer at its release, if the task was never started
        uint32 drawnRound; // up to which an audit draw was made
        uint64 drawBlock; // in which a draw was asked for; 0 while none is
        uint16 openDisputes;
        uint32 disputes; // ever opened
        bool appealed; // the result was upheld by a jury in place of the quorum
        bytes32 wrongProposal; // a confirmed result, or progress, that a jury replaced
        bytes32 rightProposal; // what the jury upheld
        address finder; // whoever opened that dispute
        Progress progress;
        Result result;
    }

    struct Validator {
        uint64 stake; // its part of the account's locked stake
        uint32 place; // in the pool, from 1; 0: not in it
        uint32 duties; // juries it sits on
        uint64 leftBlock; // in which it left the pool last
    }

    /// @notice A validator that was drawn, with what its entries in the log are checked by.
    struct Member {
        address validator;
        bytes32 signingKey;
        bytes32 recipient;
    }

    enum DisputeKind {
        Fraud, // about one trainer's work
        Result, // about a confirmed result
        Appeal // about a result that no quorum confirmed
    }

    enum DisputeState {
        None,
        Open,
        Upheld,
        Rejected,
        Void // no jury, or none that agreed, or another dispute settled the same before
    }

    struct Dispute {
        bytes32 taskId;
        DisputeKind kind;
        DisputeState state;
        uint8 upheld; // votes
        uint8 rejected;
        uint64 bond;
        uint64 openedAt;
        uint64 drawBlock; // in which its jury was asked for
        uint64 decideBy; // 0 before its jury is drawn
        address challenger;
        address accused; // 0 where it is about a result
        bytes32 subject; // hash of the log entry that shows the fraud, or of the proposal
        address[] jury;
        Result replacement;
    }

    enum Ballot {
        None, // not a juror
        Due,
        Uphold,
        Reject
    }

    struct Account {
        bytes32 signingKey;
        bytes32 recipient;
        uint64 stake; // the locked part included
        uint64 locked;
        uint64 balance; // what `withdraw` pays
        uint64 unbonding; // was stake, becomes balance
        uint64 unbondAt;
    }

    struct Seat {
        bool accepted;
        bool ready;
        bool closed; // claimed or released
        bool slashed;
        uint32 units;
        uint16 rank;
    }

    // ------------------------------------------------------------------ events

    event Registered(address indexed account, bytes32 signingKey, bytes32 recipient, uint64 stake);
    event StakeDeposited(address indexed account, uint64 amount);
    event UnstakeRequested(address indexed account, uint64 amount, uint64 unbondAt);
    event UnstakeCancelled(address indexed account, uint64 amount);
    event Unstaked(address indexed account, uint64 amount);
    event ValidatorJoined(address indexed account, uint64 locked);
    event ValidatorLeft(address indexed account);
    event Withdrawn(address indexed account, uint64 amount);

    event TaskCreated(
        bytes32 indexed taskId,
        address indexed client,
        uint64 topic,
        bytes32 manifestHash,
        bytes32 signingKey,
        bytes32 recipient,
        Plan plan,
        uint64 escrow
    );
    event Awarded(bytes32 indexed taskId, bytes32 root, uint64 unitPrice, uint16 primaries);
    event Accepted(
        bytes32 indexed taskId,
        address indexed trainer,
        bytes32 signingKey,
        bytes32 recipient,
        uint32 units,
        uint16 rank
    );
    event TrainerReady(bytes32 indexed taskId, address indexed trainer);
    event Started(bytes32 indexed taskId, uint16 accepted, uint16 ready, uint16 quorum);
    event CheckpointVoted(
        bytes32 indexed taskId,
        address indexed voter,
        uint32 round,
        bytes32 checkpoint,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    );
    event CheckpointConfirmed(
        bytes32 indexed taskId,
        uint32 round,
        bytes32 checkpoint,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    );
    event ResultPublished(
        bytes32 indexed taskId,
        address indexed voter,
        bytes32 result,
        uint64 logPosition,
        uint32 round,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    );
    event ResultVoted(bytes32 indexed taskId, address indexed voter, bytes32 result, bytes32 proposal);
    event ResultConfirmed(
        bytes32 indexed taskId,
        bytes32 result,
        uint64 logPosition,
        uint32 round,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot,
        uint64 settleAfter
    );
    event Settled(bytes32 indexed taskId, uint64 reserved, uint64 refunded);
    event Claimed(
        bytes32 indexed taskId,
        address indexed trainer,
        uint32 units,
        uint32 aggregates,
        uint64 paid,
        uint64 stakeReturned,
        uint64 penalty, // of the stake, to the client
        uint64 finderFee, // of the stake, to whoever found a wrong vote
        uint64 forfeited // pay of a slashed trainer, to the client
    );
    event AuditsClaimed(bytes32 indexed taskId, address indexed validator, uint32 audits, uint64 paid);
    event Cancelled(bytes32 indexed taskId, uint64 refunded, uint64 compensation);
    event Expired(bytes32 indexed taskId, uint8 reason, uint64 refunded, uint64 compensation);
    event Released(bytes32 indexed taskId, address indexed trainer, uint64 stakeReturned, uint64 compensation);

    event DrawRequested(bytes32 indexed taskId, uint32 round);
    event Drawn(bytes32 indexed taskId, uint32 round, bytes32 seed, Member[] committee);
    event DisputeOpened(
        bytes32 indexed taskId,
        bytes32 indexed disputeId,
        DisputeKind kind,
        address challenger,
        address accused,
        bytes32 subject,
        uint64 bond
    );
    event ReplacementProposed(bytes32 indexed taskId, bytes32 indexed disputeId, Result result);
    event JuryRequested(bytes32 indexed taskId, bytes32 indexed disputeId);
    event JuryDrawn(bytes32 indexed taskId, bytes32 indexed disputeId, Member[] jury, uint64 decideBy);
    event Judged(bytes32 indexed taskId, bytes32 indexed disputeId, address indexed juror, bool upheld);
    event JurorPaid(bytes32 indexed taskId, bytes32 indexed disputeId, address indexed juror, uint64 amount);
    event JurorFined(bytes32 indexed taskId, bytes32 indexed disputeId, address indexed juror, uint64 amount);
    event DisputeClosed(
        bytes32 indexed taskId, bytes32 indexed disputeId, DisputeState state, address bondTo, uint64 bondReturned
    );
    event Slashed(bytes32 indexed taskId, address indexed trainer, uint64 toFinder, uint64 toClient);
    event ResultReplaced(
        bytes32 indexed taskId, bytes32 indexed disputeId, bytes32 result, uint64 settleAfter
    );

    // ------------------------------------------------------------------ errors

    // The call took effect before: a retry may take these for success.
    error AlreadyRegistered(address account);
    error TaskExists(bytes32 taskId);
    error AlreadyAwarded(bytes32 taskId);
    error AlreadyAccepted(bytes32 taskId, address trainer);
    error AlreadyReady(bytes32 taskId, address trainer);
    error AlreadyStarted(bytes32 taskId);
    error AlreadyVoted(bytes32 taskId, bytes32 proposal, address voter);
    error AlreadySettled(bytes32 taskId);
    error AlreadyClosed(bytes32 taskId, address trainer);
    error AlreadyCancelled(bytes32 taskId);
    error AlreadyExpired(bytes32 taskId);
    error NothingToWithdraw(address account);
    error NothingToUnstake(address account);
    error AlreadyValidator(address account);
    error AlreadyRequested(bytes32 taskId);
    error AlreadyDrawn(bytes32 disputeId);
    error AlreadyJudged(bytes32 disputeId, address juror);
    error AlreadyResolved(bytes32 disputeId);
    error AlreadyDisputed(bytes32 taskId);
    error AlreadySlashed(bytes32 taskId, address trainer);

    // The call is not allowed.
    error NotTinybar(uint256 given);
    error AmountOutOfRange(uint256 given);
    error ZeroValue(bytes32 argument);
    error NotRegistered(address account);
    error InsufficientStake(uint64 needed, uint64 free);
    error InvalidPlan(bytes32 field);
    error WrongEscrow(uint256 expected, uint256 given);
    error UnknownTask(bytes32 taskId);
    error WrongPhase(bytes32 taskId, Phase phase);
    error NotClient(bytes32 taskId, address account);
    error ClientCannotTrain(bytes32 taskId);
    error NotAccepted(bytes32 taskId, address account);
    error NotAVoter(bytes32 taskId, address account);
    error TooEarly(uint64 notBefore, uint64 time);
    error TooLate(uint64 until, uint64 time);
    error PriceTooHigh(uint64 maximum, uint64 given);
    error PrimariesOutOfRange(uint16 minimum, uint16 maximum, uint16 given);
    error BadProof(bytes32 taskId, address account);
    error NoFreeSeat(bytes32 taskId);
    error RankTooLow(uint16 vacancies, uint16 rank);
    error TooFewReady(uint16 needed, uint16 ready);
    error OutOfBounds(bytes32 argument, uint256 maximum, uint256 given);
    error BelowProgress(uint32 confirmedUnits, uint32 given);
    error NoSuchProposal(bytes32 taskId, bytes32 proposal);
    error AlreadyPublished(bytes32 taskId, bytes32 proposal);
    error CreditsExhausted(bytes32 taskId);
    error WithdrawFailed(address account, uint64 amount);
    error NotAValidator(address account);
    error OnDuty(address account, uint32 duties);
    error NoDisputes(bytes32 taskId);
    error DisputesOpen(bytes32 taskId, uint16 open);
    error WrongBond(uint64 expected, uint256 given);
    error NothingToDraw(bytes32 taskId);
    error SeedNotYet(uint64 seedBlock);
    error TooFewValidators(uint256 wanted, uint256 found);
    error StillDrawable(address account, uint64 untilBlock);
    error NotReady(bytes32 taskId, address trainer);
    error NoFunction();
    error UnknownDispute(bytes32 disputeId);
    error NotAJuror(bytes32 disputeId, address account);
    error SameResult(bytes32 taskId, bytes32 proposal);
    error OwnWork(bytes32 taskId, address account);
    error NotAuditor(bytes32 taskId, address account);
}
