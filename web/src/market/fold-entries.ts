// The fold's rules for signed entries: what each kind may say, when, and who may say it.

import type { Holders } from "./assign";
import { type Bytes, equal } from "./bytes";
import { CodecError, type Table, type Value } from "./codec";
import { type Entry, type LogEntry, admits, dataOf, hashOf, isBytes, samePlace, signedBy } from "./entries";
import { creditsOf, expire, rulesOf, takeOpen, takeVerdict, waits } from "./fold-audits";
import { type Address, address, digestOf } from "./ids";
import * as limits from "./limits";
import { manifestHash, parseManifest } from "./manifest";
import { awardHash, root } from "./merkle";
import {
  type Author,
  type Checkpoint,
  LEFT,
  type Mark,
  type Seat,
  type State,
  type Update,
  aggregator,
  deliveredInOrder,
  holder,
  inputsOf,
  markOf,
  roundOf,
  seatOf,
  voidKey,
  waitingFor,
} from "./task";

type Rule = (state: State, author: Address, body: Table) => State;

/** What an entry of a wrong shape is refused with; it never leaves this module. */
class Malformed extends Error {}

/** Check the author's chain, then the rule of the kind. A refused body still counts in the chain. */
export function takeEntry(before: State, entry: Entry): State {
  const author = before.authors.get(entry.author);
  if (!author || !samePlace(entry.place, before.place) || !signedBy(author.signingKey, entry)) return before;
  if (entry.sequence !== author.sequence || entry.previous !== author.head) {
    const twice = entry.sequence === author.sequence - 1n && hashOf(entry) !== author.head;
    return twice ? withAuthor(before, entry.author, { ...author, equivocated: true }) : before;
  }
  const size = dataOf(entry).length;
  if (author.entries >= limits.AUTHOR_ENTRIES || author.sizeBytes + size > limits.AUTHOR_BYTES) return before;
  const state = withAuthor(before, entry.author, {
    ...author,
    sequence: author.sequence + 1n,
    head: hashOf(entry),
    entries: author.entries + 1,
    sizeBytes: author.sizeBytes + size,
  });
  const after = apply(state, entry.kind, entry.author, entry.body);
  return after !== state ? hearEarly(after) : keepEarly(state, entry);
}

/** Count a batch of log lines; nothing is ever decided by what they say. */
export function takeLog(state: State, entry: LogEntry): State {
  const author = state.authors.get(entry.author);
  if (!author || !admits(entry, author.logNext, author.logEntries)) return state;
  if (!samePlace(entry.place, state.place) || !signedBy(author.signingKey, entry)) return state;
  const counted = { logNext: entry.sequence + 1n, logEntries: author.logEntries + 1 };
  return withAuthor(state, entry.author, { ...author, ...counted });
}

/** Let statements that came too early speak, now that something has changed, and forget those of past rounds. */
export function hearEarly(before: State): State {
  let state = before;
  for (let progress = state.early.length > 0; progress; ) {
    progress = false;
    for (const each of state.early) {
      const after = apply(state, each.kind, each.author, each.body);
      if (after !== state) {
        state = { ...after, early: after.early.filter((other) => other !== each) };
        progress = true;
        break;
      }
    }
  }
  const done = state.phase !== "running" && state.phase !== "finished";
  const still = state.early.filter(
    (each) => !done && each.round >= roundOf(state) - (each.kind === "result" ? 1 : 0),
  );
  return still.length < state.early.length ? { ...state, early: still } : state;
}

/** No more rounds: what was reached is what will be settled; the initial weights, if that is nothing. */
export function finish(state: State): State {
  const last = state.checkpoints.at(-1)!;
  const marks = markOf(state, last.round) ? state.marks : [...state.marks, mark(state, last)];
  return close({ ...state, marks, phase: "finished", turnNs: state.nowNs, result: null });
}

/** Say what everybody is owed, once the last audits are done: from then on it does not change. */
export function close(state: State): State {
  if (state.phase !== "finished" || state.final || waits(state)) return state;
  const final = rulesOf(state) ? mark(state, state.checkpoints.at(-1)!) : state.marks.at(-1)!;
  return { ...state, final, turnNs: state.nowNs };
}

