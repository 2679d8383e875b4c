// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Checkpoints} from "@openzeppelin/contracts/utils/structs/Checkpoints.sol";

import {MarketBooks} from "./MarketBooks.sol";

/// @title The pool of validators, and draws from it that nobody can foresee or undo.
/// @dev A draw is fixed by its request: by the hash of the block after it, which nobody knows by then, and by the pool as
/// it stood before it. Who makes the draw, when, how often it was tried before, and who has come or left since makes no
/// difference: there is nothing to try again for.
abstract contract Validators is MarketBooks {
    using Checkpoints for Checkpoints.Trace160;

    /// @dev For so many blocks after its request a draw can be made: the EVM knows 256 hashes. Later it is asked for anew.
    uint64 internal constant DRAW_BLOCKS = 257;
    /// @dev Nobody is tried twice, so that a draw that is given up has met this many that have a part in the task.
    uint256 private constant MAX_TRIES = 256;

    // ------------------------------------------------------------------ coming and going

    /// @notice Enter the pool: the validators' stake is locked, as far as it is not locked already. Draws that were asked
    /// for before are not touched by it.
    function joinValidators() external {
        Account storage account = _registered(msg.sender);
        Validator storage validator = _validators[msg.sender];
        if (validator.place != 0) revert AlreadyValidator(msg.sender);
        uint64 missing = _validatorStake - validator.stake;
        uint64 free = account.stake - account.locked;
        if (free < missing) revert InsufficientStake(missing, free);
        account.locked += missing;
        validator.stake = _validatorStake;
        uint256 size = _poolSizes.latest() + 1;
        validator.place = uint32(size);
        _resize(size);
        _place(size, msg.sender);
        emit ValidatorJoined(msg.sender, missing);
    }

    /// @notice Leave the pool. Call again for the stake, when no draw can name the caller any more and no jury waits for
    /// it: it begins to unbond then.
    function leaveValidators() external {
        Validator storage validator = _validators[msg.sender];
        if (validator.place != 0) {
            _leavePool(msg.sender, validator);
            return;
        }
        uint64 stake = validator.stake;
        if (stake == 0) revert NotAValidator(msg.sender);
        if (validator.duties != 0) revert OnDuty(msg.sender, validator.duties);
        uint64 until = validator.leftBlock + DRAW_BLOCKS;
        if (block.number <= until) revert StillDrawable(msg.sender, until);
        validator.stake = 0;
        _accounts[msg.sender].locked -= stake;
        _unbond(msg.sender, stake);
    }

    /// @dev The last of the pool takes the place that becomes free; the past of both places stays known.
    function _leavePool(address who, Validator storage validator) private {
        uint256 size = _poolSizes.latest();
        address last = address(_places[size].latest());
        _place(validator.place, last);
        _validators[last].place = validator.place;
        _resize(size - 1);
        validator.place = 0;
        validator.leftBlock = uint64(block.number);
        emit ValidatorLeft(who);
    }

    // slither-disable-next-line unused-return
    function _place(uint256 place, address who) private {
        _places[place].push(uint96(block.number), uint160(who));
    }

    // slither-disable-next-line unused-return
    function _resize(uint256 size) private {
        _poolSizes.push(uint96(block.number), uint160(size));
    }

    /// @dev Who has lost half of the stake cannot go on as a validator. Less is taken where less is left: a validator
    /// may sit on more juries than its stake bears, and none of them may be kept from its end.
    function _fine(address who, uint64 price) internal returns (uint64 amount) {
        Validator storage validator = _validators[who];
        amount = price < validator.stake ? price : validator.stake;
        validator.stake -= amount;
        _forfeitStake(who, amount);
        if (validator.place != 0 && validator.stake < _validatorStake / 2) _leavePool(who, validator);
    }

    // ------------------------------------------------------------------ audits

    /// @notice Ask for a draw of what is audited, up to the confirmed progress or result, and by whom.
    function requestDraw(bytes32 taskId) external {
        Task storage task = _task(taskId);
        if (task.drawBlock != 0) revert AlreadyRequested(taskId);
        if (task.plan.auditors == 0) revert NoDisputes(taskId);
        if (!_mayVote(taskId, task, msg.sender)) revert NotAVoter(taskId, msg.sender);
        uint32 reached = _reached(taskId, task);
        if (reached <= task.drawnRound) revert NothingToDraw(taskId);
        task.drawBlock = uint64(block.number);
        emit DrawRequested(taskId, reached);
    }

    /// @notice Make the draw that was asked for; anyone may, from the second block after it on. Where nobody has for 257
    /// blocks, this asks for it anew.
    function draw(bytes32 taskId) external {
        Task storage task = _task(taskId);
        if (task.drawBlock == 0) revert NothingToDraw(taskId);
        uint32 round = _reached(taskId, task);
        if (_isLate(task.drawBlock)) {
            task.drawBlock = uint64(block.number);
            emit DrawRequested(taskId, round);
            return;
        }
        bytes32 seed = _seed(task.drawBlock, taskId);
        address[] memory committee = _pick(taskId, task, seed, task.drawBlock, address(0));
        for (uint256 i = 0; i < committee.length; ++i) {
            _auditor[taskId][committee[i]] = true;
        }
        task.drawnRound = round;
        task.drawBlock = 0;
        emit Drawn(taskId, round, seed, _members(committee));
    }

    function _reached(bytes32 taskId, Task storage task) private view returns (uint32) {
        if (task.phase == Phase.Settling) return task.result.round;
        _requirePhase(taskId, task, Phase.Running);
        return task.progress.round;
    }

    // ------------------------------------------------------------------ drawing

    function _isLate(uint64 requestBlock) internal view returns (bool) {
        return block.number > requestBlock + DRAW_BLOCKS;
    }

    /// @dev Hedera gives the hash of its record file, which depends on every transaction in it.
    function _seed(uint64 requestBlock, bytes32 purpose) internal view returns (bytes32) {
        if (block.number <= requestBlock + 1) revert SeedNotYet(requestBlock + 1);
        return keccak256(abi.encode(blockhash(requestBlock + 1), purpose));
    }

    // The seed was nobody's to know when it was asked for, and nobody's to draw again: decision 21.
    // slither-disable-start weak-prng
    /// @dev As many different validators as the plan wants, of those that were in the pool before the request: none that
    /// has a part in the task. It is a shuffle of the places (Fisher and Yates) that ends when enough are found, so that
    /// each has the same chance, whoever is left out.
    function _pick(bytes32 taskId, Task storage task, bytes32 seed, uint64 requestBlock, address challenger)
        internal
        view
        returns (address[] memory picked)
    {
        uint256 wanted = task.plan.auditors;
        uint96 before = uint96(requestBlock - 1);
        uint256 size = _poolSizes.upperLookupRecent(before);
        uint256 tries = size < MAX_TRIES ? size : MAX_TRIES;
        uint256[2][] memory moved = new uint256[2][](tries); // place, and what lies there since
        uint256 found = 0;
        picked = new address[](wanted);
        for (uint256 i = 0; found < wanted && i < tries; ++i) {
            uint256 drawn = i + uint256(keccak256(abi.encode(seed, i))) % (size - i);
            address one = address(_places[_lying(moved, i, drawn) + 1].upperLookupRecent(before));
            moved[i] = [drawn, _lying(moved, i, i)];
            if (one == task.client || one == challenger || _seats[taskId][one].accepted) continue;
            picked[found++] = one;
        }
        if (found < wanted) revert TooFewValidators(wanted, found);
    }
    // slither-disable-end weak-prng

    /// @dev What lies at a place after so many moves.
    function _lying(uint256[2][] memory moved, uint256 moves, uint256 place) private pure returns (uint256) {
        for (uint256 i = moves; i != 0; --i) {
            if (moved[i - 1][0] == place) return moved[i - 1][1];
        }
        return place;
    }

    function _members(address[] memory list) internal view returns (Member[] memory members) {
        members = new Member[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            Account storage account = _accounts[list[i]];
            members[i] = Member(list[i], account.signingKey, account.recipient);
        }
    }
}
