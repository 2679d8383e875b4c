// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "../Market.sol";
import {Merkle} from "../Merkle.sol";
import {Disputes} from "./Disputes.sol";

/// @title How tasks end, and what is paid then.
abstract contract Ending is Disputes {
    mapping(bytes32 task => mapping(address validator => bool)) internal auditsPaid;
    mapping(bytes32 task => uint256) internal auditsPaidInAll;

    function settle(uint256 which, uint256 who) external {
        _settle(_job(which), _anyone(who));
    }

    function expire(uint256 which, uint256 who) external {
        _expire(_job(which), _anyone(who));
    }

    function claim(uint256 which, uint256 who, uint256 leaf) external {
        Job storage chosen = _job(which);
        Credit[] storage list = credits[_outcome(market.getTask(chosen.id)).creditsRoot];
        if (list.length > 0) _claim(chosen, _anyone(who), leaf % list.length);
    }

    function claimAudits(uint256 which, uint256 who, uint256 leaf) external {
        Job storage chosen = _job(which);
        AuditCredit[] storage list = auditCredits[_outcome(market.getTask(chosen.id)).creditsRoot];
        if (list.length > 0) _claimAudits(chosen, _anyone(who), leaf % list.length);
    }

    function release(uint256 which, uint256 who, uint256 trainer) external {
        Job storage chosen = _job(which);
        _release(chosen, _anyone(who), _seated(chosen, trainer));
    }

    // ------------------------------------------------------------------ single steps

    function _settle(Job storage chosen, address caller) internal returns (bool ok) {
        Task memory task = market.getTask(chosen.id);
        ok = _act(caller, abi.encodeCall(Market.settle, (chosen.id)));
        if (!ok) return ok;
        vm.assertTrue(_now() >= task.settleAfter, "settled before the window closed");
        vm.assertEq(_openCases(chosen.id), 0, "settled with a dispute open");
        _gain(chosen.client, chosen.escrow - _earned(chosen, task) - _leftOut(chosen) * task.plan.compensation);
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
            after_ = task.plan.endBy + task.plan.disputeTime;
            refund -= _earned(chosen, task) + _leftOut(chosen) * task.plan.compensation;
        } else if (task.phase == Phase.Settled) {
            after_ = task.claimUntil;
            refund = _unclaimed(chosen, task);
        }
        ok = _act(caller, abi.encodeCall(Market.expire, (chosen.id)));
        if (!ok) return ok;
        vm.assertTrue(_now() > after_, "expired before its deadline had passed");
        vm.assertEq(_openCases(chosen.id), 0, "expired with a dispute open");
        _gain(chosen.client, refund);
    }

    function _claim(Job storage chosen, address caller, uint256 leaf) internal returns (bool ok) {
        Task memory task = market.getTask(chosen.id);
        bytes32 root = _outcome(task).creditsRoot;
        Credit memory credit = credits[root][leaf];
        Seat memory seat = _seat(chosen.id, credit.trainer);
        bool open = task.phase == Phase.Settled && !seat.closed && seat.ready;
        ok = _act(caller, _claimCall(chosen.id, credit, _proof(chosen.id, root, leaf)));
        if (_sound(task)) vm.assertTrue(ok == open, "what an honest root promises is paid, once");
        if (!ok) return ok;
        vm.assertTrue(open, "paid twice, or outside of the time for it");
        uint256 pay = _priceOf(chosen, task, credit.units, credit.aggregates, 0);
        if (seat.slashed) {
            _gain(chosen.client, pay);
            return ok;
        }
        _gain(credit.trainer, pay);
        (uint256 lost, uint256 toFinder) = _fault(chosen.id, task.plan, credit);
        _lose(credit.trainer, lost);
        _gain(chosen.client, lost - toFinder);
        if (toFinder > 0) _gain(finderOf[chosen.id], toFinder);
    }

    /// @dev A leaf that is not in the tree, with a proof of one that is.
    function _claimMore(Job storage chosen, address caller, uint256 leaf, uint256 change) internal {
        bytes32 root = _outcome(market.getTask(chosen.id)).creditsRoot;
        leaf %= credits[root].length;
        Credit memory forged = credits[root][leaf];
        if (change % 3 == 0) forged.units += 1;
        else if (change % 3 == 1) forged.aggregates += 1;
        else forged.noShow = !forged.noShow;
        bytes memory call = _claimCall(chosen.id, forged, _proof(chosen.id, root, leaf));
        vm.assertTrue(!_act(caller, call), "a forged leaf was paid");
    }

    /// @dev What a seat loses for its votes, or for not being there.
    function _fault(bytes32 id, Plan memory plan, Credit memory credit)
        private
        view
        returns (uint256 lost, uint256 toFinder)
    {
        bytes32 wrong = wrongOf[id];
        if (wrong != 0 && voted[wrong][credit.trainer]) lost = plan.slash;
        else if (market.getTask(id).appealed && !voted[upheld[id]][credit.trainer]) lost = plan.noShowPenalty;
        else return (credit.noShow ? plan.noShowPenalty : 0, 0);
        toFinder = _toFinder(plan, lost);
    }

    function _claimAudits(Job storage chosen, address caller, uint256 leaf) internal {
        Task memory task = market.getTask(chosen.id);
        bytes32 root = _outcome(task).creditsRoot;
        AuditCredit memory credit = auditCredits[root][leaf];
        bytes32[] memory proof = _proof(chosen.id, root, credits[root].length + leaf);
        bytes memory call =
            abi.encodeCall(Market.claimAudits, (chosen.id, credit.validator, credit.audits, proof));
        bool due = task.phase == Phase.Settled && drawn[chosen.id][credit.validator]
            && !auditsPaid[chosen.id][credit.validator];
        bool ok = _act(caller, call);
        if (_sound(task)) vm.assertTrue(ok == due, "audits are paid to whoever was drawn for them, once");
        if (!ok) return;
        vm.assertTrue(due, "audits are paid to somebody who was not drawn, or twice");
        auditsPaid[chosen.id][credit.validator] = true;
        auditsPaidInAll[chosen.id] += credit.audits;
        _gain(credit.validator, uint256(credit.audits) * task.plan.auditPrice);
    }

    function _release(Job storage chosen, address caller, address trainer) internal returns (bool ok) {
        Task memory task = market.getTask(chosen.id);
        bool open = _isSeated(chosen, trainer) && !_seat(chosen.id, trainer).closed;
        bool idle = task.quorum != 0 && !_seat(chosen.id, trainer).ready;
        bool ended = task.phase == Phase.Cancelled || task.phase == Phase.Expired || task.phase == Phase.Lapsed || idle;
        ok = _act(caller, abi.encodeCall(Market.release, (chosen.id, trainer)));
        vm.assertTrue(ok == (open && ended), "each seat is released once, after the end");
        if (ok) _gain(trainer, idle ? task.plan.compensation : _compensation(chosen, task));
    }

    // ------------------------------------------------------------------ prices

    function _proof(bytes32 id, bytes32 root, uint256 leaf) internal view returns (bytes32[] memory) {
        return Merkle.proof(_creditLeaves(id, credits[root], auditCredits[root]), leaf);
    }

    function _priceOf(Job storage chosen, Task memory task, uint256 units, uint256 aggregates, uint256 audits)
        internal
        view
        returns (uint256)
    {
        return units * chosen.unitPrice + aggregates * task.plan.aggregatePrice + audits * task.plan.auditPrice;
    }

    /// @dev Whether the leaves do not promise more than the totals, so that nobody can come too late.
    function _sound(Task memory task) private view returns (bool) {
        Result memory outcome = _outcome(task);
        Credit[] storage list = credits[outcome.creditsRoot];
        uint256 units;
        uint256 aggregates;
        for (uint256 i = 0; i < list.length; ++i) {
            units += list[i].units;
            aggregates += list[i].aggregates;
        }
        bool audits = auditCredits[outcome.creditsRoot].length <= outcome.audits;
        return units <= outcome.units && aggregates <= outcome.aggregates && audits;
    }

    function _earned(Job storage chosen, Task memory task) internal view returns (uint256) {
        Result memory outcome = _outcome(task);
        return _priceOf(chosen, task, outcome.units, outcome.aggregates, outcome.audits);
    }

    /// @dev What is left of the earnings when the leaves of all closed seats are paid.
    function _unclaimed(Job storage chosen, Task memory task) internal view returns (uint256 left) {
        left = _earned(chosen, task) - auditsPaidInAll[chosen.id] * task.plan.auditPrice;
        Credit[] storage list = credits[_outcome(task).creditsRoot];
        for (uint256 i = 0; i < list.length; ++i) {
            Seat memory seat = _seat(chosen.id, list[i].trainer);
            if (seat.closed && seat.ready) {
                left -= _priceOf(chosen, task, list[i].units, list[i].aggregates, 0);
            }
        }
    }

    /// @dev How many were not ready at the start.
    function _leftOut(Job storage chosen) internal view returns (uint256 count) {
        for (uint256 i = 0; i < chosen.seated.length; ++i) {
            if (!_seat(chosen.id, chosen.seated[i]).ready) ++count;
        }
    }

    /// @dev Due where a client did not start although enough had accepted, or gave up.
    function _compensation(Job storage chosen, Task memory task) internal view returns (uint256) {
        bool started = task.quorum != 0;
        bool enough = chosen.seated.length >= task.plan.minTrainers || task.phase == Phase.Cancelled;
        return !started && enough ? task.plan.compensation : 0;
    }
}
