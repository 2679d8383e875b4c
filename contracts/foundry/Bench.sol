// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketTypes} from "../MarketTypes.sol";
import {TrainingMarket} from "../TrainingMarket.sol";
import {Cheats} from "./Cheats.sol";
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
        bytes32 root;
    }

    /// @dev What a leaf of the credits says.
    struct Credit {
        address trainer;
        uint32 units;
        uint32 aggregates;
        bool noShow;
    }

    uint64 internal constant START = 1_800_000_000;
    bytes32 internal constant KEY = "signing key";
    bytes32 internal constant RECIPIENT = "recipient";

    TrainingMarket public market;

    function _deploy() internal {
        vm.warp(START);
        vm.deal(address(this), 1);
        market = new TrainingMarket{value: 1}();
    }

    // ------------------------------------------------------------------ calls

    function _try(address who, uint256 value, bytes memory call) internal returns (bool ok, bytes memory answer) {
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
        return abi.encodeCall(TrainingMarket.register, (KEY, RECIPIENT));
    }

    function _createCall(bytes32 manifest, Plan memory plan) internal pure returns (bytes memory) {
        return abi.encodeCall(TrainingMarket.createTask, (manifest, 7, KEY, RECIPIENT, plan));
    }

    function _checkpointCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(
            TrainingMarket.confirmCheckpoint, (o.task, o.round, o.hash, o.units, o.aggregates, o.root)
        );
    }

    function _publishCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(
            TrainingMarket.publishResult, (o.task, o.hash, o.logPosition, o.round, o.units, o.aggregates, o.root)
        );
    }

    function _confirmCall(Offer memory o) internal pure returns (bytes memory) {
        return abi.encodeCall(
            TrainingMarket.confirmResult, (o.task, o.hash, o.logPosition, o.round, o.units, o.aggregates, o.root)
        );
    }

    function _claimCall(bytes32 task, Credit memory c, bytes32[] memory proof) internal pure returns (bytes memory) {
        return abi.encodeCall(TrainingMarket.claim, (task, c.trainer, c.units, c.aggregates, c.noShow, proof));
    }

    // ------------------------------------------------------------------ what people compute off chain

    function _taskId(address client, bytes32 manifest) internal pure returns (bytes32) {
        return keccak256(abi.encode(client, manifest));
    }

    function _checkpointProposal(Offer memory o) internal pure returns (bytes32) {
        return keccak256(abi.encode(o.task, o.round, o.hash, o.units, o.aggregates, o.root));
    }

    function _resultProposal(Offer memory o) internal pure returns (bytes32) {
        return keccak256(abi.encode(o.task, o.hash, o.logPosition, o.round, o.units, o.aggregates, o.root));
    }

    function _awardLeaf(bytes32 task, address trainer, uint32 units, uint16 rank) internal pure returns (bytes32) {
        return Merkle.leaf(abi.encode(task, trainer, units, rank));
    }

    function _creditLeaf(bytes32 task, Credit memory c) internal pure returns (bytes32) {
        return Merkle.leaf(abi.encode(task, c.trainer, c.units, c.aggregates, c.noShow));
    }

    function _creditLeaves(bytes32 task, Credit[] memory credits) internal pure returns (bytes32[] memory leaves) {
        leaves = new bytes32[](credits.length);
        for (uint256 i = 0; i < credits.length; ++i) leaves[i] = _creditLeaf(task, credits[i]);
    }

    function _escrowOf(Plan memory plan) internal pure returns (uint256) {
        return uint256(plan.chunks) * plan.rounds * plan.maxUnitPrice + uint256(plan.rounds) * plan.aggregatePrice;
    }

    // ------------------------------------------------------------------ what the market says

    function _account(address who) internal view returns (Account memory a) {
        (, a.signingKey, a.recipient, a.stake, a.locked, a.balance) = market.getAccount(who);
    }

    function _seat(bytes32 task, address who) internal view returns (Seat memory s) {
        (s.accepted, s.ready, s.closed, s.units, s.rank) = market.getSeat(task, who);
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
            r = Result(0, p.round, p.units, p.aggregates, p.checkpoint, p.creditsRoot);
        }
    }
}
