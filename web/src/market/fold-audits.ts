// The fold's rules for audits and disputes: draws, openings, verdicts, juries, and what passes with time.

import {
  type Audit,
  DISPUTE,
  type Dispute,
  type Finding,
  RULING,
  SEED_S,
  type Unit,
  draw,
  evidenceOf,
  unitKey,
} from "./audits";
import { equal, fromHex } from "./bytes";
import type { Table, Value } from "./codec";
import { isBytes } from "./entries";
import type { DisputeClosed, DisputeOpened, Drawn, Judged, JuryDrawn, Member } from "./events";
import { type Address, type Digest, ZERO_DIGEST, digestOf } from "./ids";
import * as limits from "./limits";
import type { AuditRules } from "./manifest";
import type { AuditLeaf } from "./merkle";
import type { Tinybar } from "./money";
import { SECOND_NS, type State, newAuthor } from "./task";

const NOTHING = new Uint8Array();

/** How audits are judged; null where the task has none. */
export function rulesOf(state: State): AuditRules | null {
  const { plan, manifest } = state;
  return (plan.auditors && plan.audits && manifest?.audit) || null;
}

/** Audits that have not ended yet. Of a trainer that has lost its seat nothing more is found out. */
export function pending(state: State): [string, Audit][] {
  const lost = new Set(state.seats.filter((seat) => seat.lost).map((seat) => seat.trainer));
  return [...state.audits].filter(([, audit]) => audit.finding === null && !lost.has(audit.unit.trainer));
}

/**
 * What validators have earned: an audit each for what they found right, and for a fraud that a jury upheld. An
 * accusation that was rejected, or that nobody made, is no work.
 */
export function creditsOf(state: State): AuditLeaf[] {
  const slashed = new Set(state.seats.filter((seat) => seat.slashed).map((seat) => seat.trainer));
  const counts = new Map<Address, number>();
  for (const { finding, unit, validator } of state.audits.values()) {
    if (finding === "ok" || (finding === "wrong" && slashed.has(unit.trainer))) {
      counts.set(validator, (counts.get(validator) ?? 0) + 1);
    }
  }
  return [...counts.keys()].sort().map((validator) => ({ validator, audits: counts.get(validator)! }));
}

// ------------------------------------------------------------ time

/** Whether a finished task waits for its last audits before it says what everybody is owed. */
export function waits(state: State): boolean {
  const due = drawDue(state);
  return Boolean(rulesOf(state) && pending(state).length) || (due !== null && state.nowNs < due);
}

/** When the next audit, or the wait for the last draw, ends by time alone (ns). */
export function nextDue(state: State): bigint | null {
  const rules = rulesOf(state);
  if (!rules || (state.phase !== "running" && state.phase !== "finished")) return null;
  let dues = pending(state).map(([, audit]) => dueOf(audit, rules));
  const last = drawDue(state);
  if (!dues.length && last !== null && last > state.nowNs) dues = [last];
  if (!dues.length) return null;
  const due = dues.reduce((least, each) => (each < least ? each : least));
  return due <= BigInt(state.plan.endBy) * SECOND_NS ? due : null;
}

/** End every audit whose time has come. */
export function expire(before: State): State {
  const rules = rulesOf(before)!;
  let state = before;
  for (const [key, audit] of pending(before)) {
    if (dueOf(audit, rules) <= state.nowNs) state = end(state, key, audit.sealed.length ? "lapsed" : "withheld");
  }
  return state;
}

function dueOf(audit: Audit, rules: AuditRules): bigint {
  if (!audit.sealed.length) return audit.askedNs + BigInt(rules.openS) * SECOND_NS;
  return audit.openedNs + BigInt(rules.verdictS) * BigInt(audit.place + 1) * SECOND_NS;
}

/** Until when the last draw is waited for. */
function drawDue(state: State): bigint | null {
  const rules = rulesOf(state);
  if (!rules || state.phase !== "finished" || state.final) return null;
  const { round } = state.checkpoints.at(-1)!;
  if (round <= state.drawnRound || !countDue(state, round)) return null;
  return state.turnNs + BigInt(rules.openS + SEED_S) * SECOND_NS;
}

