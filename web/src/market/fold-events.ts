// The fold's rules for contract events: the contract has already checked them, the fold only takes note.

import { equal } from "./bytes";
import type { Accepted, CheckpointVoted, Counts, ResultConfirmed, ResultPublished, TaskEvent } from "./events";
import { finderOf, gained, takeBallot, takeDispute, takeDrawn, takeJury, takeJuryRequest, takeRuling } from "./fold-audits";
import { close, endIfNothingLeft, hearEarly } from "./fold-entries";
import type { Address, Digest } from "./ids";
import {
  type Checkpoint,
  type Claim,
  type Mark,
  type State,
  aggregatesOf,
  auditsOf,
  markOf,
  newAuthor,
  rootOf,
  subject,
  unitsOf,
} from "./task";

/** Take one event of this task; events of other tasks change nothing. */
export function takeEvent(state: State, event: TaskEvent): State {
  if (event.taskId !== state.place.task) return state;
  switch (event.name) {
    case "Awarded":
      return { ...state, phase: "awarded", awardRoot: event.root, unitPrice: event.unitPrice };
    case "Accepted":
      return accepted(state, event);
    case "TrainerReady": {
      const seats = state.seats.map((seat) => (seat.trainer === event.trainer ? { ...seat, ready: true } : seat));
      return { ...state, seats };
    }
    case "Started":
      return started(state, event.quorum);
    case "CheckpointVoted":
    case "ResultPublished":
    case "ResultVoted":
      return voted(state, event);
    case "CheckpointConfirmed":
      return { ...state, progressRound: event.round, progressRoot: event.creditsRoot, progressNs: state.nowNs };
    case "ResultConfirmed":
      return { ...state, phase: "settling", confirmed: event };
    case "Settled":
      return { ...state, phase: "settled", settled: event, settledNs: state.nowNs, refunded: event.refunded };
    case "ReplacementProposed":
      return { ...state, replacements: new Map(state.replacements).set(event.disputeId, event.result) };
    case "ResultReplaced":
      return replaced(state, event.disputeId, event.settleAfter);
    case "Slashed":
      return slashed(state, event);
    case "Claimed": {
      const { trainer, paid, stakeReturned, forfeited, finderFee } = event;
      const after = claimed(state, trainer, { paid, stakeReturned, penalty: event.penalty + finderFee, forfeited, finderFee });
      const finder = finderOf(after, null);
      return finder ? gained(after, finder, finderFee) : after;
    }
    case "Released":
      return claimed(state, event.trainer, {
        paid: event.compensation,
        stakeReturned: event.stakeReturned,
        penalty: 0n,
        forfeited: 0n,
        finderFee: 0n,
      });
    case "Cancelled":
    case "Expired": {
      // A task that expired with confirmed progress is settled by it: its Settled event follows in the same call.
      const phase = event.name === "Cancelled" ? "cancelled" : "expired";
      const refunded = state.refunded + event.refunded;
      return { ...state, phase, refunded, compensation: event.compensation };
    }
    default:
      return court(state, event);
  }
}

/** What the events of audits and disputes say. */
function court(state: State, event: TaskEvent): State {
  switch (event.name) {
    case "DrawRequested":
      return { ...state, drawRequestedNs: state.nowNs };
    case "Drawn":
      return close(takeDrawn(state, event));
    case "DisputeOpened":
      return takeDispute(state, event);
    case "JuryRequested":
      return takeJuryRequest(state, event.disputeId);
    case "JuryDrawn":
      return takeJury(state, event);
    case "Judged":
      return takeBallot(state, event);
    case "JurorPaid":
      return gained(state, event.juror, event.amount);
    case "DisputeClosed":
      return takeRuling(state, event);
    case "AuditsClaimed":
      return { ...state, auditClaims: new Map(state.auditClaims).set(event.validator, event.paid) };
    default:
      return state;
  }
}

function accepted(state: State, event: Accepted): State {
  const { trainer, signingKey, recipient, units, rank } = event;
  return {
    ...state,
    seats: [...state.seats, { trainer, signingKey, recipient, units, rank, ready: false, lost: "", slashed: false }],
    authors: new Map(state.authors).set(trainer, newAuthor(signingKey)),
  };
}

function started(state: State, quorum: number): State {
  // Nothing can be trained without them; the deadline ends the task and the client gets its money back.
  if (!state.manifest || !state.holders.length) return { ...state, quorum };
  const initial: Checkpoint = {
    round: 0,
    state: state.manifest.initial,
    object: state.manifest.initialBlob.sha256,
    author: state.client,
    included: [],
    rejected: [],
    loss: 0,
    metric: 0,
    updates: [],
    startedNs: state.nowNs,
    timeNs: state.nowNs,
  };
  const now = { startedNs: state.nowNs, turnNs: state.nowNs };
  return { ...state, ...now, phase: "running", quorum, checkpoints: [initial] };
}

type Vote = CheckpointVoted | ResultPublished | Extract<TaskEvent, { name: "ResultVoted" }>;

/** Note a vote under the name of the mark it is for; a vote for anything else is kept apart. */
function voted(before: State, event: Vote): State {
  let state = before;
  let about = "other";
  if (event.name === "CheckpointVoted") {
    const mark = markOf(state, event.round);
    if (mark && same(state, mark, event, event.checkpoint)) about = subject(mark);
  } else {
    const mark = state.final;
    if (mark) about = subject(mark, event.result);
    if (event.name === "ResultPublished") {
      // Its log position makes it another proposal, which nobody else's confirmation is for.
      const right = mark && same(state, mark, event, mark.checkpoint) && event.logPosition === mark.logPosition;
      if (!right) return state;
      state = { ...state, published: new Set(state.published).add(event.result) };
    }
  }
  return { ...state, votes: new Set(state.votes).add(`${event.voter}/${about}`) };
}

function same(state: State, mark: Mark, event: Counts, checkpoint: Digest): boolean {
  return (
    mark.round === event.round &&
    mark.checkpoint === checkpoint &&
    unitsOf(mark) === event.units &&
    aggregatesOf(mark) === event.aggregates &&
    auditsOf(mark) === event.audits &&
    equal(rootOf(mark, state.place), event.creditsRoot)
  );
}

/** It has lost its seat; while the task runs its backups take over, with the whole time for it. */
function slashed(before: State, event: Extract<TaskEvent, { name: "Slashed" }>): State {
  const finder = finderOf(before, event.trainer);
  const paid = gained(finder ? gained(before, finder, event.toFinder) : before, before.client, event.toClient);
  const seats = paid.seats.map((seat) => (seat.trainer === event.trainer ? { ...seat, lost: "slashed", slashed: true } : seat));
  if (paid.phase !== "running") return close({ ...paid, seats });
  return hearEarly(endIfNothingLeft({ ...paid, seats, turnNs: paid.nowNs }));
}

/** A jury's word stands in the place of the quorum's. */
function replaced(state: State, dispute: Digest, settleAfter: number): State {
  const right = state.replacements.get(dispute)!;
  const confirmed: ResultConfirmed = { ...right, name: "ResultConfirmed", taskId: state.place.task, settleAfter };
  return { ...state, phase: "settling", confirmed };
}

function claimed(state: State, trainer: Address, claim: Claim): State {
  return { ...state, claims: new Map(state.claims).set(trainer, claim) };
}
