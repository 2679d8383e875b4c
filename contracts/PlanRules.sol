// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MarketTypes} from "./MarketTypes.sol";

/// @title Which plans hold together, and what they cost at most.
library PlanRules {
    uint256 internal constant MAX_UNITS = 2 ** 31 - 1;
    /// @dev A task ends within this time of its creation, so that no stake can be locked for ever.
    uint64 internal constant MAX_LIFE = 90 days;
    uint64 internal constant MAX_WINDOW = 30 days;

    /// @notice The escrow of a plan: every unit at the ceiling and every aggregate. Reverts if the plan is invalid.
    function worstCase(MarketTypes.Plan calldata plan) internal view returns (uint256 escrow) {
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
        escrow = units * plan.maxUnitPrice + uint256(plan.rounds) * plan.aggregatePrice;
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
}
