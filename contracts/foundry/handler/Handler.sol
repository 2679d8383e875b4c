// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Market} from "../Market.sol";
import {Ending} from "./Ending.sol";

/// @title Everything that can happen to the market, in any order: what the invariant tests call.
/// @dev Each external function of the parents is one kind of action. `push` takes the next step of an honest task, so
/// that late phases are reached often; all else happens in between.
contract Handler is Ending {
    constructor() {
        _create(people[0], _plan(1)); // there is always a task to choose
        for (uint256 i = 1; i < people.length - 1; i += 2) {
            _do(people[i], 2 * VALIDATOR_STAKE, _registerCall());
            _do(people[i], _joinCall());
        }
    }

    // ------------------------------------------------------------------ time and luck

    /// @dev Time moves a little, or to an edge of some task.
    function pass(uint256 which, uint256 edge) external {
        Job storage chosen = _job(which);
        if (edge % 3 != 0) return _until(block.timestamp + _within(edge, 1, 30));
        Task memory task = market.getTask(chosen.id);
        Plan memory p = task.plan;
        uint64[9] memory edges = [
            p.bidUntil,
            p.awardUntil,
            p.acceptUntil,
            p.standbyUntil,
            p.startUntil,
            p.endBy,
            p.endBy + p.disputeTime,
            task.settleAfter,
            task.claimUntil
        ];
        _until(uint256(edges[edge / 3 % 9]) + edge / 27 % 2);
    }

    /// @dev A native transfer runs no code of the market: it makes the balance larger than what is owed.
    function donate(uint256 amount) external {
        amount = _within(amount, 1, 100);
        vm.deal(address(market), address(market).balance + amount);
        donated += amount;
        minted += amount;
    }

    // ------------------------------------------------------------------ the honest way

    function push(uint256 which, uint256 seed) external {
        Job storage chosen = _job(which);
        Task memory task = market.getTask(chosen.id);
        _tryWhatIsForbidden(chosen, task, _more(seed, 0));
        if (task.phase == Phase.Created) _pushAward(chosen, task, seed);
        else if (task.phase == Phase.Awarded) _pushStart(chosen, task, seed);
        else if (task.phase == Phase.Running) _pushVote(chosen, task, seed);
        else _pushEnd(chosen, task, seed);
    }

    /// @dev What somebody without the right to it would like to do in this phase; if it works, a check complains.
    function _tryWhatIsForbidden(Job storage chosen, Task memory task, uint256 seed) private {
        if (task.phase == Phase.Awarded) {
            _acceptForOther(chosen, _member(seed), _more(seed, 1) % chosen.crew.length);
        } else if (task.phase == Phase.Running) {
            _vote(chosen, _anyone(seed), seed % 2 == 0, _more(seed, 1), _more(seed, 2));
            if (task.plan.seats == 1) _vote(chosen, chosen.client, seed % 2 == 0, _more(seed, 1), HONEST);
        } else if (task.phase == Phase.Settled) {
            _claimMore(chosen, _anyone(seed), _more(seed, 1), _more(seed, 2));
        }
    }

    function _pushAward(Job storage chosen, Task memory task, uint256 seed) private {
        _until(task.plan.bidUntil + 1);
        if (_now() <= task.plan.awardUntil) _award(chosen, chosen.client, seed);
        else _expire(chosen, stranger);
    }

    function _pushStart(Job storage chosen, Task memory task, uint256 seed) private {
        for (uint256 i = 0; i < chosen.crew.length && chosen.seated.length < chosen.primaries; ++i) {
            address trainer = chosen.crew[i];
            _act(trainer, task.plan.stakePerSeat, _registerCall());
            _act(trainer, task.plan.stakePerSeat, abi.encodeCall(Market.depositStake, ()));
            if (_accept(chosen, i)) return;
        }
        for (uint256 i = 0; i < chosen.seated.length; ++i) {
            if (_act(chosen.seated[i], abi.encodeCall(Market.ready, (chosen.id)))) return;
        }
        if (_now() <= task.plan.startUntil && chosen.seated.length >= task.plan.minTrainers) {
            _start(chosen, chosen.client);
        } else {
            _until(task.plan.startUntil + (seed % 2));
            _expire(chosen, stranger);
        }
    }

    /// @dev Rarely faulty, and rarely for a result, so that tasks also end on their progress or without any.
    function _pushVote(Job storage chosen, Task memory task, uint256 seed) private {
        if (seed % 16 == 0) _until(task.plan.endBy + 1);
        if (_now() > task.plan.endBy) {
            _vote(chosen, chosen.seated[0], false, 0, HONEST); // too late
            if (seed % 2 == 0) _appeal(chosen, _anyone(seed / 2), seed / 32);
            else _until(task.plan.endBy + task.plan.disputeTime + 1);
            _expire(chosen, stranger);
            return;
        }
        bool checkpoint = seed % 3 == 0;
        uint256 fault = seed / 48 % 8 < FAULTS ? seed / 48 % 8 : HONEST;
        uint256 round = task.progress.round + (task.progress.round < task.plan.rounds ? 1 : 0);
        if (seed % 5 == 0) round = _within(seed / 5, 1, task.plan.rounds); // an earlier one, perhaps
        for (uint256 i = 0; i < task.quorum && i < chosen.seated.length; ++i) {
            _vote(chosen, chosen.seated[i], checkpoint, round - 1, fault);
        }
    }

    function _pushEnd(Job storage chosen, Task memory task, uint256 seed) private {
        if (task.phase == Phase.Settling) {
            if (seed % 4 == 0) _challenge(chosen, _anyone(seed / 4), seed / 64);
            if (seed % 3 == 0) _until(task.settleAfter);
            bool due = _now() >= task.settleAfter && _openCases(chosen.id) == 0;
            vm.assertTrue(_settle(chosen, stranger) == due, "a result is settled after its window");
        } else if (task.phase == Phase.Settled) {
            bytes32 root = _outcome(task).creditsRoot;
            for (uint256 i = 0; i < auditCredits[root].length; ++i) _claimAudits(chosen, stranger, i);
            for (uint256 i = 0; i < credits[root].length; ++i) {
                if (_claim(chosen, stranger, i)) return;
            }
        } else {
            for (uint256 i = 0; i < chosen.seated.length; ++i) {
                if (_release(chosen, stranger, chosen.seated[i])) return;
            }
        }
    }

    // ------------------------------------------------------------------ the end of everything

    /// @notice From any state, with nothing but time and calls that anyone may make, all get what is theirs.
    function finish() external {
        guest.setRefuses(false);
        for (uint256 i = 0; i < cases.length; ++i) _endCase(cases[i]);
        for (uint256 i = 0; i < jobs.length; ++i) _finish(jobs[i]);
        for (uint256 i = 0; i < people.length; ++i) {
            if (_validator(people[i]).place != 0) _do(people[i], _leaveCall());
        }
        _until(block.timestamp + DRAW_BLOCKS + 1);
        for (uint256 i = 0; i < people.length; ++i) _takeStakeBack(people[i]);
        _until(block.timestamp + UNBONDING);
        for (uint256 i = 0; i < people.length; ++i) _leave(people[i]);
    }

    /// @dev Whatever its jury did or did not do.
    function _endCase(bytes32 id) private {
        (Dispute memory dispute,) = market.getDispute(id);
        if (dispute.state != DisputeState.Open) return;
        uint256 disputeTime = market.getTask(dispute.taskId).plan.disputeTime;
        _until((dispute.decideBy == 0 ? dispute.openedAt + disputeTime : dispute.decideBy) + 1);
        vm.assertTrue(_resolve(id, stranger), "a dispute does not end");
    }

    function _finish(Job storage chosen) private {
        Task memory task = market.getTask(chosen.id);
        if (task.phase == Phase.Created || task.phase == Phase.Awarded || task.phase == Phase.Running) {
            _until(task.plan.endBy + task.plan.disputeTime + 1);
            vm.assertTrue(_expire(chosen, stranger), "a task without a result does not expire");
        } else if (task.phase == Phase.Settling) {
            _until(task.settleAfter);
            vm.assertTrue(_settle(chosen, stranger), "a result is not settled after its window");
        }
        task = market.getTask(chosen.id);
        if (task.phase == Phase.Settled) {
            bytes32 root = _outcome(task).creditsRoot;
            for (uint256 i = 0; i < credits[root].length; ++i) _claim(chosen, stranger, i);
            for (uint256 i = 0; i < auditCredits[root].length; ++i) _claimAudits(chosen, stranger, i);
            _until(task.claimUntil + 1);
            vm.assertTrue(_expire(chosen, stranger), "a settled task does not lapse");
        }
        for (uint256 i = 0; i < chosen.seated.length; ++i) _release(chosen, stranger, chosen.seated[i]);
    }

    function _takeStakeBack(address who) private {
        Validator memory validator = _validator(who);
        if (validator.stake != 0) _do(who, _leaveCall());
        Account memory account = _account(who);
        vm.assertEq(account.locked, 0, "stake stays locked after every task has ended");
        if (account.stake > 0) _do(who, abi.encodeCall(Market.requestUnstake, (account.stake)));
    }

    function _leave(address who) private {
        if (_account(who).unbonding > 0) _do(who, abi.encodeCall(Market.completeUnstake, ()));
        if (_account(who).balance > 0) _do(who, abi.encodeCall(Market.withdraw, ()));
        vm.assertEq(who.balance, expected[who], "somebody left with more or less than its share");
    }
}
