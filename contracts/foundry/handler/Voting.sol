// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;

import {Merkle} from "../Merkle.sol";
import {Opening} from "./Opening.sol";

/// @title Votes on checkpoints and results, honest and faulty ones.
abstract contract Voting is Opening {
    uint256 internal constant FAULTS = 4;
    uint256 internal constant HONEST = 0;
    uint256 internal constant OMITS = 1; // the last trainer has no leaf
    uint256 internal constant PROMISES_TOO_MUCH = 2; // the leaves add up to more than the totals
    uint256 internal constant NO_SHOW = 3; // the last trainer is one

    bytes32[] internal proposals;
    mapping(bytes32 proposal => address[]) internal ballots; // those whose vote the market took
    mapping(bytes32 proposal => mapping(address voter => bool)) internal voted;
    mapping(bytes32 proposal => uint256 job) internal jobOf;
    mapping(bytes32 root => Credit[]) internal credits;
    mapping(bytes32 root => AuditCredit[]) internal auditCredits;
    mapping(bytes32 task => bytes32 proposal) internal upheld; // what a jury put in the place of a result

    function proposalCount() external view returns (uint256) {
        return proposals.length;
    }

    function proposal(uint256 i) external view returns (bytes32 id, uint256 ofJob, uint256 votes) {
        id = proposals[i];
        return (id, jobOf[id], ballots[id].length);
    }

    /// @notice Whether what stands as a task's progress or result got a quorum of the votes that were seen here, or was
    /// upheld by a jury.
    function confirmed(bytes32 id, bool checkpoint) external view returns (bool) {
        Task memory task = market.getTask(id);
        Progress memory p = task.progress;
        if (checkpoint) {
            Offer memory o = Offer(id, p.round, p.checkpoint, 0, p.units, p.aggregates, p.audits, p.creditsRoot);
            return ballots[_checkpointProposal(o)].length >= task.quorum;
        }
        bytes32 standing = _standing(id, task);
        return upheld[id] == 0 ? ballots[standing].length >= task.quorum : standing == upheld[id];
    }

    function confirmCheckpoint(uint256 which, uint256 who, uint256 round, uint256 fault) external {
        Job storage chosen = _job(which);
        _vote(chosen, _voter(chosen, who), true, round, fault);
    }

    function voteResult(uint256 which, uint256 who, uint256 fault) external {
        Job storage chosen = _job(which);
        _vote(chosen, _voter(chosen, who), false, 0, fault);
    }

    // ------------------------------------------------------------------ single steps

    function _voter(Job storage chosen, uint256 seed) internal view returns (address) {
        return seed % 5 == 4 ? chosen.client : _seated(chosen, seed / 5);
    }

    function _vote(Job storage chosen, address voter, bool checkpoint, uint256 round, uint256 fault) internal {
        Task memory task = market.getTask(chosen.id);
        if (chosen.seated.length == 0) return;
        round = checkpoint ? _within(round, 1, task.plan.rounds) : task.plan.rounds;
        Offer memory offer = _offer(chosen, task.plan, uint32(round), fault % FAULTS);
        bytes32 id = checkpoint ? _checkpointProposal(offer) : _resultProposal(offer);
        bool first = ballots[id].length == 0;
        bytes memory call = checkpoint ? _checkpointCall(offer) : first ? _publishCall(offer) : _confirmCall(offer);
        if (!_act(voter, call)) return;

        vm.assertTrue(!voted[id][voter], "somebody voted twice for one proposal");
        vm.assertTrue(_mayVote(chosen, task, voter), "a vote of somebody without one was counted");
        vm.assertTrue(task.phase == Phase.Running && _now() <= task.plan.endBy, "a vote came too late");
        if (first) {
            proposals.push(id);
            jobOf[id] = _indexOf(chosen);
        }
        voted[id][voter] = true;
        ballots[id].push(voter);
    }

    function _mayVote(Job storage chosen, Task memory task, address voter) internal view returns (bool) {
        if (voter == chosen.client) return task.plan.seats > 1;
        Seat memory seat = _seat(chosen.id, voter);
        return _isSeated(chosen, voter) && seat.ready && !seat.slashed;
    }

    function _isSeated(Job storage chosen, address who) internal view returns (bool) {
        for (uint256 i = 0; i < chosen.seated.length; ++i) {
            if (chosen.seated[i] == who) return true;
        }
        return false;
    }

    function _indexOf(Job storage chosen) internal view returns (uint256 i) {
        while (jobs[i].id != chosen.id) ++i;
    }

    function _standing(bytes32 id, Task memory task) internal pure returns (bytes32) {
        Result memory r = task.result;
        return _resultProposal(
            Offer(id, r.round, r.result, r.logPosition, r.units, r.aggregates, r.audits, r.creditsRoot)
        );
    }

    /// @dev What is proposed for a round follows from the task, the round and the fault, so that votes can agree.
    function _offer(Job storage chosen, Plan memory plan, uint32 round, uint256 fault)
        internal
        returns (Offer memory offer)
    {
        Credit[] memory list = _credits(chosen, plan, round, fault);
        AuditCredit[] memory audits = _audits(plan, round);
        offer.task = chosen.id;
        offer.round = round;
        offer.hash = keccak256(abi.encode(round, fault));
        offer.logPosition = 10;
        offer.root = Merkle.root(_creditLeaves(chosen.id, list, audits));
        offer.audits = uint32(audits.length);
        for (uint256 i = 0; i < list.length; ++i) {
            offer.units += list[i].units;
            offer.aggregates += list[i].aggregates;
        }
        if (fault == PROMISES_TOO_MUCH) {
            (offer.units, offer.aggregates, offer.audits) = (offer.units / 2, offer.aggregates / 2, offer.audits / 2);
        }
        if (credits[offer.root].length > 0) return offer;
        for (uint256 i = 0; i < list.length; ++i) credits[offer.root].push(list[i]);
        for (uint256 i = 0; i < audits.length; ++i) auditCredits[offer.root].push(audits[i]);
    }

    function _credits(Job storage chosen, Plan memory plan, uint32 round, uint256 fault)
        private
        view
        returns (Credit[] memory list)
    {
        uint256 count = chosen.seated.length;
        list = new Credit[](fault == OMITS && count > 1 ? count - 1 : count);
        for (uint256 i = 0; i < list.length; ++i) {
            bool noShow = fault == NO_SHOW && i == count - 1;
            uint256 units = noShow ? 0 : uint256(plan.chunks) * round / count;
            uint256 aggregates = round / count + (i < round % count ? 1 : 0);
            list[i] = Credit(chosen.seated[i], uint32(units), uint32(noShow ? 0 : aggregates), noShow);
        }
    }

    /// @dev One audit for each of a few people; only those of them that are drawn are ever paid.
    function _audits(Plan memory plan, uint32 round) private view returns (AuditCredit[] memory list) {
        list = new AuditCredit[](plan.audits);
        for (uint256 i = 0; i < list.length; ++i) list[i] = AuditCredit(_member(round + i), 1);
    }
}