/** Audits whose time has come. */
export const expireAudits = (state: State): State => hearEarly(settleSeats(expire(state)));

/** A seat may have been lost, or the last audit have ended. */
const settleSeats = (state: State): State => close(endIfNothingLeft(state));

/** A task whose every chunk has lapsed, or is void, ends with the checkpoint it has. */
export function endIfNothingLeft(state: State): State {
  const left = state.phase !== "running" || state.updates.size || waitingFor(state).length;
  return left ? state : finish(state);
}

/** The very same state if this says nothing: it breaks a rule, comes too early, or is not of its kind's shape. */
function apply(state: State, kind: string, author: Address, body: Table): State {
  try {
    return RULES[kind]!(state, author, body);
  } catch (error) {
    if (error instanceof Malformed || error instanceof CodecError) return state;
    throw error;
  }
}

/** A statement about a round that the log has not reached, or that waits for others of its round. */
function keepEarly(state: State, entry: Entry): State {
  if (state.phase !== "running" || !EARLY.has(entry.kind)) return state;
  const said = entry.body["round"];
  if (typeof said !== "bigint") return state;
  const round = Number(said);
  const counted = round + (entry.kind === "result" ? 1 : 0);
  if (counted < roundOf(state) || counted > roundOf(state) + limits.EARLY_ROUNDS) return state;
  if (state.early.filter((each) => each.author === entry.author).length >= limits.EARLY_STATEMENTS) return state;
  return { ...state, early: [...state.early, { author: entry.author, kind: entry.kind, round, body: entry.body }] };
}

const manifestRule: Rule = (state, author, body) => {
  if (author !== state.client || state.manifest) return state;
  const manifest = parseManifest(bytes(body["manifest"]));
  const fits =
    manifestHash(manifest) === state.manifestHash &&
    manifest.chunks.length === state.plan.chunks &&
    manifest.network === state.place.network &&
    manifest.contract === state.place.contract;
  return fits ? { ...state, manifest } : state;
};

const awardRule: Rule = (state, author, body) => {
  if (author !== state.client || state.phase !== "awarded" || state.award.length) return state;
  const award = list(body["leaves"]).map((leaf) => {
    const [who, units, rank] = list(leaf, 3);
    return { trainer: address(bytes(who, 20)), units: whole(units), rank: whole(rank) };
  });
  const given = root(award.map((leaf) => awardHash(state.place.task, leaf)));
  return equal(given, state.awardRoot) ? { ...state, award } : state;
};

const assignRule: Rule = (state, author, body) => {
  if (author !== state.client || state.phase !== "awarded" || state.holders.length) return state;
  const holders = list(body["holders"]).map((pair): Holders => {
    const [primary, backup] = list(pair, 2);
    return { primary: seatNumber(state, primary), backup: seatNumber(state, backup) };
  });
  const odd = holders.some((h) => h.backup !== null && (h.primary === null || h.primary === h.backup));
  if (holders.length !== state.plan.chunks || odd) return state;
  for (const [index, seat] of state.seats.entries()) {
    const first = holders.filter((h) => h.primary === index).length;
    const second = holders.filter((h) => h.backup === index).length;
    if (Math.max(first, second) > seat.units) return state;
  }
  return { ...state, holders };
};

const envelopeRule: Rule = (state, author, body) => {
  if (author !== state.client || state.phase !== "awarded") return state;
  const [to, sealed] = [address(bytes(body["to"], 20)), bytes(body["sealed"])];
  if (!seatOf(state, to) || state.envelopes.has(to) || sealed.length > limits.ENVELOPE_BYTES) return state;
  return { ...state, envelopes: new Map(state.envelopes).set(to, sealed) };
};

