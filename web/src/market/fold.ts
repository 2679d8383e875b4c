// The fold: one task's state after each item of its log, the same in a browser as in every node that reads it.
//
// Time enters only as consensus time: `advance` applies every deadline that has passed, in order, and every `step`
// advances to its item's time first. A port of `src/shoal/core/fold.py`; vectors of simulated tasks keep both equal.

import type { Entry, LogEntry, Place } from "./entries";
import type { TaskCreated, TaskEvent } from "./events";
import { nextDue } from "./fold-audits";
import { endIfNothingLeft, expireAudits, hearEarly, takeEntry, takeLog } from "./fold-entries";
import { takeEvent } from "./fold-events";
import { SECOND_NS, type State, active, aggregator, holder, newAuthor, roundOf, waitingFor } from "./task";

/** A published result has this many aggregate timeouts to be confirmed before another trainer publishes. */
export const PUBLISH_PATIENCE = 3;

/** One thing that has its place in consensus order. */
export type Item = { readonly timeNs: bigint } & (
  | { readonly entry: Entry | LogEntry }
  | { readonly event: TaskEvent }
);

/** The state right after `createTask`. */
export function begin(place: Place, created: TaskCreated, timeNs: bigint): State {
  return {
    place,
    client: created.client,
    clientRecipient: created.recipient,
    topic: created.topic,
    manifestHash: created.manifestHash,
    plan: created.plan,
    createdNs: timeNs,
    nowNs: timeNs,
    phase: "open",
    manifest: null,
    awardRoot: new Uint8Array(),
    award: [],
    unitPrice: 0n,
    seats: [],
    holders: [],
    envelopes: new Map(),
    quorum: 0,
    startedNs: 0n,
    turnNs: 0n,
    updates: new Map(),
    voids: new Map(),
    early: [],
    checkpoints: [],
    units: new Map(),
    aggregates: new Map(),
    marks: [],
    final: null,
    votes: new Set(),
    progressRound: 0,
    progressNs: 0n,
    progressRoot: new Uint8Array(),
    result: null,
    notes: new Map(),
    publishers: 0,
    published: new Set(),
    confirmed: null,
    settled: null,
    settledNs: 0n,
    claims: new Map(),
    refunded: 0n,
    compensation: 0n,
    drawRequestedNs: 0n,
    drawnRound: 0,
    members: new Map(),
    audits: new Map(),
    disputes: new Map(),
    auditClaims: new Map(),
    gains: new Map(),
    replacements: new Map(),
    pins: new Map(),
    authors: new Map([[created.client, newAuthor(created.signingKey)]]),
  };
}

/** Take one item. What breaks a rule changes nothing but its author's place in its own chain. */
export function step(state: State, item: Item): State {
  const now = advance(state, item.timeNs);
  if ("event" in item) return takeEvent(now, item.event);
  return item.entry.type === "log" ? takeLog(now, item.entry) : takeEntry(now, item.entry);
}

/** Let consensus time pass: everyone whose deadline came loses its seat or its turn. */
export function advance(state: State, timeNs: bigint): State {
  let now = state;
  for (let due = nextDeadline(now); due !== null && due <= timeNs; due = nextDeadline(now)) {
    const expire = due === nextDue(now) ? expireAudits : expireTurn;
    now = expire({ ...now, nowNs: due > now.nowNs ? due : now.nowNs });
  }
  return timeNs > now.nowNs ? { ...now, nowNs: timeNs } : now;
}

/** When the fold will next change by time alone (ns), if nothing else happens. */
export function nextDeadline(state: State): bigint | null {
  const [turn, audits] = [turnDue(state), nextDue(state)];
  return turn === null || (audits !== null && audits < turn) ? audits : turn;
}

/** When whoever is waited for loses its seat or its turn. */
function turnDue(state: State): bigint | null {
  if (!state.manifest || !active(state).length) return null;
  const { rules } = state.manifest;
  let waitS: number;
  if (state.phase === "running") waitS = waitingFor(state).length ? rules.roundTimeoutS : rules.aggregateTimeoutS;
  else if (state.phase === "finished" && state.final) {
    waitS = rules.aggregateTimeoutS * (state.result ? PUBLISH_PATIENCE : 1);
  } else return null;
  const due = state.turnNs + BigInt(waitS) * SECOND_NS;
  return due <= BigInt(state.plan.endBy) * SECOND_NS ? due : null;
}

/** Whoever was waited for has lost its seat, or its turn to publish; the wait starts anew for whoever comes next. */
function expireTurn(state: State): State {
  if (state.phase === "finished") {
    // The credits stand already, and nobody is missed: a seat lost now would only be missing in the quorum.
    return { ...state, publishers: state.publishers + 1, turnNs: state.nowNs, result: null };
  }
  const missing = waitingFor(state);
  const late = new Set(
    missing.length
      ? missing.map((chunk) => holder(state, chunk)?.trainer)
      : [aggregator(state)?.trainer],
  );
  const lost = `no ${missing.length ? "update" : "aggregate"} in round ${roundOf(state)}`;
  const seats = state.seats.map((seat) => (late.has(seat.trainer) ? { ...seat, lost } : seat));
  return hearEarly(endIfNothingLeft({ ...state, seats, turnNs: state.nowNs }));
}
