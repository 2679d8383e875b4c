// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Vm} from "./Cheats.sol";
import {Market} from "./Market.sol";
import {Merkle} from "./Merkle.sol";
import {Scene} from "./Scene.sol";

/// @title The pool of validators, draws from it, and what audits pay.
contract ValidatorsTest is Scene {
    function _poolSize() private view returns (uint256 size) {
        (, size) = market.getValidator(stranger);
    }

    /// @dev Asks for a draw, and makes it in the second block after.
    function _committee() private returns (Member[] memory committee) {
        _do(client, _requestCall());
        vm.warp(block.timestamp + 2);
        vm.recordLogs();
        _do(stranger, _drawCall());
        Vm.Log[] memory logs = vm.getRecordedLogs();
        vm.assertTrue(logs[0].topics[0] == Drawn.selector, "another event was expected");
        (,, committee) = abi.decode(logs[0].data, (uint32, bytes32, Member[]));
    }

    // ------------------------------------------------------------------ the pool

    function test_join() external {
        _refused(stranger, _joinCall(), abi.encodeWithSelector(NotRegistered.selector, stranger));
        _do(stranger, VALIDATOR_STAKE - 1, _registerCall());
        bytes memory short = abi.encodeWithSelector(InsufficientStake.selector, VALIDATOR_STAKE, VALIDATOR_STAKE - 1);
        _refused(stranger, _joinCall(), short);
        _do(stranger, 1, abi.encodeCall(Market.depositStake, ()));
        _do(stranger, _joinCall());
        _refused(stranger, _joinCall(), abi.encodeWithSelector(AlreadyValidator.selector, stranger));
        vm.assertEq(_account(stranger).locked, VALIDATOR_STAKE, "the stake of a validator is locked");
    }

    function test_leave() external {
        bytes memory none = abi.encodeWithSelector(NotAValidator.selector, validators[0]);
        _refused(validators[0], _leaveCall(), none);
        _register();
        _do(validators[0], _leaveCall());
        uint256 until = block.timestamp - START + 1_000 + DRAW_BLOCKS;
        vm.warp(block.timestamp + DRAW_BLOCKS);
        _refused(validators[0], _leaveCall(), abi.encodeWithSelector(StillDrawable.selector, validators[0], until));
        vm.warp(block.timestamp + 1);
        _do(validators[0], _leaveCall());
        vm.assertEq(_account(validators[0]).locked, 0, "stake stays locked");
        vm.assertEq(_account(validators[0]).unbonding, VALIDATOR_STAKE, "the stake begins to come back");
        _refused(validators[0], _leaveCall(), none);
    }

    function test_leaveOnDuty() external {
        _running();
        _do(trainers[1], plan.bond, _accuseCall(task, trainers[0]));
        bytes32 id = keccak256(abi.encode(task, 1));
        vm.warp(block.timestamp + 2);
        _do(stranger, abi.encodeCall(Market.drawJury, (id)));
        (Dispute memory dispute,) = market.getDispute(id);
        address juror = dispute.jury[0];
        _do(juror, _leaveCall());
        vm.assertTrue(_validator(juror).place == 0 && _poolSize() == 4, "a juror stays in the pool");
        vm.assertEq(_account(juror).locked, VALIDATOR_STAKE, "a juror takes its stake along");
        _refused(juror, _leaveCall(), abi.encodeWithSelector(OnDuty.selector, juror, 1));
        for (uint256 i = 0; i < 3; ++i) _do(dispute.jury[i], abi.encodeCall(Market.judge, (id, false)));
        _do(stranger, abi.encodeCall(Market.resolve, (id)));
        vm.warp(block.timestamp + DRAW_BLOCKS + 1);
        _do(juror, _leaveCall());
        vm.assertEq(_account(juror).unbonding, VALIDATOR_STAKE, "the stake begins to come back");
    }

    /// @dev Whoever leaves, in whatever order: the places of the others stay 1, 2, ...
    function testFuzz_placesHaveNoGap(uint256 seed) external {
        _register();
        for (uint256 step = 0; step < 12; ++step) {
            address one = validators[_more(seed, step) % 5];
            bool within = _validator(one).place != 0;
            if (!within) _do(one, VALIDATOR_STAKE, abi.encodeCall(Market.depositStake, ()));
            _do(one, within ? _leaveCall() : _joinCall());
            uint256 taken;
            uint256 count;
            for (uint256 i = 0; i < 5; ++i) {
                uint32 place = _validator(validators[i]).place;
                if (place == 0) continue;
                taken |= 1 << (place - 1);
                ++count;
            }
            vm.assertTrue(count == _poolSize() && taken == (1 << count) - 1, "the places have a gap");
        }
    }

    // ------------------------------------------------------------------ draws

    function test_requestDraw() external {
        _refused(client, _requestCall(), abi.encodeWithSelector(UnknownTask.selector, task));
        _awarded(3);
        _refused(client, _requestCall(), abi.encodeWithSelector(NotAVoter.selector, task, client));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
        _refused(client, _requestCall(), abi.encodeWithSelector(NothingToDraw.selector, task));
        _do(trainers[0], _checkpointCall(_offer()));
        _do(trainers[1], _checkpointCall(_offer()));
        _refused(stranger, _requestCall(), abi.encodeWithSelector(NotAVoter.selector, task, stranger));
        _do(trainers[0], _requestCall());
        _refused(client, _requestCall(), abi.encodeWithSelector(AlreadyRequested.selector, task));
        vm.warp(block.timestamp + 2);
        _do(stranger, _drawCall());
        _refused(client, _requestCall(), abi.encodeWithSelector(NothingToDraw.selector, task));
        vm.assertEq(_task().drawnRound, plan.rounds, "the round that was drawn");
    }

    function test_draw() external {
        _refused(stranger, _drawCall(), abi.encodeWithSelector(UnknownTask.selector, task));
        _settling();
        _refused(stranger, _drawCall(), abi.encodeWithSelector(NothingToDraw.selector, task));
        _do(client, _requestCall());
        uint256 asked = block.timestamp - START + 1_000;
        _refused(stranger, _drawCall(), abi.encodeWithSelector(SeedNotYet.selector, asked + 1));
        vm.warp(block.timestamp + DRAW_BLOCKS + 1);
        _do(stranger, _drawCall());
        vm.assertEq(_task().drawBlock, asked + DRAW_BLOCKS + 1, "asked for anew");
        vm.warp(block.timestamp + DRAW_BLOCKS);
        _do(stranger, _drawCall());
        _refused(stranger, _drawCall(), abi.encodeWithSelector(NothingToDraw.selector, task));
    }

    function test_drawAfterTheEnd() external {
        _settling();
        _do(client, _requestCall());
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        _refused(stranger, _drawCall(), _wrongPhase());
    }

    /// @dev Nobody twice, and nobody with a part in the task; as many as the plan wants, or none at all.
    function testFuzz_committee(uint64 time, uint256 leaving, bool parts) external {
        leaving %= 6;
        _register();
        if (parts) {
            _do(client, VALIDATOR_STAKE, _registerCall());
            _do(client, _joinCall());
            _do(trainers[0], VALIDATOR_STAKE, abi.encodeCall(Market.depositStake, ()));
            _do(trainers[0], _joinCall());
        }
        _do(client, _escrowOf(plan), _createCall(MANIFEST, plan));
        vm.warp(plan.bidUntil + 1);
        _do(client, _awardCall(UNIT_PRICE, PRIMARIES));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _acceptCall(i));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
        vm.warp(block.timestamp + time % 4_000);
        _do(trainers[0], _publishCall(_offer()));
        _do(trainers[1], _confirmCall(_offer()));
        for (uint256 i = 0; i < leaving; ++i) _do(validators[i], _leaveCall());
        vm.warp(block.timestamp + 1);
        if (leaving > 2) {
            _do(client, _requestCall());
            vm.warp(block.timestamp + 2);
            _refused(stranger, _drawCall(), abi.encodeWithSelector(TooFewValidators.selector, 3, 5 - leaving));
            return;
        }
        Member[] memory committee = _committee();
        vm.assertEq(committee.length, 3, "the size of a committee");
        for (uint256 i = 0; i < committee.length; ++i) {
            address one = committee[i].validator;
            vm.assertTrue(_validator(one).place != 0 && one != client && one != trainers[0], "who is drawn");
            vm.assertTrue(committee[i].signingKey == KEY && committee[i].recipient == RECIPIENT, "its keys");
            for (uint256 k = 0; k < i; ++k) vm.assertTrue(one != committee[k].validator, "drawn twice");
        }
    }

    // ------------------------------------------------------------------ pay

    function test_claimAudits() external {
        _refused(stranger, _claimAuditsCall(0), abi.encodeWithSelector(UnknownTask.selector, task));
        _settling();
        bytes memory undrawn = abi.encodeWithSelector(NotAuditor.selector, task, validators[0]);
        _refused(stranger, _claimAuditsCall(0), undrawn);
        Member[] memory committee = _committee();
        uint256 which;
        while (validators[which] != committee[0].validator) ++which;
        _refused(stranger, _claimAuditsCall(which), _wrongPhase());
        vm.warp(_task().settleAfter);
        _do(stranger, _settleCall());
        bytes32[] memory proof = Merkle.proof(_leaves(), credits.length + which);
        bytes memory more = abi.encodeCall(Market.claimAudits, (task, validators[which], 2, proof));
        _refused(stranger, more, abi.encodeWithSelector(BadProof.selector, task, validators[which]));
        uint256 before = _worth(validators[which]);
        _do(stranger, _claimAuditsCall(which));
        vm.assertEq(_worth(validators[which]), before + plan.auditPrice, "what an audit pays");
        bytes memory closed = abi.encodeWithSelector(AlreadyClosed.selector, task, validators[which]);
        _refused(stranger, _claimAuditsCall(which), closed);
    }
}