const updateRule: Rule = (before, author, body) => {
  const chunk = whole(body["chunk"]);
  const info = before.manifest?.chunks[chunk];
  if (before.phase !== "running" || !info) return before;
  const update: Update = {
    author,
    round: whole(body["round"]),
    chunk,
    object: digestOf(bytes(body["object"], 32)),
    state: digestOf(bytes(body["state"], 32)),
    samples: info.rows,
    loss: number(body["loss"]),
    metric: number(body["metric"]),
    seconds: number(body["seconds"]),
    chain: digestOf(bytes(body["chain"], 32)),
  };
  const base = digestOf(bytes(body["base"], 32));
  if (update.round !== roundOf(before) || base !== before.checkpoints.at(-1)!.state) return before;
  if (chunk >= before.holders.length || before.updates.has(chunk)) return before;
  if (holder(before, chunk)?.trainer !== author) return before;
  const state = { ...before, updates: new Map(before.updates).set(chunk, update) };
  return waitingFor(state).length ? state : { ...state, turnNs: state.nowNs };
};

/** A holder says that its chunk cannot be trained from this checkpoint: the other holder tries, then it is void. */
const voidRule: Rule = (state, author, body) => {
  if (state.phase !== "running" || whole(body["round"]) !== roundOf(state)) return state;
  const chunk = whole(body["chunk"]);
  const base = digestOf(bytes(body["base"], 32));
  if (base !== state.checkpoints.at(-1)!.state || chunk >= state.holders.length || state.updates.has(chunk)) {
    return state;
  }
  if (holder(state, chunk)?.trainer !== author) return state;
  const voids = new Map(state.voids).set(voidKey(chunk, author), text(body["reason"]));
  return endIfNothingLeft({ ...state, voids, turnNs: state.nowNs });
};

const checkpointRule: Rule = (before, author, body) => {
  if (before.phase !== "running" || aggregator(before)?.trainer !== author) return before;
  if (whole(body["round"]) !== roundOf(before) || waitingFor(before).length || !before.updates.size) return before;
  const included = list(body["included"]).map(whole);
  const rejected = list(body["rejected"]).map((pair) => {
    const [chunk, reason] = list(pair, 2);
    return [whole(chunk), text(reason)] as const;
  });
  const updates = deliveredInOrder(before);
  // An aggregate that leaves out a delivered update is invalid.
  const named = [...included, ...rejected.map(([chunk]) => chunk)].sort((a, b) => a - b);
  if (named.join() !== updates.map((each) => each.chunk).join() || !included.length) return before;
  // Made from gossip, it may be of other updates than those that the log came to hold.
  if (digestOf(bytes(body["inputs"], 32)) !== inputsOf(updates)) return before;
  const checkpoint: Checkpoint = {
    round: roundOf(before),
    state: digestOf(bytes(body["state"], 32)),
    object: digestOf(bytes(body["object"], 32)),
    author,
    included,
    rejected,
    loss: score(body["loss"]),
    metric: score(body["metric"]),
    updates,
    startedNs: before.checkpoints.at(-1)!.timeNs,
    timeNs: before.nowNs,
  };
  return withCheckpoint(before, checkpoint);
};

function withCheckpoint(before: State, checkpoint: Checkpoint): State {
  const units = new Map(before.units);
  for (const chunk of checkpoint.included) {
    const trainer = before.updates.get(chunk)!.author;
    units.set(trainer, (units.get(trainer) ?? 0) + 1);
  }
  const { author, round } = checkpoint;
  const aggregates = new Map(before.aggregates).set(author, (before.aggregates.get(author) ?? 0) + 1);
  let state: State = {
    ...before,
    checkpoints: [...before.checkpoints, checkpoint],
    updates: new Map(),
    voids: new Map(),
    units,
    aggregates,
    turnNs: before.nowNs,
  };
  const last = round === state.plan.rounds;
  if (round % state.manifest!.rules.confirmEvery === 0 || last) {
    state = { ...state, marks: [...state.marks, mark(state, checkpoint)] };
  }
  return last || !waitingFor(state).length ? finish(state) : state;
}

const resultRule: Rule = (state, author, body) => {
  const { final } = state;
  if (state.phase !== "finished" || !final || state.result) return state;
  if (aggregator(state)?.trainer !== author || whole(body["round"]) !== final.round) return state;
  const envelope = bytes(body["envelope"]);
  if (envelope.length > limits.ENVELOPE_BYTES) return state;
  const note = { author, object: digestOf(bytes(body["object"], 32)), envelope };
  return { ...state, result: note, notes: new Map(state.notes).set(note.object, note), turnNs: state.nowNs };
};

