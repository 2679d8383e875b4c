// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {MerkleProof} from "@openzeppelin/contracts/utils/cryptography/MerkleProof.sol";

import {Vm} from "./Cheats.sol";
import {Market} from "./Market.sol";
import {Merkle} from "./Merkle.sol";
import {Scene} from "./Scene.sol";

/// @title What single functions do to the books and tell in events, for any numbers.
contract FunctionsTest is Scene {
    /// @dev The last event of a call has this signature and says this.
    function _doAndTell(address who, uint256 value, bytes memory call, bytes32 signature, bytes memory said) private {
        vm.recordLogs();
        _do(who, value, call);
        Vm.Log[] memory logs = vm.getRecordedLogs();
        Vm.Log memory last = logs[logs.length - 1];
        vm.assertTrue(last.emitter == address(market) && last.topics[0] == signature, "another event was expected");
        vm.assertTrue(keccak256(last.data) == keccak256(said), "an event tells another story");
    }

    function _free(address who) private view returns (uint256) {
        return _account(who).stake - _account(who).locked;
    }

    /// @dev What forge compiles for these tests is what compile.mjs wrote into the package.
    function test_theCodeTestedIsTheCodeDeployed() external view {
        string memory artefact = vm.readFile("../src/shoal/contracts/TrainingMarket.json");
        bytes memory deployed = vm.parseBytes(string.concat("0x", vm.parseJsonString(artefact, ".bytecode")));
        bytes memory tested = vm.getCode("TrainingMarket.sol:TrainingMarket");
        vm.assertTrue(keccak256(tested) == keccak256(deployed), "another code is tested than deployed");
    }

    // ------------------------------------------------------------------ trees

    function testFuzz_proofsVerify(bytes32[] memory leaves, uint256 which, bytes32 other) external pure {
        if (leaves.length == 0) return;
        which %= leaves.length;
        bytes32 root = Merkle.root(leaves);
        bytes32[] memory proof = Merkle.proof(leaves, which);
        vm.assertTrue(MerkleProof.verify(proof, root, leaves[which]), "a leaf of a tree is not proven");
        if (other != leaves[which]) vm.assertTrue(!MerkleProof.verify(proof, root, other), "any leaf is proven");
    }

    // ------------------------------------------------------------------ accounts

    function testFuzz_stakeComesAndGoes(uint256 first, uint256 second, uint256 back, uint64 wait) external {
        first = _within(first, 0, FUNDS / 2);
        second = _within(second, 1, FUNDS / 2);
        back = _within(back, 1, first + second);
        _doAndTell(stranger, first, _registerCall(), Registered.selector, abi.encode(KEY, RECIPIENT, first));
        bytes memory deposit = abi.encodeCall(Market.depositStake, ());
        _doAndTell(stranger, second, deposit, StakeDeposited.selector, abi.encode(second));
        vm.assertEq(_account(stranger).stake, first + second, "stake");
        bytes memory request = abi.encodeCall(Market.requestUnstake, (uint64(back)));
        bytes memory told = abi.encode(back, START + UNBONDING);
        _doAndTell(stranger, 0, request, UnstakeRequested.selector, told);
        vm.assertEq(_account(stranger).stake, first + second - back, "stake left");
        vm.assertEq(_account(stranger).unbonding, back, "unbonding");
        vm.warp(START + UNBONDING + wait % 1_000);
        bytes memory complete = abi.encodeCall(Market.completeUnstake, ());
        _doAndTell(stranger, 0, complete, Unstaked.selector, abi.encode(back));
        vm.assertEq(_account(stranger).balance, back, "balance");
        vm.assertEq(_account(stranger).unbonding, 0, "unbonding");
        bytes memory withdraw = abi.encodeCall(Market.withdraw, ());
        _doAndTell(stranger, 0, withdraw, Withdrawn.selector, abi.encode(back));
        vm.assertEq(_account(stranger).balance, 0, "balance");
        vm.assertEq(stranger.balance, FUNDS - first - second + back, "purse");
        vm.assertEq(_owed(), first + second - back, "what is owed");
    }

    /// @dev A further request begins the time anew, for all of it.
    function testFuzz_unstakingTwice(uint64 first, uint64 second, uint64 wait) external {
        (first, second, wait) = (1 + first % 1_000, 1 + second % 1_000, wait % UNBONDING);
        _do(stranger, 2_000, _registerCall());
        _do(stranger, abi.encodeCall(Market.requestUnstake, (first)));
        vm.warp(START + wait);
        _do(stranger, abi.encodeCall(Market.requestUnstake, (second)));
        uint64 from = START + wait + UNBONDING;
        vm.warp(from - 1);
        bytes memory complete = abi.encodeCall(Market.completeUnstake, ());
        _refused(stranger, complete, abi.encodeWithSelector(TooEarly.selector, from, from - 1));
        bytes memory cancel = abi.encodeCall(Market.cancelUnstake, ());
        _doAndTell(stranger, 0, cancel, UnstakeCancelled.selector, abi.encode(first + second));
        vm.assertEq(_account(stranger).stake, 2_000, "stake");
        vm.assertEq(_account(stranger).unbonding, 0, "unbonding");
    }

    // ------------------------------------------------------------------ escrow

    function _anyPlan(uint256 seed) private pure returns (Plan memory p) {
        p = _usualPlan();
        p.rounds = uint32(_within(_more(seed, 0), 1, 1_000));
        p.chunks = uint32(_within(_more(seed, 1), 4, 100_000));
        p.maxUnitPrice = uint64(_within(_more(seed, 2), 0, 10 ** 9));
        p.aggregatePrice = uint64(_within(_more(seed, 3), 0, 10 ** 12));
        p.audits = uint32(_within(_more(seed, 4), 0, 2 ** 31 - 1));
        p.compensation = 0;
    }

    function testFuzz_escrowIsTheWorstCase(uint256 seed) external {
        plan = _anyPlan(seed);
        uint256 escrow = _escrowOf(plan);
        vm.deal(client, escrow + 1);
        bytes memory call = _createCall(MANIFEST, plan);
        _refused(client, escrow + 1, call, abi.encodeWithSelector(WrongEscrow.selector, escrow, escrow + 1));
        bytes memory told = abi.encode(uint64(7), MANIFEST, KEY, RECIPIENT, plan, escrow);
        _doAndTell(client, escrow, call, TaskCreated.selector, told);
        Task memory t = _task();
        vm.assertTrue(t.client == client && t.topic == 7 && t.phase == Phase.Created, "the task is another one");
        vm.assertTrue(keccak256(abi.encode(t.plan)) == keccak256(abi.encode(plan)), "the plan is another one");
        vm.assertTrue(t.escrow == escrow && t.reserved == escrow, "the escrow is not held");
        vm.assertEq(_owed(), escrow, "what is owed");
    }

    // ------------------------------------------------------------------ seats

    function testFuzz_aPlaceIsWhatTheLeafSays(uint32 units, uint16 rank, uint256 who) external {
        _awarded(0);
        who %= PRIMARIES;
        bytes32[] memory proof = Merkle.proof(_awardLeaves(), who);
        bytes memory call = abi.encodeCall(Market.accept, (task, units, rank, proof));
        if (units != UNITS_EACH || rank != 0) {
            _refused(trainers[who], call, abi.encodeWithSelector(BadProof.selector, task, trainers[who]));
        }
        bytes memory told = abi.encode(KEY, RECIPIENT, UNITS_EACH, uint16(0));
        _doAndTell(trainers[who], 0, _acceptCall(who), Accepted.selector, told);
        vm.assertEq(_account(trainers[who]).locked, plan.stakePerSeat, "the stake of a seat is locked");
        Seat memory seat = _seat(task, trainers[who]);
        vm.assertTrue(seat.accepted && !seat.ready && !seat.closed, "the seat");
        vm.assertTrue(seat.units == UNITS_EACH && seat.rank == 0, "the place");
        vm.assertEq(_task().primariesAccepted, 1, "a primary is counted");
    }

    /// @dev As many standbys as there are vacancies, in the order of their ranks or not.
    function testFuzz_standbysFillVacancies(uint256 primaries, bool firstFirst) external {
        primaries = _within(primaries, 0, 2);
        _awarded(primaries);
        vm.warp(plan.acceptUntil + 1);
        uint256 vacancies = PRIMARIES - primaries;
        if (vacancies == 1) {
            _refused(trainers[4], _acceptCall(4), abi.encodeWithSelector(RankTooLow.selector, 1, 2));
            _do(trainers[3], _acceptCall(3));
            return;
        }
        _do(trainers[firstFirst ? 3 : 4], _acceptCall(firstFirst ? 3 : 4));
        _do(trainers[firstFirst ? 4 : 3], _acceptCall(firstFirst ? 4 : 3));
        vm.assertEq(_task().accepted, primaries + 2, "seats taken");
    }

    // ------------------------------------------------------------------ votes

    /// @dev floor(accepted / 2) + 1 votes confirm, one fewer do not.
    function testFuzz_quorum(uint256 accepting, bool clientVotes, bool checkpoint) external {
        accepting = _within(accepting, 2, 3);
        _awarded(accepting);
        for (uint256 i = 0; i < accepting; ++i) _do(trainers[i], _readyCall());
        bytes memory told = abi.encode(accepting, accepting, accepting / 2 + 1);
        _doAndTell(client, 0, _startCall(), Started.selector, told);
        Offer memory o = _offer();
        for (uint256 votes = 1; votes <= accepting / 2 + 1; ++votes) {
            vm.assertTrue(_task().progress.round == 0 && _phase() == Phase.Running, "too few confirmed");
            address voter = clientVotes && votes == 1 ? client : trainers[votes];
            if (voter == address(trainers[accepting])) voter = trainers[0];
            _do(voter, checkpoint ? _checkpointCall(o) : votes == 1 ? _publishCall(o) : _confirmCall(o));
            bytes32 id = checkpoint ? _checkpointProposal(o) : _resultProposal(o);
            vm.assertEq(market.votesFor(task, id), votes, "votes");
        }
        vm.assertTrue(checkpoint ? _task().progress.round == 3 : _phase() == Phase.Settling, "no quorum");
    }

    /// @dev A quorum for an earlier round comes too late to change anything.
    function testFuzz_progressOnlyGrows(uint32 first, uint32 second) external {
        _running();
        first = uint32(_within(first, 1, plan.rounds));
        second = uint32(_within(second, 1, plan.rounds));
        Offer memory o = _offer();
        (o.units, o.aggregates) = (8, 1); // possible in any round
        for (uint256 i = 0; i < 2; ++i) {
            (o.round, o.hash) = (i == 0 ? first : second, i == 0 ? bytes32("one") : bytes32("two"));
            _do(trainers[0], _checkpointCall(o));
            _do(trainers[1], _checkpointCall(o));
        }
        Progress memory p = _task().progress;
        vm.assertEq(p.round, first > second ? first : second, "round");
        vm.assertTrue(p.checkpoint == (second > first ? bytes32("two") : bytes32("one")), "checkpoint");
        vm.assertTrue(p.units == o.units && p.aggregates == o.aggregates && p.audits == o.audits, "counts");
        vm.assertTrue(p.creditsRoot == o.root, "credits");
    }

    // ------------------------------------------------------------------ ends

    /// @dev Whatever was earned: the shares of all add up to the escrow, each gets its own.
    function testFuzz_settlement(uint256 price, uint32[3] memory units, uint32[3] memory aggregates, bool noShow)
        external
    {
        price = _within(price, 0, plan.maxUnitPrice);
        for (uint256 i = 0; i < 3; ++i) {
            credits[i].units = uint32(_within(units[i], 0, 8));
            credits[i].aggregates = uint32(_within(aggregates[i], 0, 1));
        }
        credits[2].noShow = noShow;
        _created();
        vm.warp(plan.bidUntil + 1);
        _do(client, _awardCall(uint64(price), PRIMARIES));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _acceptCall(i));
        for (uint256 i = 0; i < 3; ++i) _do(trainers[i], _readyCall());
        _do(client, _startCall());
        _do(trainers[0], _publishCall(_offer()));
        _do(client, _confirmCall(_offer()));
        vm.warp(_task().settleAfter);
        uint256 owed = _offer().units * price + uint256(_offer().aggregates) * plan.aggregatePrice;
        owed += uint256(_offer().audits) * plan.auditPrice;
        bytes memory told = abi.encode(owed, _escrowOf(plan) - owed);
        _doAndTell(stranger, 0, _settleCall(), Settled.selector, told);
        for (uint256 i = 0; i < 3; ++i) _claimAndTell(i, price);
        uint256 penalty = noShow ? plan.noShowPenalty : 0;
        vm.assertEq(_account(client).balance, _escrowOf(plan) - owed + penalty, "the client's share");
        vm.assertEq(_task().reserved, _offer().audits * plan.auditPrice, "all but the audits is paid");
    }

    function _claimAndTell(uint256 i, uint256 price) private {
        Credit memory c = credits[i];
        uint256 paid = c.units * price + uint256(c.aggregates) * plan.aggregatePrice;
        uint256 penalty = c.noShow ? plan.noShowPenalty : 0;
        bytes memory told = abi.encode(c.units, c.aggregates, paid, plan.stakePerSeat - penalty, penalty, 0, 0);
        _doAndTell(stranger, 0, _claimCall(i), Claimed.selector, told);
        vm.assertEq(_account(trainers[i]).balance, paid, "a trainer's pay");
        vm.assertEq(_free(trainers[i]), plan.stakePerSeat - penalty, "a trainer's stake");
        vm.assertEq(_account(trainers[i]).locked, 0, "stake stays locked");
        vm.assertTrue(_seat(task, trainers[i]).closed, "the seat is open");
    }

    function testFuzz_cancel(uint256 accepting, uint64 compensation) external {
        accepting = _within(accepting, 0, 3);
        plan.compensation = compensation % uint64(_escrowOf(plan) / plan.seats + 1);
        _awarded(accepting);
        uint256 owed = accepting * plan.compensation;
        bytes memory told = abi.encode(_escrowOf(plan) - owed, owed);
        _doAndTell(client, 0, _cancelCall(), Cancelled.selector, told);
        _releaseAll(accepting, plan.compensation);
        vm.assertEq(_account(client).balance, _escrowOf(plan) - owed, "the client's share");
    }

    function _releaseAll(uint256 accepting, uint64 compensation) private {
        for (uint256 i = 0; i < accepting; ++i) {
            bytes memory told = abi.encode(plan.stakePerSeat, compensation);
            _doAndTell(stranger, 0, _releaseCall(trainers[i]), Released.selector, told);
            vm.assertEq(_account(trainers[i]).balance, compensation, "a trainer's compensation");
            vm.assertEq(_free(trainers[i]), plan.stakePerSeat, "a trainer's stake");
        }
        vm.assertEq(_task().reserved, 0, "all is paid");
    }

    function _expireAndTell(ExpiryReason reason, uint256 refunded, uint256 compensation) private {
        bytes memory told = abi.encode(uint8(reason), refunded, compensation);
        _doAndTell(stranger, 0, _expireCall(), Expired.selector, told);
        vm.assertEq(_account(client).balance, refunded, "the client's share");
    }

    function test_expireNotAwarded() external {
        _created();
        vm.warp(plan.awardUntil + 1);
        _expireAndTell(ExpiryReason.NotAwarded, _escrowOf(plan), 0);
    }

    function test_expireTooFewAccepted() external {
        _awarded(1);
        vm.warp(plan.standbyUntil + 1);
        _expireAndTell(ExpiryReason.TooFewAccepted, _escrowOf(plan), 0);
        _releaseAll(1, 0);
    }

    function testFuzz_expireNotStarted(uint256 accepting) external {
        accepting = _within(accepting, 2, 3);
        _awarded(accepting);
        vm.warp(plan.startUntil + 1);
        uint256 owed = accepting * plan.compensation;
        _expireAndTell(ExpiryReason.NotStarted, _escrowOf(plan) - owed, owed);
        _releaseAll(accepting, plan.compensation);
    }

    function test_expireWithoutProgress() external {
        _running();
        vm.warp(plan.endBy + plan.disputeTime + 1);
        _expireAndTell(ExpiryReason.NoProgress, _escrowOf(plan), 0);
        _releaseAll(3, 0);
    }

    function test_expireOnProgress() external {
        _progressed();
        vm.warp(plan.endBy + plan.disputeTime + 1);
        uint256 owed = uint256(_offer().units) * UNIT_PRICE + uint256(_offer().aggregates) * plan.aggregatePrice;
        owed += uint256(_offer().audits) * plan.auditPrice;
        bytes memory told = abi.encode(owed, _escrowOf(plan) - owed);
        _doAndTell(stranger, 0, _expireCall(), Settled.selector, told);
        for (uint256 i = 0; i < 3; ++i) _claimAndTell(i, UNIT_PRICE);
    }

    /// @dev What nobody claimed is the client's, and a seat that nobody claimed for gets its stake back.
    function testFuzz_claimsLapse(uint256 claims) external {
        claims = _within(claims, 0, 3);
        _settled();
        for (uint256 i = 0; i < claims; ++i) _do(stranger, _claimCall(i));
        vm.warp(_task().claimUntil + 1);
        uint256 each = uint256(UNITS_EACH) * UNIT_PRICE + plan.aggregatePrice;
        uint256 unclaimed = each * (3 - claims) + uint256(_offer().audits) * plan.auditPrice;
        bytes memory told = abi.encode(uint8(ExpiryReason.ClaimsLapsed), unclaimed, 0);
        _doAndTell(stranger, 0, _expireCall(), Expired.selector, told);
        vm.assertEq(_account(client).balance, _escrowOf(plan) - each * claims, "the client's share");
        for (uint256 i = claims; i < 3; ++i) _do(stranger, _releaseCall(trainers[i]));
        for (uint256 i = 0; i < 3; ++i) vm.assertEq(_free(trainers[i]), plan.stakePerSeat, "a trainer's stake");
    }
}
