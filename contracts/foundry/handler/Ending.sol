// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {TrainingMarket} from "../../TrainingMarket.sol";
import {Merkle} from "../Merkle.sol";
import {Voting} from "./Voting.sol";

/// @title How tasks end, and what is paid then.
abstract contract Ending is Voting {
    function settle(uint256 which, uint256 who) external {
        Job storage chosen = _job(which);
        _settle(chosen, _anyone(who));
    }

    function expire(uint256 which, uint256 who) external {
        Job storage chosen = _job(which);
        _expire(chosen, _anyone(who));
    }

    function claim(uint256 which, uint256 who, uint256 leaf) external {
        Job storage chosen = _job(which);
        Credit[] storage list = credits[_outcome(market.getTask(chosen.id)).creditsRoot];
        if (list.length > 0) _claim(chosen, _anyone(who), leaf % list.length);
    }

    /// @dev A leaf that is not in the tree, with a proof of one that is.
    function claimMore(uint256 which, uint256 who, uint256 leaf, uint256 change) external {
        Job storage chosen = _job(which);
        bytes32 root = _outcome(market.getTask(chosen.id)).creditsRoot;
        if (credits[root].length == 0) return;
        leaf %= credits[root].length;
        Credit memory forged = credits[root][leaf];
        if (change % 3 == 0) forged.units += 1;
        else if (change % 3 == 1) forged.aggregates += 1;
        else forged.noShow = !forged.noShow;
        bytes32[] memory proof = Merkle.proof(_creditLeaves(chosen.id, credits[root]), leaf);
        vm.assertTrue(!_act(_anyone(who), _claimCall(chosen.id, forged, proof)), "a forged leaf was paid");
    }

    function release(uint256 which, uint256 who, uint256 trainer) external {
        Job storage chosen = _job(which);
        _release(chosen, _anyone(who), _seated(chosen, trainer));
    }

    // ------------------------------------------------------------------ single steps

    function _settle(Job storage chosen, address caller) internal returns (bool ok) {
        Task memory task = market.getTask(chosen.id);
        ok = _act(caller, abi.encodeCall(TrainingMarket.settle, (chosen.id)));
        if (!ok) return ok;
        vm.assertTrue(_now() >= task.settleAfter, "settled before the window closed");
        _gain(chosen.client, chosen.escrow - _earned(chosen, task));
    }

    /// @dev What the client gets back depends on how far the task came; see the table of exits.
    function _expire(Job storage chosen, address caller) internal returns (bool ok) {
        Task memory task = market.getTask(chosen.id);
        uint256 refund = chosen.escrow;
        uint256 after_ = task.plan.awardUntil;
        if (task.phase == Phase.Awarded && chosen.seated.length < task.plan.minTrainers) {
            after_ = task.plan.standbyUntil;
        } else if (task.phase == Phase.Awarded) {
            after_ = task.plan.startUntil;
            refund -= chosen.seated.length * task.plan.compensation;
        } else if (task.phase == Phase.Running) {
            after_ = task.plan.endBy;
            refund -= _earned(chosen, task);
        } else if (task.phase == Phase.Settled) {
            after_ = task.claimUntil;
            refund = _unclaimed(chosen, task);
        }
        ok = _act(caller, abi.encodeCall(TrainingMarket.expire, (chosen.id)));
        if (!ok) return ok;
        vm.assertTrue(_now() > after_, "expired before its deadline had passed");
        _gain(chosen.client, refund);
    }

    function _claim(Job storage chosen, address caller, uint256 leaf) internal returns (bool ok) {
        Task memory task = market.getTask(chosen.id);
        bytes32 root = _outcome(task).creditsRoot;
        Credit memory credit = credits[root][leaf];
        bool open = task.phase == Phase.Settled && !_seat(chosen.id, credit.trainer).closed;
        bytes32[] memory proof = Merkle.proof(_creditLeaves(chosen.id, credits[root]), leaf);
        ok = _act(caller, _claimCall(chosen.id, credit, proof));
        if (_sound(task)) vm.assertTrue(ok == open, "what an honest root promises is paid, once");
        if (!ok) return ok;
        vm.assertTrue(open, "paid twice, or outside of the time for it");
        _gain(credit.trainer, _priceOf(chosen, task, credit.units, credit.aggregates));
        if (credit.noShow) {
            _lose(credit.trainer, task.plan.noShowPenalty);
            _gain(chosen.client, task.plan.noShowPenalty);
        }
    }

    function _release(Job storage chosen, address caller, address trainer) internal returns (bool ok) {
        Task memory task = market.getTask(chosen.id);
        bool open = _isSeated(chosen, trainer) && !_seat(chosen.id, trainer).closed;
        bool ended = task.phase == Phase.Cancelled || task.phase == Phase.Expired || task.phase == Phase.Lapsed;
        ok = _act(caller, abi.encodeCall(TrainingMarket.release, (chosen.id, trainer)));
        vm.assertTrue(ok == (open && ended), "each seat is released once, after the end");
        if (ok) _gain(trainer, _compensation(chosen, task));
    }

    // ------------------------------------------------------------------ prices

    function _priceOf(Job storage chosen, Task memory task, uint256 units, uint256 aggregates)
        internal
        view
        returns (uint256)
    {
        return units * chosen.unitPrice + aggregates * task.plan.aggregatePrice;
    }

    /// @dev Whether the leaves do not promise more than the totals, so that nobody can come too late.
    function _sound(Task memory task) private view returns (bool) {
        Result memory outcome = _outcome(task);
        Credit[] storage list = credits[outcome.creditsRoot];
        uint256 units;
        uint256 aggregates;
        for (uint256 i = 0; i < list.length; ++i) (units, aggregates) = (units + list[i].units, aggregates + list[i].aggregates);
        return units <= outcome.units && aggregates <= outcome.aggregates;
    }

    function _earned(Job storage chosen, Task memory task) internal view returns (uint256) {
        Result memory outcome = _outcome(task);
        return _priceOf(chosen, task, outcome.units, outcome.aggregates);
    }

    /// @dev What is left of the earnings when the leaves of all closed seats are paid.
    function _unclaimed(Job storage chosen, Task memory task) internal view returns (uint256 left) {
        left = _earned(chosen, task);
        Credit[] storage list = credits[_outcome(task).creditsRoot];
        for (uint256 i = 0; i < list.length; ++i) {
            if (_seat(chosen.id, list[i].trainer).closed) {
                left -= _priceOf(chosen, task, list[i].units, list[i].aggregates);
            }
        }
    }

    /// @dev Due where a client did not start although enough had accepted, or gave up.
    function _compensation(Job storage chosen, Task memory task) internal view returns (uint256) {
        bool started = task.quorum != 0;
        bool enough = chosen.seated.length >= task.plan.minTrainers || task.phase == Phase.Cancelled;
        return !started && enough ? task.plan.compensation : 0;
    }
}