/**
 * A trainer gives its seat back: who holds its chunks beside it takes over at once, and nobody waits for it. It costs no
 * penalty, as a chunk that it calls void in every round would cost none: what it delivered is paid, and its vote stays.
 */
const leaveRule: Rule = (state, author, body) => {
  const seat = seatOf(state, author);
  if (Object.keys(body).length || !seat || seat.lost) return state;
  if (state.phase !== "awarded" && state.phase !== "running") return state;
  const seats = state.seats.map((each) => (each === seat ? { ...each, lost: LEFT } : each));
  return endIfNothingLeft({ ...state, seats, turnNs: state.nowNs });
};

/** Only noted: nothing in a task depends on IPFS, and whoever fetches compares with the hashes on chain. */
const pinRule: Rule = (state, author, body) => {
  const [what, cid] = [text(body["what"]), text(body["cid"])];
  if (author !== state.client || !PINNED.has(what) || state.pins.has(what)) return state;
  if (cid.length > limits.CID_CHARACTERS || !/^[A-Za-z0-9]+$/.test(cid)) return state;
  return { ...state, pins: new Map(state.pins).set(what, cid) };
};

const PINNED: ReadonlySet<string> = new Set(["graph", "manifest", "result"]);
const EARLY: ReadonlySet<string> = new Set(["update", "void", "checkpoint", "result"]);
const RULES: Readonly<Record<string, Rule>> = {
  manifest: manifestRule,
  award: awardRule,
  assign: assignRule,
  envelope: envelopeRule,
  update: updateRule,
  void: voidRule,
  checkpoint: checkpointRule,
  result: resultRule,
  leave: leaveRule,
  open: takeOpen,
  verdict: (state, author, body) => settleSeats(takeVerdict(state, author, body)),
  pin: pinRule,
};

function mark(state: State, checkpoint: Checkpoint): Mark {
  const credits = state.seats.map((seat: Seat) => ({
    trainer: seat.trainer,
    units: state.units.get(seat.trainer) ?? 0,
    aggregates: state.aggregates.get(seat.trainer) ?? 0,
    // Who left had said so.
    // Never ready is no absence: nobody can tell a lazy trainer from one whose envelope the client has spoilt.
    noShow: seat.lost !== "" && seat.lost !== LEFT,
  }));
  const auditCredits = creditsOf(state);
  return { round: checkpoint.round, checkpoint: checkpoint.state, logPosition: checkpoint.timeNs, credits, auditCredits };
}

function withAuthor(state: State, who: Address, author: Author): State {
  return { ...state, authors: new Map(state.authors).set(who, author) };
}

// ------------------------------------------------------------ shapes

function bytes(value: Value | undefined, size?: number): Bytes {
  if (!isBytes(value, size)) throw new Malformed("expected bytes");
  return value;
}

function whole(value: Value | undefined): number {
  // Beyond 2^53 a number is compared, never counted with, and equals none that the fold knows.
  if (typeof value !== "bigint" || value < 0n || value >= 2n ** 63n) throw new Malformed("expected a whole number");
  return Number(value);
}

function number(value: Value | undefined): number {
  if (typeof value === "bigint") return Number(value);
  if (typeof value !== "number" || !Number.isFinite(value)) throw new Malformed("expected a finite number");
  return value;
}

/** A checkpoint is valid whatever it scores; null tells that the score is not finite. */
function score(value: Value | undefined): number {
  return value === null ? Infinity : number(value);
}

function list(value: Value | undefined, size?: number): readonly Value[] {
  if (!Array.isArray(value) || (size !== undefined && value.length !== size)) throw new Malformed("expected a list");
  return value as readonly Value[];
}

function seatNumber(state: State, value: Value | undefined): number | null {
  if (value === null) return null;
  const index = whole(value);
  if (index >= state.seats.length) throw new Malformed("no such seat");
  return index;
}

function text(value: Value | undefined): string {
  if (typeof value !== "string" || [...value].length > 200) throw new Malformed("expected a short text");
  return value;
}
