// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Bench} from "./Bench.sol";
import {Cast} from "./handler/Cast.sol";
import {Disputes} from "./handler/Disputes.sol";
import {Ending} from "./handler/Ending.sol";
import {Handler} from "./handler/Handler.sol";
import {Opening} from "./handler/Opening.sol";
import {Voting} from "./handler/Voting.sol";

/// @title What holds after any sequence of calls by anyone, and at the end of all of them.
/// @dev One campaign checks all of it, since forge runs a campaign for each invariant.
contract MarketInvariantTest is Bench {
    /// @dev Which functions a campaign calls; a struct that forge knows by its shape.
    struct FuzzSelector {
        address addr;
        bytes4[] selectors;
    }

    uint256 private constant OFTEN = 24; // of the actions that take a task or a dispute on its way

    Handler private handler;

    function setUp() external {
        handler = new Handler();
        market = handler.market();
    }

    function targetContracts() external view returns (address[] memory targets) {
        targets = new address[](1);
        targets[0] = address(handler);
    }

    /// @dev A function that is named twice is called twice as often.
    function targetSelectors() external view returns (FuzzSelector[] memory targets) {
        bytes4[34] memory actions = [
            Opening.register.selector,
            Opening.depositStake.selector,
            Opening.requestUnstake.selector,
            Opening.cancelUnstake.selector,
            Opening.completeUnstake.selector,
            Opening.withdraw.selector,
            Opening.moody.selector,
            Opening.pause.selector,
            Opening.createTask.selector,
            Opening.award.selector,
            Opening.accept.selector,
            Opening.ready.selector,
            Opening.start.selector,
            Opening.cancel.selector,
            Voting.confirmCheckpoint.selector,
            Voting.voteResult.selector,
            Disputes.joinValidators.selector,
            Disputes.leaveValidators.selector,
            Disputes.requestDraw.selector,
            Disputes.draw.selector,
            Disputes.accuse.selector,
            Disputes.challengeResult.selector,
            Disputes.appeal.selector,
            Disputes.drawJury.selector,
            Disputes.judge.selector,
            Disputes.resolve.selector,
            Ending.settle.selector,
            Ending.expire.selector,
            Ending.claim.selector,
            Ending.claimAudits.selector,
            Ending.release.selector,
            Handler.pass.selector,
            Handler.donate.selector,
            Handler.push.selector
        ];
        bytes4[3] memory often = [Handler.push.selector, Handler.push.selector, Disputes.pursue.selector];
        targets = new FuzzSelector[](1);
        targets[0] = FuzzSelector(address(handler), new bytes4[](actions.length + OFTEN));
        for (uint256 i = 0; i < targets[0].selectors.length; ++i) {
            targets[0].selectors[i] = i < actions.length ? actions[i] : often[i % 3];
        }
    }

    function invariant_market() external view {
        Cast.Job[] memory jobs = handler.allJobs();
        Task[] memory tasks = new Task[](jobs.length);
        for (uint256 i = 0; i < jobs.length; ++i) tasks[i] = market.getTask(jobs[i].id);
        address[] memory people = handler.allPeople();
        _moneyIsConserved(people);
        Dispute[] memory disputes = _allDisputes();
        _liabilitiesAreTheSumOfTheirParts(people, tasks, disputes);
        _poolIsInOrder(people, disputes);
        _stakeIsLockedForAReason(people, jobs, tasks);
        for (uint256 i = 0; i < jobs.length; ++i) _escrowFollowsThePhase(jobs[i], tasks[i]);
        _votesNeverExceedVoters(jobs, tasks);
        vm.assertTrue(!handler.guestGotIn(), "a payment was entered again");
    }

    function afterInvariant() external {
        handler.finish();
        vm.assertEq(_owed(), 0, "something is owed after everyone has left");
        vm.assertEq(address(market).balance, handler.donated(), "what is left is not what nobody is owed");
    }

    // ------------------------------------------------------------------ the properties

    /// @dev To the tinybar: what exists, what is owed, and what each person has.
    function _moneyIsConserved(address[] memory people) private view {
        uint256 held = address(market).balance;
        uint256 all = held;
        for (uint256 i = 0; i < people.length; ++i) {
            Account memory account = _account(people[i]);
            all += people[i].balance;
            vm.assertEq(
                people[i].balance + account.stake + account.unbonding + account.balance,
                handler.expected(people[i]),
                "somebody has more or less than its share"
            );
        }
        vm.assertEq(all, handler.minted(), "money came from nowhere, or went there");
        vm.assertLe(_owed(), held, "more is owed than is there");
        vm.assertEq(held, _owed() + handler.donated(), "money is there that nobody is owed");
    }

    function _allDisputes() private view returns (Dispute[] memory disputes) {
        bytes32[] memory cases = handler.allCases();
        disputes = new Dispute[](cases.length);
        for (uint256 i = 0; i < cases.length; ++i) (disputes[i],) = market.getDispute(cases[i]);
    }

    function _liabilitiesAreTheSumOfTheirParts(
        address[] memory people,
        Task[] memory tasks,
        Dispute[] memory disputes
    ) private view {
        (uint64 escrow, uint64 stake, uint64 balances) = market.liabilities();
        uint256 reserved;
        uint256 stakes;
        uint256 credited;
        for (uint256 i = 0; i < tasks.length; ++i) reserved += tasks[i].reserved;
        for (uint256 i = 0; i < disputes.length; ++i) {
            if (disputes[i].state == DisputeState.Open) reserved += disputes[i].bond;
        }
        for (uint256 i = 0; i < people.length; ++i) {
            Account memory account = _account(people[i]);
            stakes += account.stake + account.unbonding;
            credited += account.balance;
            vm.assertLe(account.locked, account.stake, "more is locked than there is");
        }
        vm.assertEq(escrow, reserved, "the escrow is not the sum of the tasks' and the bonds");
        vm.assertEq(stake, stakes, "the stake is not the sum of the accounts'");
        vm.assertEq(balances, credited, "the balances are not the sum of the accounts'");
    }

    /// @dev Places are 1, 2, ... without a gap; a duty is a seat on a jury that has not ended.
    function _poolIsInOrder(address[] memory people, Dispute[] memory disputes) private view {
        (, uint256 size) = market.getValidator(address(0));
        bool[] memory taken = new bool[](size + 1);
        uint256 found;
        for (uint256 i = 0; i < people.length; ++i) {
            Validator memory validator = _validator(people[i]);
            uint256 duties;
            for (uint256 k = 0; k < disputes.length; ++k) {
                if (disputes[k].state == DisputeState.Open) duties += _count(disputes[k].jury, people[i]);
            }
            vm.assertEq(validator.duties, duties, "a validator has other duties than its juries");
            if (validator.place == 0) continue;
            vm.assertTrue(!taken[validator.place], "two validators have one place");
            vm.assertLe(VALIDATOR_STAKE / 2, validator.stake, "a validator stays with too little stake");
            taken[validator.place] = true;
            ++found;
        }
        vm.assertEq(found, size, "the pool has others than its validators");
    }

    function _count(address[] memory list, address who) private pure returns (uint256 times) {
        for (uint256 i = 0; i < list.length; ++i) {
            if (list[i] == who) ++times;
        }
    }

    function _stakeIsLockedForAReason(address[] memory people, Cast.Job[] memory jobs, Task[] memory tasks)
        private
        view
    {
        for (uint256 i = 0; i < people.length; ++i) {
            uint256 due = _validator(people[i]).stake;
            for (uint256 k = 0; k < jobs.length; ++k) {
                Seat memory seat = _seat(jobs[k].id, people[i]);
                if (!seat.accepted || seat.closed) continue;
                due += tasks[k].plan.stakePerSeat;
                if (seat.slashed) due -= tasks[k].plan.slash;
            }
            vm.assertEq(_account(people[i]).locked, due, "stake is locked for no seat or pool, or a seat has none");
        }
    }

    function _escrowFollowsThePhase(Cast.Job memory job, Task memory task) private view {
        (uint256 open, uint256 idle, uint256 gone) = _seats(job, task);
        Result memory r = _outcome(task);
        uint256 reserved = job.escrow - gone * task.plan.compensation;
        if (task.phase == Phase.Settled) {
            reserved = uint256(r.units - task.claimedUnits) * task.unitPrice
                + uint256(r.aggregates - task.claimedAggregates) * task.plan.aggregatePrice
                + uint256(r.audits - task.claimedAudits) * task.plan.auditPrice + idle * task.plan.compensation;
        } else if (task.phase > Phase.Settled) {
            reserved = task.quorum == 0 ? open * task.compensationDue : idle * task.plan.compensation;
        }
        vm.assertEq(task.idle, idle, "those that were left out are miscounted");
        vm.assertEq(task.reserved, reserved, "a task holds more or less than it may still have to pay");
        vm.assertEq(task.openDisputes, handler.openCases(job.id), "the open disputes are miscounted");
        vm.assertEq(task.accepted, job.seated.length, "the seats are miscounted");
        vm.assertLe(task.accepted, task.plan.seats, "more seats are taken than there are");
        vm.assertLe(task.ready, task.accepted, "more are ready than accepted");
        uint256 quorum = task.plan.seats == 1 ? 1 : task.ready / 2 + 1;
        if (task.quorum != 0) vm.assertEq(task.quorum, quorum, "the quorum is not a majority of those that were ready");
        if (task.result.result != 0) {
            vm.assertTrue(handler.confirmed(job.id, false), "a result stands that no quorum has confirmed");
        }
        if (task.progress.round != 0) {
            vm.assertTrue(handler.confirmed(job.id, true), "a progress stands that no quorum has confirmed");
        }
    }

    /// @dev How many seats are open; and of those that were left out at the start, how many are and are not any more.
    function _seats(Cast.Job memory job, Task memory task)
        private
        view
        returns (uint256 open, uint256 idle, uint256 gone)
    {
        for (uint256 i = 0; i < job.seated.length; ++i) {
            Seat memory seat = _seat(job.id, job.seated[i]);
            if (!seat.closed) ++open;
            if (task.quorum == 0 || seat.ready) continue;
            if (seat.closed) ++gone;
            else ++idle;
        }
    }

    function _votesNeverExceedVoters(Cast.Job[] memory jobs, Task[] memory tasks) private view {
        for (uint256 i = 0; i < handler.proposalCount(); ++i) {
            (bytes32 id, uint256 of_, uint256 votes) = handler.proposal(i);
            uint256 client = tasks[of_].plan.seats > 1 ? 1 : 0;
            vm.assertEq(market.votesFor(jobs[of_].id, id), votes, "a proposal has other votes than were given");
            vm.assertLe(votes, jobs[of_].seated.length + client, "a proposal has more votes than there are voters");
        }
    }
}
