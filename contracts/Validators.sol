// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {ReentrancyGuardTransient} from "@openzeppelin/contracts/utils/ReentrancyGuardTransient.sol";

import {MarketBooks} from "./MarketBooks.sol";

/// @title The pool of validators, and draws from it that nobody can foresee or undo.
/// @dev A draw is asked for in one transaction and made in a later one, by an account and not by a contract: whoever
/// could wrap it in a contract of its own could revert what it does not like, and try again.
abstract contract Validators is MarketBooks, ReentrancyGuardTransient {
    /// @dev HIP-351: the seed is the running hash of a record before this transaction.
    address private constant PRNG = address(0x169);
    /// @dev Each gives every validator of the pool the same chance. With as few validators as a jury needs, one of
    /// seven is missed by all of 112 tries in some 10^-8 of draws.
    uint256 private constant TRIES_PER_MEMBER = 16;

    // ------------------------------------------------------------------ coming and going

    /// @notice Enter the pool: the validators' stake is locked, as far as it is not locked already.
    function joinValidators() external {
        Account storage account = _registered(msg.sender);
        Validator storage validator = _validators[msg.sender];
        if (validator.place != 0) revert AlreadyValidator(msg.sender);
        uint64 missing = _validatorStake - validator.stake;
        uint64 free = account.stake - account.locked;
        if (free < missing) revert InsufficientStake(missing, free);
        account.locked += missing;
        validator.stake = _validatorStake;
        _pool.push(msg.sender);
        validator.place = uint32(_pool.length);
        emit ValidatorJoined(msg.sender, missing);
    }

    /// @notice Leave the pool at once; the stake begins to unbond when no jury waits for the caller any more. Call
    /// again for it then.
    function leaveValidators() external {
        Validator storage validator = _validators[msg.sender];
        bool inPool = validator.place != 0;
        if (!inPool && validator.stake == 0) revert NotAValidator(msg.sender);
        if (inPool) _leavePool(msg.sender, validator);
        if (validator.duties == 0) {
            uint64 stake = validator.stake;
            validator.stake = 0;
            _accounts[msg.sender].locked -= stake;
            _unbond(msg.sender, stake);
        } else if (!inPool) {
            revert OnDuty(msg.sender, validator.duties);
        }
    }

    /// @dev The last of the pool takes the place that becomes free.
    function _leavePool(address who, Validator storage validator) private {
        address last = _pool[_pool.length - 1];
        _pool[validator.place - 1] = last;
        _validators[last].place = validator.place;
        _pool.pop();
        validator.place = 0;
        emit ValidatorLeft(who);
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
        if (task.drawRequestedAt != 0) revert AlreadyRequested(taskId);
        if (task.plan.auditors == 0) revert NoDisputes(taskId);
        if (msg.sender != task.client && !_seats[taskId][msg.sender].accepted) revert NotAVoter(taskId, msg.sender);
        uint32 reached = _reached(taskId, task);
        if (reached <= task.drawnRound) revert NothingToDraw(taskId);
        task.drawRequestedAt = _time();
        emit DrawRequested(taskId, reached);
    }

    /// @notice Make the draw that was asked for; anyone may, in a later second.
    function draw(bytes32 taskId) external nonReentrant {
        Task storage task = _task(taskId);
        if (task.drawRequestedAt == 0) revert NothingToDraw(taskId);
        _requireAfter(task.drawRequestedAt);
        uint32 round = _reached(taskId, task);
        bytes32 seed = _seed(keccak256(abi.encode(taskId, round)));
        address[] memory committee = _pick(taskId, task, seed, address(0));
        for (uint256 i = 0; i < committee.length; ++i) {
            _auditor[taskId][committee[i]] = true;
        }
        task.drawnRound = round;
        task.drawRequestedAt = 0;
        emit Drawn(taskId, round, seed, _members(committee));
    }

    function _reached(bytes32 taskId, Task storage task) private view returns (uint32) {
        if (task.phase == Phase.Settling) return task.result.round;
        _requirePhase(taskId, task, Phase.Running);
        return task.progress.round;
    }

    // ------------------------------------------------------------------ drawing

    function _seed(bytes32 purpose) internal returns (bytes32) {
        if (msg.sender != tx.origin) revert OnlyAccounts(msg.sender);
        (bool ok, bytes memory seed) = PRNG.call(abi.encodeWithSignature("getPseudorandomSeed()"));
        if (!ok || seed.length != 32) revert NoSeed();
        return keccak256(abi.encode(abi.decode(seed, (bytes32)), purpose));
    }

    /// @dev As many different validators as the plan wants, or as can be had: none that has a part in the task.
    function _pick(bytes32 taskId, Task storage task, bytes32 seed, address challenger)
        internal
        view
        returns (address[] memory picked)
    {
        uint256 wanted = task.plan.auditors;
        uint256 size = _pool.length;
        uint256 found = 0;
        address[] memory all = new address[](wanted);
        for (uint256 i = 0; size != 0 && found < wanted && i < wanted * TRIES_PER_MEMBER; ++i) {
            address one = _pool[uint256(keccak256(abi.encode(seed, i))) % size];
            if (one == task.client || one == challenger || _seats[taskId][one].accepted) continue;
            if (!_contains(all, found, one)) all[found++] = one;
        }
        picked = new address[](found);
        for (uint256 i = 0; i < found; ++i) {
            picked[i] = all[i];
        }
    }

    function _members(address[] memory list) internal view returns (Member[] memory members) {
        members = new Member[](list.length);
        for (uint256 i = 0; i < list.length; ++i) {
            Account storage account = _accounts[list[i]];
            members[i] = Member(list[i], account.signingKey, account.recipient);
        }
    }

    function _contains(address[] memory list, uint256 length, address one) private pure returns (bool) {
        for (uint256 i = 0; i < length; ++i) {
            if (list[i] == one) return true;
        }
        return false;
    }
}
