// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketTypes} from "./MarketTypes.sol";

/// @title Which plans hold together, and what they cost at most.
library PlanRules {
    uint256 internal constant MAX_UNITS = 2 ** 31 - 1;
    /// @dev A task ends within this time of its creation, so that no stake can be locked for ever.
    uint64 internal constant MAX_LIFE = 90 days;
    uint64 internal constant MAX_WINDOW = 30 days;
    uint8 internal constant MAX_AUDITORS = 7;
    uint16 internal constant WHOLE = 10_000;
    /// @dev A juror that fails loses the price of an audit: its stake has to bear a few of these.
    uint64 internal constant FINES = 16;

    /// @notice The escrow of a plan: every unit at the ceiling, every aggregate and every audit, and the compensation of
    /// every seat that may be left out at the start. Reverts if the plan is invalid.
    /// @param validatorStake what each validator has locked.
    /// @param minDisputeTime the least that a plan may give for anything about a dispute.
    function worstCase(MarketTypes.Plan calldata plan, uint64 validatorStake, uint64 minDisputeTime)
        internal
        view
        returns (uint256 escrow)
    {
        if (plan.rounds == 0) revert MarketTypes.InvalidPlan("rounds");
        uint256 units = uint256(plan.chunks) * plan.rounds;
        if (units > MAX_UNITS) revert MarketTypes.InvalidPlan("chunks");
        if (plan.seats == 0 || plan.seats > plan.chunks) revert MarketTypes.InvalidPlan("seats");
        // A quorum is two at least where there are seats for two: a lone trainer could then be left unpaid.
        uint256 fewest = plan.seats > 1 ? 2 : 1;
        if (plan.minTrainers < fewest || plan.minTrainers > plan.seats) {
            revert MarketTypes.InvalidPlan("minTrainers");
        }
        if (plan.noShowPenalty > plan.stakePerSeat) revert MarketTypes.InvalidPlan("noShowPenalty");
        _requireOrder(plan);
        _requireDisputes(plan, validatorStake, minDisputeTime);
        escrow = units * plan.maxUnitPrice + uint256(plan.rounds) * plan.aggregatePrice
            + uint256(plan.audits) * plan.auditPrice + uint256(plan.seats - plan.minTrainers) * plan.compensation;
        if (uint256(plan.seats) * plan.compensation > escrow) revert MarketTypes.InvalidPlan("compensation");
    }

    function _requireOrder(MarketTypes.Plan calldata plan) private view {
        if (plan.bidUntil <= block.timestamp) revert MarketTypes.InvalidPlan("bidUntil");
        if (plan.awardUntil <= plan.bidUntil) revert MarketTypes.InvalidPlan("awardUntil");
        if (plan.acceptUntil <= plan.awardUntil) revert MarketTypes.InvalidPlan("acceptUntil");
        if (plan.standbyUntil <= plan.acceptUntil) revert MarketTypes.InvalidPlan("standbyUntil");
        if (plan.startUntil <= plan.standbyUntil) revert MarketTypes.InvalidPlan("startUntil");
        if (plan.endBy <= plan.startUntil) revert MarketTypes.InvalidPlan("endBy");
        if (plan.endBy > block.timestamp + MAX_LIFE) revert MarketTypes.InvalidPlan("endBy");
        if (plan.window > MAX_WINDOW) revert MarketTypes.InvalidPlan("window");
    }

    /// @dev The bond is the jury's pay; what the finder gets of a slash covers it, since else nobody would accuse. A
    /// result can be challenged for as long as the market thinks that people need to act at all. Without auditors every
    /// number is 0.
    function _requireDisputes(MarketTypes.Plan calldata plan, uint64 validatorStake, uint64 minDisputeTime)
        private
        pure
    {
        if (plan.auditors == 0) {
            bool unused = plan.auditPrice == 0 && plan.audits == 0 && plan.bond == 0 && plan.slash == 0
                && plan.finderShare == 0 && plan.disputeTime == 0;
            if (!unused) revert MarketTypes.InvalidPlan("auditors");
            return;
        }
        if (plan.auditors % 2 == 0 || plan.auditors > MAX_AUDITORS) revert MarketTypes.InvalidPlan("auditors");
        if (plan.auditPrice == 0 || plan.auditPrice > validatorStake / FINES) {
            revert MarketTypes.InvalidPlan("auditPrice");
        }
        if (plan.audits > MAX_UNITS) revert MarketTypes.InvalidPlan("audits");
        if (plan.bond < plan.auditors * uint256(plan.auditPrice)) revert MarketTypes.InvalidPlan("bond");
        if (plan.slash == 0 || plan.slash > plan.stakePerSeat) revert MarketTypes.InvalidPlan("slash");
        if (plan.finderShare > WHOLE) revert MarketTypes.InvalidPlan("finderShare");
        if (uint256(plan.slash) * plan.finderShare / WHOLE < plan.bond) revert MarketTypes.InvalidPlan("finderShare");
        if (plan.disputeTime < minDisputeTime || plan.disputeTime > MAX_WINDOW) {
            revert MarketTypes.InvalidPlan("disputeTime");
        }
        if (plan.window < minDisputeTime) revert MarketTypes.InvalidPlan("window");
    }
}
