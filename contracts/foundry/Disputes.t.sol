// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "./Market.sol";
import {Scene} from "./Scene.sol";

/// @title Disputes: what opens one, who decides it, and what each end costs whom.
contract DisputesTest is Scene {
    function setUp() public override {
        super.setUp();
        _do(stranger, _registerCall());
    }

    function _id(uint256 which) private view returns (bytes32) {
        return keccak256(abi.encode(task, which));
    }

    function _drawJuryCall(bytes32 id) private pure returns (bytes memory) {
        return abi.encodeCall(Market.drawJury, (id));
    }

    function _judgeCall(bytes32 id, bool upheld) private pure returns (bytes memory) {
        return abi.encodeCall(Market.judge, (id, upheld));
    }

    function _resolveCall(bytes32 id) private pure returns (bytes memory) {
        return abi.encodeCall(Market.resolve, (id));
    }

    function _replacementOffer() private view returns (Offer memory o) {
        o = _offer();
        o.hash = "right";
    }

    /// @dev A jury of three, drawn in the next second.
    function _jury(bytes32 id) private returns (address[] memory) {
        vm.warp(block.timestamp + 2);
        _do(stranger, _drawJuryCall(id));
        (Dispute memory dispute,) = market.getDispute(id);
        return dispute.jury;
    }

    function _upheld(bytes32 id) private {
        address[] memory jury = _jury(id);
        for (uint256 i = 0; i < jury.length; ++i) _do(jury[i], _judgeCall(id, true));
        _do(stranger, _resolveCall(id));
    }

    /// @dev A quorum withholds its votes: one trainer alone has voted.
    function _withheld() private {
        _running();
        _do(trainers[0], _publishCall(_offer()));
        vm.warp(plan.endBy + 1);
    }

    // ------------------------------------------------------------------ opening

    function test_accuse() external {
        bytes memory call = _accuseCall(task, trainers[0]);
        _refused(stranger, 500, call, abi.encodeWithSelector(UnknownTask.selector, task));
        _awarded(3);
        _refused(stranger, 500, call, abi.encodeWithSelector(NotReady.selector, task, trainers[0]));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
        _refused(client, 500, call, abi.encodeWithSelector(NotRegistered.selector, client));
        bytes memory unseated = abi.encodeWithSelector(NotAccepted.selector, task, trainers[3]);
        _refused(stranger, 500, _accuseCall(task, trainers[3]), unseated);
        _refused(trainers[0], 500, call, abi.encodeWithSelector(OwnWork.selector, task, trainers[0]));
        bytes memory nothing = abi.encodeCall(Market.accuse, (task, trainers[0], 0));
        _refused(stranger, 500, nothing, _zero("evidence"));
        _refused(stranger, 499, call, abi.encodeWithSelector(WrongBond.selector, 500, 499));
        _refused(stranger, 501, call, abi.encodeWithSelector(WrongBond.selector, 500, 501));
        vm.warp(plan.endBy + 1);
        _refused(stranger, 500, call, _tooLate(plan.endBy));
        vm.warp(plan.endBy);
        _do(stranger, 500, call);
        _refused(stranger, 500, call, abi.encodeWithSelector(AlreadyDisputed.selector, task));
        _upheld(_id(1));
        _refused(stranger, 500, call, abi.encodeWithSelector(AlreadySlashed.selector, task, trainers[0]));
    }

    function test_accuseInTheWindow() external {
        _settling();
        uint64 end = _task().settleAfter;
        vm.warp(end);
        _refused(stranger, 500, _accuseCall(task, trainers[0]), _tooLate(end - 1));
        vm.warp(end - 1);
        _do(stranger, 500, _accuseCall(task, trainers[0]));
        vm.warp(end);
        _refused(stranger, _settleCall(), abi.encodeWithSelector(DisputesOpen.selector, task, 1));
        _upheld(_id(1));
        _do(stranger, _settleCall());
        _do(stranger, _claimCall(1));
        bytes memory closed = abi.encodeWithSelector(AlreadyClosed.selector, task, trainers[1]);
        _refused(stranger, 500, _accuseCall(task, trainers[1]), closed);
        _refused(stranger, 500, _accuseCall(task, trainers[2]), _wrongPhase());
    }

    function test_noDisputesWithoutAuditors() external {
        plan = _plainPlan();
        delete audits;
        _running();
        bytes memory none = abi.encodeWithSelector(NoDisputes.selector, task);
        _refused(stranger, _accuseCall(task, trainers[0]), none);
        _refused(stranger, _challengeCall(_offer()), none);
        _refused(stranger, _appealCall(_offer()), none);
        _refused(client, _requestCall(), none);
    }

    function test_challenge() external {
        bytes memory call = _challengeCall(_replacementOffer());
        _refused(stranger, 500, call, abi.encodeWithSelector(UnknownTask.selector, task));
        _progressed();
        _refused(stranger, 500, call, _wrongPhase());
        _do(trainers[0], _publishCall(_offer()));
        _do(trainers[1], _confirmCall(_offer()));
        bytes memory same = abi.encodeWithSelector(SameResult.selector, task, _resultProposal(_offer()));
        _refused(stranger, 500, _challengeCall(_offer()), same);
        Offer memory o = _replacementOffer();
        o.units = 25;
        bytes memory beyond = abi.encodeWithSelector(OutOfBounds.selector, bytes32("units"), 24, 25);
        _refused(stranger, 500, _challengeCall(o), beyond);
        _refused(stranger, 499, call, abi.encodeWithSelector(WrongBond.selector, 500, 499));
        vm.warp(_task().settleAfter);
        _refused(stranger, 500, call, _tooLate(_task().settleAfter - 1));
        vm.warp(_task().settleAfter - 1);
        _do(stranger, 500, call);
        _refused(stranger, 500, call, abi.encodeWithSelector(AlreadyDisputed.selector, task));
    }

    /// @dev What a jury has said is not put before another.
    function test_challengeOfAReplacement() external {
        plan.window = 600;
        _settling();
        _do(stranger, 500, _challengeCall(_replacementOffer()));
        _upheld(_id(1));
        bytes memory again = abi.encodeWithSelector(AlreadyDisputed.selector, task);
        _refused(stranger, 500, _challengeCall(_offer()), again);
    }

    function test_appeal() external {
        bytes memory call = _appealCall(_replacementOffer());
        _refused(stranger, 500, call, abi.encodeWithSelector(UnknownTask.selector, task));
        _awarded(3);
        _refused(stranger, 500, call, _wrongPhase());
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
        vm.warp(plan.endBy);
        _refused(stranger, 500, call, _tooEarly(plan.endBy + 1));
        vm.warp(plan.endBy + plan.disputeTime + 1);
        _refused(stranger, 500, call, _tooLate(plan.endBy + plan.disputeTime));
        vm.warp(plan.endBy + plan.disputeTime);
        _do(stranger, 500, call);
        _refused(stranger, 500, call, abi.encodeWithSelector(AlreadyDisputed.selector, task));
        vm.warp(plan.endBy + plan.disputeTime + 1);
        _refused(stranger, _expireCall(), abi.encodeWithSelector(DisputesOpen.selector, task, 1));
    }

    // ------------------------------------------------------------------ the jury

    function test_drawJury() external {
        bytes32 id = _id(1);
        _refused(stranger, _drawJuryCall(id), abi.encodeWithSelector(UnknownDispute.selector, id));
        _running();
        _do(stranger, 500, _accuseCall(task, trainers[0]));
        uint64 opened = uint64(block.timestamp);
        uint256 asked = block.timestamp - START + 1_000;
        bytes memory notYet = abi.encodeWithSelector(SeedNotYet.selector, asked + 1);
        _refused(stranger, _drawJuryCall(id), notYet);
        vm.warp(opened + 1);
        _refused(stranger, _drawJuryCall(id), notYet);
        vm.warp(opened + plan.disputeTime + 1);
        _refused(stranger, _drawJuryCall(id), _tooLate(opened + plan.disputeTime));
        vm.warp(opened + DRAW_BLOCKS + 1);
        _do(stranger, _drawJuryCall(id));
        (Dispute memory dispute,) = market.getDispute(id);
        vm.assertTrue(dispute.decideBy == 0 && dispute.drawBlock == asked + DRAW_BLOCKS + 1, "asked for anew");
        vm.warp(opened + 2 * DRAW_BLOCKS + 1);
        _do(stranger, _drawJuryCall(id));
        _refused(stranger, _drawJuryCall(id), abi.encodeWithSelector(AlreadyDrawn.selector, id));
    }

    /// @dev Nobody judges its own cause: of four validators the other three are drawn.
    function testFuzz_aChallengerIsNoJuror(uint64 wait) external {
        _running();
        _do(validators[4], _leaveCall());
        _do(validators[0], plan.bond, _accuseCall(task, trainers[0]));
        vm.warp(block.timestamp + wait % (DRAW_BLOCKS - 2));
        address[] memory jury = _jury(_id(1));
        vm.assertEq(jury.length, 3, "the size of a jury");
        for (uint256 i = 0; i < 3; ++i) vm.assertTrue(jury[i] != validators[0], "a challenger judges");
    }

    /// @dev It is refused until there are enough, and only time makes it void; who left before the request is not drawn.
    function test_withoutEnoughValidatorsThereIsNoJury() external {
        _running();
        for (uint256 i = 0; i < 3; ++i) _do(validators[i], _leaveCall());
        vm.warp(block.timestamp + 1);
        uint256 before = _worth(stranger);
        _do(stranger, 500, _accuseCall(task, trainers[0]));
        uint64 opened = uint64(block.timestamp);
        vm.warp(opened + 2);
        bytes memory few = abi.encodeWithSelector(TooFewValidators.selector, 3, 2);
        _refused(stranger, _drawJuryCall(_id(1)), few);
        vm.warp(opened + plan.disputeTime + 1);
        _do(stranger, _resolveCall(_id(1)));
        vm.assertEq(_worth(stranger), before, "the bond does not come back");
        vm.assertTrue(_task().openDisputes == 0, "the dispute is still open");
    }

    function test_judge() external {
        bytes32 id = _id(1);
        _refused(stranger, _judgeCall(id, true), abi.encodeWithSelector(UnknownDispute.selector, id));
        _running();
        _do(stranger, 500, _accuseCall(task, trainers[0]));
        address[] memory jury = _jury(id);
        bytes memory noJuror = abi.encodeWithSelector(NotAJuror.selector, id, stranger);
        _refused(stranger, _judgeCall(id, true), noJuror);
        _do(jury[0], _judgeCall(id, true));
        bytes memory judged = abi.encodeWithSelector(AlreadyJudged.selector, id, jury[0]);
        _refused(jury[0], _judgeCall(id, false), judged);
        (Dispute memory dispute, Ballot[] memory ballots) = market.getDispute(id);
        vm.assertTrue(ballots[0] == Ballot.Uphold && ballots[1] == Ballot.Due, "the ballots");
        vm.warp(dispute.decideBy + 1);
        _refused(jury[1], _judgeCall(id, true), _tooLate(dispute.decideBy));
        vm.warp(dispute.decideBy);
        _do(jury[1], _judgeCall(id, false));
        judged = abi.encodeWithSelector(AlreadyJudged.selector, id, jury[1]);
        _refused(jury[1], _judgeCall(id, false), judged);
        _refused(stranger, _resolveCall(id), _tooEarly(dispute.decideBy + 1));
        vm.warp(dispute.decideBy + 1);
        _do(stranger, _resolveCall(id));
        _refused(jury[2], _judgeCall(id, true), abi.encodeWithSelector(AlreadyResolved.selector, id));
    }

    function test_resolve() external {
        bytes32 id = _id(1);
        _refused(stranger, _resolveCall(id), abi.encodeWithSelector(UnknownDispute.selector, id));
        _running();
        uint256 before = _worth(stranger);
        _do(stranger, 500, _accuseCall(task, trainers[0]));
        uint64 until = uint64(block.timestamp) + plan.disputeTime;
        vm.warp(until);
        _refused(stranger, _resolveCall(id), _tooEarly(until + 1));
        vm.warp(until + 1);
        _do(stranger, _resolveCall(id));
        _refused(stranger, _resolveCall(id), abi.encodeWithSelector(AlreadyResolved.selector, id));
        vm.assertEq(_worth(stranger), before, "the bond does not come back");
    }

    // ------------------------------------------------------------------ what it costs whom

    /// @dev How a jury voted, and what everybody had before it was known.
    struct Trial {
        uint256 kind; // accusation, challenge, appeal
        uint256 up;
        uint256 down;
        address[] jury;
        uint256[3] jurors;
        uint256 challenger;
        uint256 client;
        uint256 accused;
    }

    function _changed(address who, uint256 before, int256 by) private view {
        vm.assertTrue(int256(_worth(who)) - int256(before) == by, "somebody is paid more or less than its share");
    }

    /// @dev Each juror upholds, rejects or sleeps: accusation, challenge and appeal pay by the same rules.
    function testFuzz_verdict(uint256 kind, uint8[3] memory votes) external {
        Trial memory t;
        t.kind = kind % 3;
        if (t.kind == 0) _running();
        else if (t.kind == 1) _settling();
        else _withheld();
        bytes memory call = _accuseCall(task, trainers[0]);
        if (t.kind > 0) call = t.kind == 1 ? _challengeCall(_replacementOffer()) : _appealCall(_replacementOffer());
        t.challenger = _worth(stranger);
        _do(stranger, plan.bond, call);
        t.jury = _jury(_id(1));
        for (uint256 i = 0; i < 3; ++i) t.jurors[i] = _worth(t.jury[i]);
        (t.client, t.accused) = (_worth(client), _worth(trainers[0]));
        (t.up, t.down) = _cast(t.jury, votes);
        if (t.up + t.down < 3) vm.warp(block.timestamp + plan.disputeTime + 1);
        _do(stranger, _resolveCall(_id(1)));
        _checkJury(t, votes);
        _checkParties(t);
        bool fraud = t.kind == 0 && t.up >= 2;
        vm.assertTrue(_seat(task, trainers[0]).slashed == fraud, "who is slashed");
        vm.assertEq(_account(trainers[0]).locked, plan.stakePerSeat - (fraud ? plan.slash : 0), "locked stake");
        vm.assertTrue((_task().result.result == "right") == (t.kind > 0 && t.up >= 2), "whose result stands");
        vm.assertTrue(_task().openDisputes == 0, "the dispute is still open");
        vm.assertEq(address(market).balance, _owed() + 1, "money is there that nobody is owed");
    }

    /// @dev Those that voted for the outcome share bond and fines, the first has what cannot be shared; if there is none,
    /// all that voted share the fines of the others.
    function _checkJury(Trial memory t, uint8[3] memory votes) private view {
        bool decided = t.up >= 2 || t.down >= 2;
        uint256 right = decided ? (t.up >= 2 ? t.up : t.down) : t.up + t.down;
        uint256 pot = right == 0 ? 0 : (decided ? plan.bond : 0) + 100 * (3 - right);
        uint256 extra = right == 0 ? 0 : pot % right;
        for (uint256 i = 0; i < 3; ++i) {
            bool wins = decided ? votes[i] % 3 == (t.up >= 2 ? 1 : 2) : votes[i] % 3 != 0;
            int256 share = right == 0 ? int256(0) : int256(-100);
            if (wins) {
                share = int256(pot / right + extra);
                extra = 0;
            }
            _changed(t.jury[i], t.jurors[i], share);
        }
    }

    /// @dev Nobody else gains by a dispute that was not upheld.
    function _checkParties(Trial memory t) private view {
        bool upheld = t.up >= 2;
        bool slashed = upheld && t.kind == 0;
        bool void_ = t.up < 2 && t.down < 2;
        _changed(stranger, t.challenger, (void_ ? int256(0) : -500) + (slashed ? int256(1_250) : int256(0)));
        _changed(client, t.client, slashed ? int256(3_750) : int256(0));
        _changed(trainers[0], t.accused, slashed ? int256(-5_000) : int256(0));
    }

    function _cast(address[] memory jury, uint8[3] memory votes) private returns (uint256 up, uint256 down) {
        for (uint256 i = 0; i < 3; ++i) {
            if (votes[i] % 3 != 0) _do(jury[i], _judgeCall(_id(1), votes[i] % 3 == 1));
            if (votes[i] % 3 == 1) ++up;
            if (votes[i] % 3 == 2) ++down;
        }
    }

    /// @dev A slashed trainer has no vote, no pay and no further penalty; what it earned is the client's.
    function testFuzz_slashed(bool noShow) external {
        credits[0].noShow = noShow;
        _running();
        _do(stranger, plan.bond, _accuseCall(task, trainers[0]));
        _upheld(_id(1));
        bytes memory noVoter = abi.encodeWithSelector(NotAVoter.selector, task, trainers[0]);
        _refused(trainers[0], _publishCall(_offer()), noVoter);
        _do(trainers[1], _publishCall(_offer()));
        _do(trainers[2], _confirmCall(_offer()));
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        (uint256 clients, uint256 trainers_) = (_worth(client), _worth(trainers[0]));
        _do(stranger, _claimCall(0));
        _changed(trainers[0], trainers_, 0);
        _changed(client, clients, int256(uint256(UNITS_EACH) * UNIT_PRICE + plan.aggregatePrice));
        vm.assertEq(_account(trainers[0]).locked, 0, "stake stays locked");
        vm.assertEq(_account(trainers[0]).stake, plan.stakePerSeat - plan.slash, "stake");
    }

    function test_slashedAndReleased() external {
        _running();
        _do(stranger, plan.bond, _accuseCall(task, trainers[0]));
        _upheld(_id(1));
        vm.warp(plan.endBy + plan.disputeTime + 1);
        _do(stranger, _expireCall());
        _do(stranger, _releaseCall(trainers[0]));
        vm.assertEq(_account(trainers[0]).locked, 0, "stake stays locked");
        vm.assertEq(_account(trainers[0]).stake, plan.stakePerSeat - plan.slash, "stake");
    }

    /// @dev Who voted for a result that was replaced loses `slash`, a quarter of it to the finder; who did not, nothing
    /// but a no-show its penalty.
    function test_wrongVotes() external {
        credits[2].noShow = true;
        _settling();
        _do(stranger, plan.bond, _challengeCall(_replacementOffer()));
        _upheld(_id(1));
        _claimAll(5_000, 1_250, 5_000, 1_250, 4_000, 0);
    }

    /// @dev Who did not vote for the result of an appeal loses the penalty of a no-show, a quarter of it to the finder.
    function test_withheldVotes() external {
        _running();
        _do(trainers[0], _publishCall(_replacementOffer()));
        vm.warp(plan.endBy + 1);
        _do(stranger, plan.bond, _appealCall(_replacementOffer()));
        _upheld(_id(1));
        vm.assertEq(_task().settleAfter, block.timestamp, "an appeal has no window");
        _claimAll(0, 0, 4_000, 1_000, 4_000, 1_000);
    }

    function _claimAll(int256 a, int256 findersA, int256 b, int256 findersB, int256 c, int256 findersC) private {
        if (block.timestamp < _task().settleAfter) vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        int256[3] memory lost = [a, b, c];
        int256[3] memory finders = [findersA, findersB, findersC];
        int256 pay = int256(uint256(UNITS_EACH) * UNIT_PRICE + plan.aggregatePrice);
        for (uint256 i = 0; i < 3; ++i) {
            (uint256 t, uint256 f, uint256 cl) = (_worth(trainers[i]), _worth(stranger), _worth(client));
            _do(stranger, _claimCall(i));
            _changed(trainers[i], t, pay - lost[i]);
            _changed(stranger, f, finders[i]);
            _changed(client, cl, lost[i] - finders[i]);
            vm.assertEq(_account(trainers[i]).locked, 0, "stake stays locked");
        }
    }

    /// @dev After nine fines a juror has less than half of its stake, and leaves the pool; it may fill up and return.
    function test_finedJurorsLeaveThePool() external {
        plan.endBy = START + 50_000;
        _running();
        _do(validators[3], _leaveCall());
        _do(validators[4], _leaveCall());
        vm.warp(block.timestamp + 1);
        for (uint256 i = 1; i <= 9; ++i) {
            vm.assertTrue(_validator(validators[0]).place != 0, "a validator has left too early");
            _do(stranger, plan.bond, _accuseCall(task, trainers[0]));
            _jury(_id(i));
            _do(validators[2], _judgeCall(_id(i), true));
            vm.warp(block.timestamp + plan.disputeTime + 1);
            _do(stranger, _resolveCall(_id(i)));
        }
        Validator memory fined = _validator(validators[0]);
        vm.assertTrue(fined.place == 0 && fined.stake == 700, "a validator stays with too little stake");
        bytes memory short = abi.encodeWithSelector(InsufficientStake.selector, 900, 0);
        _refused(validators[0], _joinCall(), short);
        _do(validators[0], 900, abi.encodeCall(Market.depositStake, ()));
        _do(validators[0], _joinCall());
        vm.assertEq(_account(validators[0]).locked, VALIDATOR_STAKE, "the stake of a validator is locked");
        vm.warp(block.timestamp + DRAW_BLOCKS + 1);
        _do(validators[1], _leaveCall());
        vm.assertEq(_account(validators[1]).unbonding, 700, "what is left of the stake comes back");
    }
}