function end(before: State, key: string, finding: Finding, changes: Partial<Audit> = {}): State {
  const audit = { ...before.audits.get(key)!, finding, ...changes };
  const state = withAudit(before, key, audit);
  if (finding !== "withheld") return state;
  const { chunk, round, trainer } = audit.unit;
  const lost = `did not open chunk ${chunk} of round ${round} to its auditor`;
  const seats = state.seats.map((seat) => (seat.trainer === trainer && !seat.lost ? { ...seat, lost } : seat));
  // Its backups take over with the whole time for it. In a finished task nobody's turn changes by it.
  return { ...state, seats, turnNs: state.phase === "running" ? state.nowNs : state.turnNs };
}

// ------------------------------------------------------------ entries

/** A trainer shows a unit of its own: to its auditor, or to the jurors of a dispute about it. */
export function takeOpen(state: State, author: Address, body: Table): State {
  const [key, sealed, dispute] = [keyOf(body), body["sealed"], body["dispute"]];
  if (key === null || dispute === undefined || !isBytes(sealed)) return state;
  if (!sealed.length || sealed.length > limits.ENVELOPE_BYTES) return state;
  if (!isEmpty(dispute)) {
    if (!isBytes(dispute, 32)) return state;
    const id = digestOf(dispute);
    const about = state.disputes.get(id);
    if (!about || about.ruling !== RULING.open || about.sealed.length || !about.jury.length || !about.unit) return state;
    if (about.accused !== author || unitKey(about.unit) !== key) return state;
    return withDispute(state, id, { sealed });
  }
  const audit = state.audits.get(key);
  if (!audit || audit.unit.trainer !== author || audit.sealed.length || audit.finding !== null) return state;
  const to = body["to"];
  if (!isBytes(to) || !equal(to, fromHex(audit.validator))) return state;
  return withAudit(state, key, { ...audit, sealed, openedNs: state.nowNs });
}

/** A validator says what it found; what it could not use goes to the next of its committee. */
export function takeVerdict(state: State, author: Address, body: Table): State {
  const [key, finding, found] = [keyOf(body), body["finding"], body["state"]];
  const audit = key === null ? undefined : state.audits.get(key);
  if (!audit || key === null || found === undefined) return state;
  if (audit.validator !== author || !audit.sealed.length || audit.finding !== null) return state;
  if (state.phase !== "running" && state.phase !== "finished") return state;
  if (finding === "unusable") return passOn(state, key, audit);
  if ((finding !== "ok" && finding !== "wrong") || !isBytes(found, 32)) return state;
  return end(state, key, finding, { found: digestOf(found) });
}

function passOn(state: State, key: string, audit: Audit): State {
  const unusable = [...audit.unusable, audit.validator];
  const next = audit.committee.find((each) => !unusable.includes(each));
  if (next === undefined || unusable.length * 2 > audit.committee.length) return end(state, key, "withheld", { unusable });
  const again = { validator: next, unusable, place: 0, askedNs: state.nowNs, sealed: NOTHING, openedNs: 0n };
  return withAudit(state, key, { ...audit, ...again });
}

// ------------------------------------------------------------ events

/** The draw decides what is audited of all that was confirmed since the one before. */
export function takeDrawn(before: State, event: Drawn): State {
  const first = before.drawnRound;
  const state = { ...withMembers(before, event.committee), drawnRound: event.round, drawRequestedNs: 0n };
  if (!rulesOf(state) || (state.phase !== "running" && state.phase !== "finished")) return state;
  const here = new Set(state.seats.filter((seat) => !seat.lost).map((seat) => seat.trainer));
  const units = paidUnits(state).filter((unit) => first < unit.round && unit.round <= event.round && here.has(unit.trainer));
  const committee = event.committee.map((member) => member.validator);
  const [audits, places] = [new Map(state.audits), new Map<Address, number>()];
  for (const [unit, validator] of draw(event.seed, units, committee, countDue(state, event.round))) {
    const place = places.get(validator) ?? 0;
    const asked = { place, askedNs: state.nowNs, sealed: NOTHING, openedNs: 0n, unusable: [] };
    audits.set(unitKey(unit), { unit, validator, committee, ...asked, finding: null, found: ZERO_DIGEST });
    places.set(validator, place + 1);
  }
  return { ...state, audits };
}

/** How many units a draw up to a round takes: the audits that the plan pays for, spread evenly over its rounds. */
export function countDue(state: State, round: number): number {
  return Math.max(0, Math.floor((state.plan.audits * round) / state.plan.rounds) - state.audits.size);
}

