// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketTypes} from "../MarketTypes.sol";

/// @title What can be called at the market's address: the functions of TrainingMarket and of Court.
/// @dev The tests call these and name no source of the market, so that only the market itself goes through the slow
/// pipeline of the compiler that it needs.
interface Market is MarketTypes {
    function COURT() external view returns (address);
    function CLAIM_PERIOD() external view returns (uint64);
    function settings() external view returns (uint64 unbonding, uint64 validatorStake, uint64 minDisputeTime);

    function pause() external;
    function unpause() external;
    function paused() external view returns (bool);
    function renounceOwnership() external;

    function register(bytes32 signingKey, bytes32 recipient) external payable;
    function depositStake() external payable;
    function requestUnstake(uint64 amount) external;
    function cancelUnstake() external;
    function completeUnstake() external;
    function withdraw() external;

    function createTask(bytes32 manifest, uint64 topic, bytes32 signingKey, bytes32 recipient, Plan calldata plan)
        external
        payable;
    function award(bytes32 task, bytes32 root, uint64 unitPrice, uint16 primaries) external;
    function accept(bytes32 task, uint32 units, uint16 rank, bytes32[] calldata proof) external;
    function ready(bytes32 task) external;
    function start(bytes32 task) external;
    function cancel(bytes32 task) external;

    function confirmCheckpoint(
        bytes32 task,
        uint32 round,
        bytes32 checkpoint,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    ) external;
    function publishResult(
        bytes32 task,
        bytes32 result,
        uint64 logPosition,
        uint32 round,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    ) external;
    function confirmResult(
        bytes32 task,
        bytes32 result,
        uint64 logPosition,
        uint32 round,
        uint32 units,
        uint32 aggregates,
        uint32 audits,
        bytes32 creditsRoot
    ) external;

    function settle(bytes32 task) external;
    function claim(
        bytes32 task,
        address trainer,
        uint32 units,
        uint32 aggregates,
        bool noShow,
        bytes32[] calldata proof
    ) external;
    function claimAudits(bytes32 task, address validator, uint32 audits, bytes32[] calldata proof) external;
    function expire(bytes32 task) external;
    function release(bytes32 task, address trainer) external;

    function joinValidators() external;
    function leaveValidators() external;
    function requestDraw(bytes32 task) external;
    function draw(bytes32 task) external;

    function accuse(bytes32 task, address trainer, bytes32 evidence) external payable returns (bytes32 dispute);
    function challengeResult(bytes32 task, Result calldata right) external payable returns (bytes32 dispute);
    function appeal(bytes32 task, Result calldata right) external payable returns (bytes32 dispute);
    function drawJury(bytes32 dispute) external;
    function judge(bytes32 dispute, bool upheld) external;
    function resolve(bytes32 dispute) external;

    function getTask(bytes32 task) external view returns (Task memory);
    function getAccount(address account) external view returns (Account memory);
    function getSeat(bytes32 task, address trainer) external view returns (Seat memory);
    function getValidator(address account) external view returns (Validator memory validator, uint256 poolSize);
    function getDispute(bytes32 dispute) external view returns (Dispute memory, Ballot[] memory ballots);
    function votesFor(bytes32 task, bytes32 proposal) external view returns (uint16);
    function liabilities() external view returns (uint64 escrow, uint64 stake, uint64 balances);
}
