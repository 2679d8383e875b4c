// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketTypes} from "../MarketTypes.sol";
import {Cheats} from "./Cheats.sol";
import {Market} from "./Market.sol";
import {Merkle} from "./Merkle.sol";

/// @title A deployed market, and how tests and handlers call it: what changes with its interface is here alone.
abstract contract Bench is Cheats, MarketTypes {
    /// @dev What a vote is about; a checkpoint has no position in the log.
    struct Offer {
        bytes32 task;
        uint32 round;
        bytes32 hash;
        uint64 logPosition;
        uint32 units;
        uint32 aggregates;
        uint32 audits;
        bytes32 root;
    }

    /// @dev What a leaf of the credits says of a trainer.
    struct Credit {
        address trainer;
        uint32 units;
        uint32 aggregates;
        bool noShow;
    }

    /// @dev What a leaf of the credits says of a validator.
    struct AuditCredit {
        address validator;
        uint32 audits;
    }

    uint64 internal constant START = 1_800_000_000;
    bytes32 internal constant KEY = "signing key";
    bytes32 internal constant RECIPIENT = "recipient";

    uint64 internal constant UNBONDING = 100;
    uint64 internal constant VALIDATOR_STAKE = 1_600;
    uint64 internal constant MIN_DISPUTE_TIME = 20;
    /// @dev For so many blocks after its request a draw can be made. A block is a second here.
    uint256 internal constant DRAW_BLOCKS = 257;

    Market public market;

    function _deploy() internal {
        vm.warp(START);
        vm.deal(address(this), 1);
        market = Market(_construct(1, UNBONDING, VALIDATOR_STAKE, MIN_DISPUTE_TIME));
    }

    /// @dev The market's constructor, or what it answers if it refuses.
    function _construct(uint256 value, uint64 unbonding, uint64 validatorStake, uint64 minDisputeTime)
        internal
        returns (address made)
    {
        bytes memory code = vm.getCode("TrainingMarket.sol:TrainingMarket");
        code = bytes.concat(code, abi.encode(unbonding, validatorStake, minDisputeTime));
        assembly {
            made := create(value, add(code, 32), mload(code))
            if iszero(made) {
                returndatacopy(0, 0, returndatasize())
                revert(0, returndatasize())
            }
        }
    }

    // ------------------------------------------------------------------ calls

    function _try(address who, uint256 value, bytes memory call) internal returns (bool ok, bytes memory answer) {
        vm.roll(block.timestamp - START + 1_000);
        vm.prank(who, who);
        (ok, answer) = address(market).call{value: value}(call);
    }

    /// @dev A call that has to succeed; if not, it fails with the market's own error.
    function _do(address who, uint256 value, bytes memory call) internal {
        (bool ok, bytes memory answer) = _try(who, value, call);
        if (!ok) {
            assembly {
                revert(add(answer, 32), mload(answer))
            }
        }
    }

    function _do(address who, bytes memory call) internal {
        _do(who, 0, call);
    }

    /// @dev A call that has to be refused with exactly this error.
    function _refused(address who, uint256 value, bytes memory call, bytes memory why) internal {
        (bool ok, bytes memory answer) = _try(who, value, call);
        vm.assertTrue(!ok, "a call was not refused");
        vm.assertTrue(keccak256(answer) == keccak256(why), "a call was refused with another error");
    }

    function _refused(address who, bytes memory call, bytes memory why) internal {
        _refused(who, 0, call, why);
    }

    function _registerCall() internal pure returns (bytes memory) {
        return abi.encodeCall(Market.register, (KEY, RECIPIENT));
    }

    function _createCall(bytes32 manifest, Plan memory plan) internal pure returns (bytes memory) {
        return abi.encodeCall(Market.createTask, (manifest, 7, KEY, RECIPIENT, plan));
    }

    function _checkpointCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(
            Market.confirmCheckpoint, (o.task, o.round, o.hash, o.units, o.aggregates, o.audits, o.root)
        );
    }

    function _publishCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(
            Market.publishResult, (o.task, o.hash, o.logPosition, o.round, o.units, o.aggregates, o.audits, o.root)
        );
    }

    function _confirmCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(
            Market.confirmResult, (o.task, o.hash, o.logPosition, o.round, o.units, o.aggregates, o.audits, o.root)
        );
    }

    function _replacement(Offer memory o) internal pure returns (Result memory) {
        return Result(o.logPosition, o.round, o.units, o.aggregates, o.audits, o.hash, o.root);
    }

    function _accuseCall(bytes32 task, address trainer) internal pure returns (bytes memory) {
        return abi.encodeCall(Market.accuse, (task, trainer, "evidence"));
    }

    function _challengeCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(Market.challengeResult, (o.task, _replacement(o)));
    }

    function _appealCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(Market.appeal, (o.task, _replacement(o)));
    }

    function _joinCall() internal pure returns (bytes memory) {
        return abi.encodeCall(Market.joinValidators, ());
    }

    function _leaveCall() internal pure returns (bytes memory) {
        return abi.encodeCall(Market.leaveValidators, ());
    }

    function _claimCall(bytes32 task, Credit memory c, bytes32[] memory proof) internal pure returns (bytes memory) {
        return abi.encodeCall(Market.claim, (task, c.trainer, c.units, c.aggregates, c.noShow, proof));
    }

    // ------------------------------------------------------------------ what people compute off chain

    function _taskId(address client, bytes32 manifest) internal pure returns (bytes32) {
        return keccak256(abi.encode(client, manifest));
    }

    function _checkpointProposal(Offer memory o) internal pure returns (bytes32) {
        return keccak256(abi.encode(o.task, o.round, o.hash, o.units, o.aggregates, o.audits, o.root));
    }

    function _resultProposal(Offer memory o) internal pure returns (bytes32) {
        return keccak256(
            abi.encode(o.task, o.hash, o.logPosition, o.round, o.units, o.aggregates, o.audits, o.root)
        );
    }

    function _awardLeaf(bytes32 task, address trainer, uint32 units, uint16 rank) internal pure returns (bytes32) {
        return Merkle.leaf(abi.encode(task, trainer, units, rank));
    }

    function _creditLeaf(bytes32 task, Credit memory c) internal pure returns (bytes32) {
        return Merkle.leaf(abi.encode(task, c.trainer, c.units, c.aggregates, c.noShow));
    }

    /// @dev The leaves of the trainers, then those of the validators.
    function _creditLeaves(bytes32 task, Credit[] memory credits, AuditCredit[] memory audits)
        internal
        pure
        returns (bytes32[] memory leaves)
    {
        leaves = new bytes32[](credits.length + audits.length);
        for (uint256 i = 0; i < credits.length; ++i) leaves[i] = _creditLeaf(task, credits[i]);
        for (uint256 i = 0; i < audits.length; ++i) {
            leaves[credits.length + i] = Merkle.leaf(abi.encode(task, audits[i].validator, audits[i].audits));
        }
    }

    function _escrowOf(Plan memory plan) internal pure returns (uint256) {
        uint256 leftOut = plan.seats > plan.minTrainers ? plan.seats - plan.minTrainers : 0;
        return uint256(plan.chunks) * plan.rounds * plan.maxUnitPrice + uint256(plan.rounds) * plan.aggregatePrice
            + uint256(plan.audits) * plan.auditPrice + leftOut * plan.compensation;
    }

    function _toFinder(Plan memory plan, uint256 lost) internal pure returns (uint256) {
        return lost * plan.finderShare / 10_000;
    }

    // ------------------------------------------------------------------ what the market says

    function _account(address who) internal view returns (Account memory) {
        return market.getAccount(who);
    }

    function _seat(bytes32 task, address who) internal view returns (Seat memory) {
        return market.getSeat(task, who);
    }

    function _validator(address who) internal view returns (Validator memory validator) {
        (validator,) = market.getValidator(who);
    }

    function _owed() internal view returns (uint256) {
        (uint64 escrow, uint64 stake, uint64 balances) = market.liabilities();
        return uint256(escrow) + stake + balances;
    }

    /// @dev What a task settles by.
    function _outcome(Task memory task) internal pure returns (Result memory r) {
        r = task.result;
        if (r.result == 0) {
            Progress memory p = task.progress;
            r = Result(0, p.round, p.units, p.aggregates, p.audits, p.checkpoint, p.creditsRoot);
        }
    }
}
