// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Guest} from "./Guest.sol";
import {Market} from "./Market.sol";
import {Merkle} from "./Merkle.sol";
import {Scene} from "./Scene.sol";

/// @title Every call that the market refuses, and with which error.
contract RefusalsTest is Scene {
    bytes32 private constant NOWHERE = "nowhere";

    // ------------------------------------------------------------------ accounts

    function construct(uint256 value, uint64 unbonding, uint64 validatorStake) external returns (address) {
        return _construct(value, unbonding, validatorStake, MIN_DISPUTE_TIME);
    }

    function testFuzz_deploymentTellsTheUnitOfValue(uint256 value, uint64 validatorStake) external {
        value = _within(value, 0, FUNDS);
        vm.deal(address(this), FUNDS);
        bytes memory expected;
        if (value > 1) expected = abi.encodeWithSelector(NotTinybar.selector, value);
        else if (validatorStake == 0) expected = _zero("validatorStake");
        try this.construct(value, UNBONDING, validatorStake) returns (address made) {
            vm.assertTrue(expected.length == 0, "a market was deployed that cannot work");
            (uint64 unbonding, uint64 stake,) = Market(made).settings();
            vm.assertTrue(unbonding == UNBONDING && stake == validatorStake, "other settings");
        } catch (bytes memory why) {
            vm.assertTrue(keccak256(why) == keccak256(expected), "a deployment was refused with another error");
        }
    }

    function test_noFunction() external {
        _refused(stranger, 1, "", abi.encodeWithSelector(NoFunction.selector));
        _refused(stranger, abi.encodeWithSignature("nothing()"), "");
    }

    /// @dev Only the owner pauses, and nothing but the creation of tasks.
    function test_pause() external {
        bytes memory notOwner = abi.encodeWithSignature("OwnableUnauthorizedAccount(address)", stranger);
        _refused(stranger, abi.encodeCall(Market.pause, ()), notOwner);
        _refused(stranger, abi.encodeCall(Market.unpause, ()), notOwner);
        _register();
        market.pause();
        bytes memory paused = abi.encodeWithSignature("EnforcedPause()");
        _refused(client, _escrowOf(plan), _createCall(MANIFEST, plan), paused);
        _do(stranger, 5, _registerCall());
        market.unpause();
        _do(client, _escrowOf(plan), _createCall(MANIFEST, plan));
        market.pause();
        vm.warp(plan.bidUntil + 1);
        _do(client, _awardCall(UNIT_PRICE, PRIMARIES));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _acceptCall(i));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
        _do(trainers[0], _publishCall(_offer()));
        _do(trainers[1], _confirmCall(_offer()));
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        _do(stranger, _claimCall(0));
        _do(trainers[0], abi.encodeCall(Market.withdraw, ()));
    }

    function test_register() external {
        _do(stranger, _registerCall());
        _refused(stranger, _registerCall(), abi.encodeWithSelector(AlreadyRegistered.selector, stranger));
        bytes memory noKey = abi.encodeCall(Market.register, (0, RECIPIENT));
        bytes memory noRecipient = abi.encodeCall(Market.register, (KEY, 0));
        _refused(client, noKey, _zero("signingKey"));
        _refused(client, noRecipient, _zero("recipient"));
        uint256 tooMuch = uint256(type(uint64).max) + 1;
        vm.deal(client, tooMuch);
        _refused(client, tooMuch, _registerCall(), abi.encodeWithSelector(AmountOutOfRange.selector, tooMuch));
    }

    function test_depositStake() external {
        bytes memory call = abi.encodeCall(Market.depositStake, ());
        _refused(stranger, 1, call, abi.encodeWithSelector(NotRegistered.selector, stranger));
        _do(stranger, _registerCall());
        _refused(stranger, call, _zero("value"));
    }

    function test_unstake() external {
        bytes memory request = abi.encodeCall(Market.requestUnstake, (6));
        bytes memory cancel = abi.encodeCall(Market.cancelUnstake, ());
        bytes memory complete = abi.encodeCall(Market.completeUnstake, ());
        _refused(stranger, request, abi.encodeWithSelector(NotRegistered.selector, stranger));
        _do(stranger, 10, _registerCall());
        _refused(stranger, cancel, abi.encodeWithSelector(NothingToUnstake.selector, stranger));
        _refused(stranger, complete, abi.encodeWithSelector(NothingToUnstake.selector, stranger));
        _refused(stranger, abi.encodeCall(Market.requestUnstake, (0)), _zero("amount"));
        _do(stranger, request);
        _refused(stranger, request, abi.encodeWithSelector(InsufficientStake.selector, 6, 4));
        vm.warp(START + UNBONDING - 1);
        _refused(stranger, complete, _tooEarly(START + UNBONDING));
        vm.warp(START + UNBONDING);
        _do(stranger, complete);
        _refused(stranger, complete, abi.encodeWithSelector(NothingToUnstake.selector, stranger));
        vm.warp(START);
        _awarded(1);
        bytes memory locked = abi.encodeCall(Market.requestUnstake, (1));
        _refused(trainers[0], locked, abi.encodeWithSelector(InsufficientStake.selector, 1, 0));
        _refused(validators[0], locked, abi.encodeWithSelector(InsufficientStake.selector, 1, 0));
    }

    function test_withdraw() external {
        bytes memory call = abi.encodeCall(Market.withdraw, ());
        _refused(stranger, call, abi.encodeWithSelector(NothingToWithdraw.selector, stranger));
        Guest guest = new Guest();
        vm.deal(address(guest), 100);
        address[2] memory both = [address(guest), stranger];
        for (uint256 i = 0; i < 2; ++i) {
            _do(both[i], 100, _registerCall());
            _do(both[i], abi.encodeCall(Market.requestUnstake, (100)));
        }
        vm.warp(START + UNBONDING);
        for (uint256 i = 0; i < 2; ++i) _do(both[i], abi.encodeCall(Market.completeUnstake, ()));
        guest.setRefuses(true);
        _refused(address(guest), call, abi.encodeWithSelector(WithdrawFailed.selector, address(guest), 100));
        vm.assertEq(_account(address(guest)).balance, 100, "a payment that fails stays in the balance");
        guest.setRefuses(false);
        _do(address(guest), call);
        vm.assertTrue(guest.payments() == 1 && !guest.gotIn(), "a payment was entered again");
        _refused(address(guest), call, abi.encodeWithSelector(NothingToWithdraw.selector, address(guest)));
        vm.assertEq(address(guest).balance, 100, "paid twice");
    }

    // ------------------------------------------------------------------ plans

    function _invalid(bytes32 field, Plan memory changed) private {
        _refused(client, _createCall(MANIFEST, changed), abi.encodeWithSelector(InvalidPlan.selector, field));
    }

    function test_planNumbers() external {
        Plan memory p = _usualPlan();
        p.rounds = 0;
        _invalid("rounds", p);
        p = _usualPlan();
        p.rounds = 2 ** 31 - 1;
        _invalid("chunks", p);
        p = _usualPlan();
        p.seats = 0;
        _invalid("seats", p);
        p.seats = uint16(p.chunks + 1);
        _invalid("seats", p);
        p = _usualPlan();
        p.minTrainers = 1;
        _invalid("minTrainers", p);
        p.minTrainers = p.seats + 1;
        _invalid("minTrainers", p);
        p = _soloPlan();
        p.minTrainers = 0;
        _invalid("minTrainers", p);
        p = _usualPlan();
        p.noShowPenalty = p.stakePerSeat + 1;
        _invalid("noShowPenalty", p);
        p = _usualPlan();
        p.compensation = 0;
        p.compensation = uint64(_escrowOf(p) / p.minTrainers) + 1;
        _invalid("compensation", p);
    }

    function test_planTimes() external {
        Plan memory p = _usualPlan();
        p.bidUntil = START;
        _invalid("bidUntil", p);
        p = _usualPlan();
        p.awardUntil = p.bidUntil;
        _invalid("awardUntil", p);
        p = _usualPlan();
        p.acceptUntil = p.awardUntil;
        _invalid("acceptUntil", p);
        p = _usualPlan();
        p.standbyUntil = p.acceptUntil;
        _invalid("standbyUntil", p);
        p = _usualPlan();
        p.startUntil = p.standbyUntil;
        _invalid("startUntil", p);
        p = _usualPlan();
        p.endBy = p.startUntil;
        _invalid("endBy", p);
        p.endBy = START + 90 days + 1;
        _invalid("endBy", p);
        p = _usualPlan();
        p.window = 30 days + 1;
        _invalid("window", p);
    }

    function test_planDisputes() external {
        Plan memory p = _plainPlan();
        p.auditPrice = 1;
        _invalid("auditors", p);
        p = _plainPlan();
        p.audits = 1;
        _invalid("auditors", p);
        p = _plainPlan();
        p.bond = 1;
        _invalid("auditors", p);
        p = _plainPlan();
        p.slash = 1;
        _invalid("auditors", p);
        p = _plainPlan();
        p.finderShare = 1;
        _invalid("auditors", p);
        p = _plainPlan();
        p.disputeTime = 1;
        _invalid("auditors", p);
        p = _usualPlan();
        p.auditors = 2;
        _invalid("auditors", p);
        p.auditors = 9;
        _invalid("auditors", p);
        p = _usualPlan();
        p.auditPrice = 0;
        _invalid("auditPrice", p);
        p.auditPrice = VALIDATOR_STAKE / 16 + 1;
        _invalid("auditPrice", p);
        p = _usualPlan();
        p.audits = 2 ** 31;
        _invalid("audits", p);
        p = _usualPlan();
        p.bond = 3 * p.auditPrice - 1;
        _invalid("bond", p);
        p = _usualPlan();
        p.slash = 0;
        _invalid("slash", p);
        p.slash = p.stakePerSeat + 1;
        _invalid("slash", p);
        p = _usualPlan();
        p.finderShare = 10_001;
        _invalid("finderShare", p);
        p = _usualPlan();
        p.disputeTime = 0;
        _invalid("disputeTime", p);
        p.disputeTime = 30 days + 1;
        _invalid("disputeTime", p);
    }

    /// @dev What is just allowed.
    function test_planBounds() external {
        Plan memory p = _usualPlan();
        p.auditors = 7;
        p.auditPrice = VALIDATOR_STAKE / 16;
        p.bond = 7 * p.auditPrice;
        p.slash = p.noShowPenalty = p.stakePerSeat;
        p.finderShare = 10_000;
        p.disputeTime = p.window = 30 days;
        p.seats = p.minTrainers = uint16(p.chunks);
        p.compensation = uint64(_escrowOf(p) / p.seats);
        p.endBy = START + 90 days;
        p.bidUntil = START + 1;
        _do(client, _escrowOf(p), _createCall(MANIFEST, p));
        _do(client, _escrowOf(_plainPlan()), _createCall("another", _plainPlan()));
    }

    function test_createTask() external {
        uint256 escrow = _escrowOf(plan);
        _refused(client, escrow, _createCall(0, plan), _zero("manifestHash"));
        bytes memory noKey = abi.encodeCall(Market.createTask, (MANIFEST, 7, 0, RECIPIENT, plan));
        _refused(client, escrow, noKey, _zero("signingKey"));
        bytes memory call = _createCall(MANIFEST, plan);
        _refused(client, escrow - 1, call, abi.encodeWithSelector(WrongEscrow.selector, escrow, escrow - 1));
        _refused(client, escrow + 1, call, abi.encodeWithSelector(WrongEscrow.selector, escrow, escrow + 1));
        _do(client, escrow, call);
        _refused(client, escrow, call, abi.encodeWithSelector(TaskExists.selector, task));
        plan.maxUnitPrice = type(uint64).max;
        escrow = _escrowOf(plan);
        vm.deal(client, escrow);
        call = _createCall("another", plan);
        _refused(client, escrow, call, abi.encodeWithSelector(AmountOutOfRange.selector, escrow));
    }

    // ------------------------------------------------------------------ before the start

    function test_award() external {
        _refused(client, _awardCall(1, 2), abi.encodeWithSelector(UnknownTask.selector, task));
        _created();
        _refused(stranger, _awardCall(1, 2), abi.encodeWithSelector(NotClient.selector, task, stranger));
        vm.warp(plan.bidUntil);
        _refused(client, _awardCall(1, 2), _tooEarly(plan.bidUntil + 1));
        vm.warp(plan.awardUntil + 1);
        _refused(client, _awardCall(1, 2), _tooLate(plan.awardUntil));
        vm.warp(plan.awardUntil);
        _refused(client, abi.encodeCall(Market.award, (task, 0, 1, 2)), _zero("root"));
        _refused(client, _awardCall(1_001, 2), abi.encodeWithSelector(PriceTooHigh.selector, 1_000, 1_001));
        _refused(client, _awardCall(1, 1), abi.encodeWithSelector(PrimariesOutOfRange.selector, 2, 4, 1));
        _refused(client, _awardCall(1, 5), abi.encodeWithSelector(PrimariesOutOfRange.selector, 2, 4, 5));
        _do(client, _awardCall(1_000, 4));
        _refused(client, _awardCall(1_000, 4), abi.encodeWithSelector(AlreadyAwarded.selector, task));
    }

    function test_awardOfACancelledTask() external {
        _created();
        _do(client, _cancelCall());
        _refused(client, _awardCall(1, 2), _wrongPhase());
    }

    function test_accept() external {
        _refused(stranger, _acceptCall(0), abi.encodeWithSelector(UnknownTask.selector, task));
        _created();
        _refused(trainers[0], _acceptCall(0), _wrongPhase());
        vm.warp(plan.bidUntil + 1);
        _do(client, _awardCall(UNIT_PRICE, PRIMARIES));
        _refused(client, _acceptCall(0), abi.encodeWithSelector(ClientCannotTrain.selector, task));
        _refused(stranger, _acceptCall(0), abi.encodeWithSelector(NotRegistered.selector, stranger));
        _refused(trainers[1], _acceptCall(0), abi.encodeWithSelector(BadProof.selector, task, trainers[1]));
        _do(trainers[0], _acceptCall(0));
        _refused(trainers[0], _acceptCall(0), abi.encodeWithSelector(AlreadyAccepted.selector, task, trainers[0]));
        _refused(trainers[3], _acceptCall(3), _tooEarly(plan.acceptUntil + 1));
        _do(trainers[1], _acceptCall(1));
        vm.warp(plan.acceptUntil + 1);
        _refused(trainers[2], _acceptCall(2), _tooLate(plan.acceptUntil));
        _refused(trainers[4], _acceptCall(4), abi.encodeWithSelector(RankTooLow.selector, 1, 2));
        vm.warp(plan.standbyUntil + 1);
        _refused(trainers[3], _acceptCall(3), _tooLate(plan.standbyUntil));
        vm.warp(plan.standbyUntil);
        _do(trainers[3], _acceptCall(3));
        _refused(trainers[4], _acceptCall(4), abi.encodeWithSelector(NoFreeSeat.selector, task));
    }

    function test_acceptWithoutStake() external {
        plan.stakePerSeat -= 1;
        _register();
        plan.stakePerSeat += 1;
        _do(client, _escrowOf(plan), _createCall(MANIFEST, plan));
        vm.warp(plan.bidUntil + 1);
        _do(client, _awardCall(UNIT_PRICE, PRIMARIES));
        _refused(trainers[0], _acceptCall(0), abi.encodeWithSelector(InsufficientStake.selector, 10_000, 9_999));
    }

    function test_ready() external {
        _refused(trainers[0], _readyCall(), abi.encodeWithSelector(UnknownTask.selector, task));
        _awarded(3);
        _refused(trainers[3], _readyCall(), abi.encodeWithSelector(NotAccepted.selector, task, trainers[3]));
        _do(trainers[0], _readyCall());
        _refused(trainers[0], _readyCall(), abi.encodeWithSelector(AlreadyReady.selector, task, trainers[0]));
        vm.warp(plan.startUntil + 1);
        _refused(trainers[1], _readyCall(), _tooLate(plan.startUntil));
        vm.warp(plan.startUntil);
        _do(trainers[1], _readyCall());
        _do(client, _startCall());
        _refused(trainers[2], _readyCall(), _wrongPhase());
    }

    function test_start() external {
        _refused(client, _startCall(), abi.encodeWithSelector(UnknownTask.selector, task));
        _created();
        _refused(client, _startCall(), _wrongPhase());
        vm.warp(plan.bidUntil + 1);
        _do(client, _awardCall(UNIT_PRICE, PRIMARIES));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _acceptCall(i));
        _do(trainers[0], _readyCall());
        _refused(client, _startCall(), abi.encodeWithSelector(TooFewReady.selector, 2, 1));
        _do(trainers[1], _readyCall());
        _refused(trainers[0], _startCall(), abi.encodeWithSelector(NotClient.selector, task, trainers[0]));
        vm.warp(plan.startUntil + 1);
        _refused(client, _startCall(), _tooLate(plan.startUntil));
        vm.warp(plan.startUntil);
        _do(client, _startCall());
        _refused(client, _startCall(), abi.encodeWithSelector(AlreadyStarted.selector, task));
    }

    function test_cancel() external {
        _refused(client, _cancelCall(), abi.encodeWithSelector(UnknownTask.selector, task));
        _running();
        _refused(stranger, _cancelCall(), abi.encodeWithSelector(NotClient.selector, task, stranger));
        _refused(client, _cancelCall(), _wrongPhase());
    }

    function test_cancelTwice() external {
        _awarded(1);
        _do(client, _cancelCall());
        _refused(client, _cancelCall(), abi.encodeWithSelector(AlreadyCancelled.selector, task));
    }

    // ------------------------------------------------------------------ votes

    function test_voters() external {
        Offer memory o = _offer();
        _refused(client, _publishCall(o), abi.encodeWithSelector(UnknownTask.selector, task));
        _awarded(3);
        _refused(trainers[0], _publishCall(o), _wrongPhase());
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
        bytes memory noVoter = abi.encodeWithSelector(NotAVoter.selector, task, trainers[3]);
        _refused(trainers[3], _checkpointCall(o), noVoter);
        _refused(trainers[3], _publishCall(o), noVoter);
        _do(trainers[0], _publishCall(o));
        _refused(trainers[3], _confirmCall(o), noVoter);
        vm.warp(plan.endBy + 1);
        _refused(trainers[1], _confirmCall(o), _tooLate(plan.endBy));
        _refused(trainers[1], _checkpointCall(o), _tooLate(plan.endBy));
        vm.warp(plan.endBy);
        _do(trainers[1], _confirmCall(o));
        vm.assertTrue(_phase() == Phase.Settling, "two of three are no quorum");
    }

    function test_votes() external {
        _running();
        Offer memory o = _offer();
        bytes32 id = _resultProposal(o);
        _refused(trainers[1], _confirmCall(o), abi.encodeWithSelector(NoSuchProposal.selector, task, id));
        _do(trainers[0], _publishCall(o));
        bytes memory again = abi.encodeWithSelector(AlreadyVoted.selector, task, id, trainers[0]);
        _refused(trainers[0], _publishCall(o), again);
        _refused(trainers[0], _confirmCall(o), again);
        _refused(trainers[1], _publishCall(o), abi.encodeWithSelector(AlreadyPublished.selector, task, id));
        _do(trainers[0], _checkpointCall(o));
        again = abi.encodeWithSelector(AlreadyVoted.selector, task, _checkpointProposal(o), trainers[0]);
        _refused(trainers[0], _checkpointCall(o), again);
    }

    /// @dev Where one vote is a quorum, the client has none.
    function test_clientOfASoloTaskHasNoVote() external {
        plan = _soloPlan();
        _running();
        bytes memory noVoter = abi.encodeWithSelector(NotAVoter.selector, task, client);
        _refused(client, _publishCall(_offer()), noVoter);
        _refused(client, _checkpointCall(_offer()), noVoter);
        _do(trainers[0], _publishCall(_offer()));
        vm.assertTrue(_phase() == Phase.Settling, "the trainer's word is a quorum");
    }

    function _bothRefuse(Offer memory o, bytes memory why) private {
        _refused(trainers[0], _checkpointCall(o), why);
        _refused(trainers[0], _publishCall(o), why);
    }

    function test_bounds() external {
        _running();
        Offer memory o = _offer();
        o.round = plan.rounds + 1;
        _bothRefuse(o, abi.encodeWithSelector(OutOfBounds.selector, bytes32("round"), 3, 4));
        o = _offer();
        o.units = plan.rounds * plan.chunks + 1;
        _bothRefuse(o, abi.encodeWithSelector(OutOfBounds.selector, bytes32("units"), 24, 25));
        o = _offer();
        o.aggregates = plan.rounds + 1;
        _bothRefuse(o, abi.encodeWithSelector(OutOfBounds.selector, bytes32("aggregates"), 3, 4));
        o = _offer();
        o.audits = plan.audits + 1;
        _bothRefuse(o, abi.encodeWithSelector(OutOfBounds.selector, bytes32("audits"), 6, 7));
        o = _offer();
        o.root = 0;
        _bothRefuse(o, _zero("creditsRoot"));
        o = _offer();
        o.hash = 0;
        _bothRefuse(o, _zero("hash"));
        o = _offer();
        o.round = 0;
        _refused(trainers[0], _checkpointCall(o), _zero("round"));
    }

    function test_resultBelowProgress() external {
        _running();
        Offer memory less = _offer();
        less.units -= 1;
        _do(trainers[0], _publishCall(less));
        _do(trainers[0], _checkpointCall(_offer()));
        _do(trainers[1], _checkpointCall(_offer()));
        bytes memory why = abi.encodeWithSelector(BelowProgress.selector, less.units + 1, less.units);
        _refused(trainers[1], _confirmCall(less), why);
        less.logPosition += 1;
        _refused(trainers[1], _publishCall(less), why);
    }

    // ------------------------------------------------------------------ ends

    function test_settle() external {
        _refused(stranger, _settleCall(), abi.encodeWithSelector(UnknownTask.selector, task));
        _running();
        _refused(stranger, _settleCall(), _wrongPhase());
        _do(trainers[0], _publishCall(_offer()));
        _do(trainers[1], _confirmCall(_offer()));
        uint64 from = _task().settleAfter;
        vm.assertEq(from, block.timestamp + plan.window, "the window begins with the quorum");
        vm.warp(from - 1);
        _refused(stranger, _settleCall(), _tooEarly(from));
        vm.warp(from);
        _do(stranger, _settleCall());
        _refused(stranger, _settleCall(), abi.encodeWithSelector(AlreadySettled.selector, task));
    }

    function test_claim() external {
        _refused(stranger, _claimCall(0), abi.encodeWithSelector(UnknownTask.selector, task));
        _settling();
        _refused(stranger, _claimCall(0), _wrongPhase());
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        Credit memory c = Credit(trainers[3], 0, 0, false);
        bytes memory unseated = abi.encodeWithSelector(NotAccepted.selector, task, trainers[3]);
        _refused(stranger, _claimCall(task, c, new bytes32[](0)), unseated);
        _do(stranger, _claimCall(0));
        _refused(stranger, _claimCall(0), abi.encodeWithSelector(AlreadyClosed.selector, task, trainers[0]));
    }

    function testFuzz_forgedClaim(Credit memory c, bytes32[] memory proof, uint256 who) external {
        _settled();
        c.trainer = trainers[who % PRIMARIES];
        _refused(stranger, _claimCall(task, c, proof), abi.encodeWithSelector(BadProof.selector, task, c.trainer));
    }

    /// @dev The leaves promise one more, of whatever, than was confirmed: who comes last is refused.
    function testFuzz_overpromise(uint256 what) external {
        _running();
        Offer memory o = _offer();
        what %= 3;
        if (what == 0) o.units -= 1;
        else if (what == 1) o.aggregates -= 1;
        else o.audits = 2;
        _do(trainers[0], _publishCall(o));
        _do(trainers[1], _confirmCall(o));
        _do(client, _requestCall());
        vm.warp(block.timestamp + 2);
        _do(stranger, _drawCall());
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        _do(stranger, _claimCall(2));
        _do(stranger, _claimCall(1));
        if (what < 2) _refused(stranger, _claimCall(0), abi.encodeWithSelector(CreditsExhausted.selector, task));
        uint256 paid;
        for (uint256 i = 0; i < validators.length; ++i) {
            (bool ok, bytes memory why) = _try(stranger, 0, _claimAuditsCall(i));
            if (ok) ++paid;
            else if (what == 2 && paid == 2) _oneOf(why, NotAuditor.selector, CreditsExhausted.selector);
            else vm.assertTrue(bytes4(why) == NotAuditor.selector, "an auditor is not paid");
        }
        vm.assertEq(paid, what == 2 ? 2 : 3, "audits paid");
    }

    function _oneOf(bytes memory why, bytes4 one, bytes4 other) private pure {
        vm.assertTrue(bytes4(why) == one || bytes4(why) == other, "a call was refused with another error");
    }

    function test_expireCreated() external {
        _refused(stranger, _expireCall(), abi.encodeWithSelector(UnknownTask.selector, task));
        _created();
        vm.warp(plan.awardUntil);
        _refused(stranger, _expireCall(), _tooEarly(plan.awardUntil + 1));
        vm.warp(plan.awardUntil + 1);
        _do(stranger, _expireCall());
        _refused(stranger, _expireCall(), abi.encodeWithSelector(AlreadyExpired.selector, task));
    }

    function test_expireAwarded() external {
        _awarded(1);
        vm.warp(plan.standbyUntil);
        _refused(stranger, _expireCall(), _tooEarly(plan.standbyUntil + 1));
    }

    function test_expireNotStarted() external {
        _awarded(2);
        vm.warp(plan.startUntil);
        _refused(stranger, _expireCall(), _tooEarly(plan.startUntil + 1));
    }

    function test_expireRunning() external {
        _running();
        vm.warp(plan.endBy + plan.disputeTime);
        _refused(stranger, _expireCall(), _tooEarly(plan.endBy + plan.disputeTime + 1));
    }

    function test_expireSettled() external {
        _settling();
        _refused(stranger, _expireCall(), _wrongPhase());
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        vm.warp(_task().claimUntil);
        _refused(stranger, _expireCall(), abi.encodeWithSelector(AlreadySettled.selector, task));
        vm.warp(_task().claimUntil + 1);
        _do(stranger, _expireCall());
        _refused(stranger, _expireCall(), abi.encodeWithSelector(AlreadyExpired.selector, task));
        _refused(stranger, _claimCall(0), _wrongPhase());
    }

    function test_release() external {
        _refused(stranger, _releaseCall(trainers[0]), abi.encodeWithSelector(UnknownTask.selector, task));
        _awarded(1);
        _refused(stranger, _releaseCall(trainers[0]), _wrongPhase());
        _do(client, _cancelCall());
        bytes memory unseated = abi.encodeWithSelector(NotAccepted.selector, task, trainers[1]);
        _refused(stranger, _releaseCall(trainers[1]), unseated);
        _do(stranger, _releaseCall(trainers[0]));
        bytes memory closed = abi.encodeWithSelector(AlreadyClosed.selector, task, trainers[0]);
        _refused(stranger, _releaseCall(trainers[0]), closed);
    }

    /// @dev Without disputes a running task ends at once after its deadline.
    function test_expireRunningWithoutDisputes() external {
        plan = _plainPlan();
        delete audits;
        _running();
        vm.warp(plan.endBy);
        _refused(stranger, _expireCall(), _tooEarly(plan.endBy + 1));
        vm.warp(plan.endBy + 1);
        _do(stranger, _expireCall());
    }

    function test_viewOfAnUnknownTask() external {
        bytes memory call = abi.encodeCall(Market.getTask, (NOWHERE));
        _refused(stranger, call, abi.encodeWithSelector(UnknownTask.selector, NOWHERE));
    }
}