export function takeDispute(state: State, event: DisputeOpened): State {
  const { kind, challenger, accused, subject, bond } = event;
  const updates = new Map(state.checkpoints.flatMap((each) => each.updates).map((each) => [unitKey(each), each]));
  const named = (unit: Unit): boolean =>
    unit.trainer === accused && evidenceOf(state.place.task, unit, updates.get(unitKey(unit))!.state) === subject;
  const dispute: Dispute = {
    kind,
    challenger,
    accused,
    subject,
    bond,
    openedNs: state.nowNs,
    unit: paidUnits(state).find(named) ?? null,
    askedNs: state.nowNs,
    jury: [],
    drawnNs: 0n,
    decideBy: 0,
    sealed: NOTHING,
    ballots: new Map(),
    ruling: RULING.open,
  };
  return { ...state, disputes: new Map(state.disputes).set(event.disputeId, dispute) };
}

export function takeJuryRequest(state: State, dispute: Digest): State {
  return withDispute(state, dispute, { askedNs: state.nowNs });
}

export function takeJury(state: State, event: JuryDrawn): State {
  if (!state.disputes.has(event.disputeId)) return state;
  const jury = event.jury.map((member) => member.validator);
  const drawn = { jury, drawnNs: state.nowNs, decideBy: event.decideBy };
  return withDispute(withMembers(state, event.jury), event.disputeId, drawn);
}

export function takeBallot(state: State, event: Judged): State {
  const ballots = new Map(state.disputes.get(event.disputeId)?.ballots).set(event.juror, event.upheld);
  return withDispute(state, event.disputeId, { ballots });
}

export function takeRuling(state: State, event: DisputeClosed): State {
  if (!state.disputes.has(event.disputeId)) return state;
  return gained(withDispute(state, event.disputeId, { ruling: event.state }), event.bondTo, event.bondReturned);
}

/** The court gave somebody a sum: a bond, a fee, a fine or a part of a stake. */
export function gained(state: State, who: Address, amount: Tinybar): State {
  if (!amount) return state;
  return { ...state, gains: new Map(state.gains).set(who, (state.gains.get(who) ?? 0n) + amount) };
}

/** Who was right about a trainer; or, without one, about the result. */
export function finderOf(state: State, accused: Address | null): Address | null {
  const kinds: readonly number[] = accused === null ? [DISPUTE.result, DISPUTE.appeal] : [DISPUTE.fraud];
  for (const each of state.disputes.values()) {
    const about = kinds.includes(each.kind) && (accused === null || accused === each.accused);
    if (each.ruling === RULING.upheld && about) return each.challenger;
  }
  return null;
}

function keyOf(body: Table): string | null {
  const [round, chunk] = [body["round"], body["chunk"]];
  return typeof round === "bigint" && typeof chunk === "bigint" ? unitKey({ round, chunk }) : null;
}

/** What Python takes for no dispute: the empty value of any kind. */
function isEmpty(value: Value): boolean {
  if (typeof value !== "object" || value === null) return value !== value ? false : !value;
  return value instanceof Uint8Array || Array.isArray(value) ? !value.length : !Object.keys(value).length;
}

function paidUnits(state: State): Unit[] {
  return state.checkpoints.flatMap(({ updates, included }) =>
    updates
      .filter((each) => included.includes(each.chunk))
      .map(({ round, chunk, author }) => ({ round, chunk, trainer: author })),
  );
}

/** Whoever is drawn may speak in the log from now on, and can be sealed to. */
function withMembers(state: State, drawn: readonly Member[]): State {
  const [members, authors] = [new Map(state.members), new Map(state.authors)];
  for (const member of drawn) {
    members.set(member.validator, member);
    if (!authors.has(member.validator)) authors.set(member.validator, newAuthor(member.signingKey));
  }
  return { ...state, members, authors };
}

const withAudit = (state: State, key: string, audit: Audit): State => ({
  ...state,
  audits: new Map(state.audits).set(key, audit),
});

/** Change a dispute; one that is not known stays so. */
function withDispute(state: State, id: Digest, changes: Partial<Dispute>): State {
  const known = state.disputes.get(id);
  return known ? { ...state, disputes: new Map(state.disputes).set(id, { ...known, ...changes }) } : state;
}
