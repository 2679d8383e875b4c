// Audits and disputes as plain values, and the draw: which work units are looked at again, and by which validator.

import { type Bytes, concat, fromHex, toHex, utf8 } from "./bytes";
import { digest, encode } from "./codec";
import { type Address, type Digest, type TaskId, digestOf } from "./ids";
import type { Tinybar } from "./money";

/** From the request of a draw until it can be made, in seconds: the block after it has to be over. */
export const SEED_S = 5;
const EVIDENCE = "shoal/evidence/1";
const LOT = utf8("shoal/audit/1");

/**
 * How an audit ended. `withheld`: its trainer did not open it in time, or opened what most of the committee could not
 * use. `lapsed`: the validator said nothing in time; nobody is paid, and nothing is held against the trainer.
 */
export type Finding = "ok" | "wrong" | "withheld" | "lapsed";

/** What a dispute is about, and where it stands: the contract's numbers. */
export const DISPUTE = { fraud: 0, result: 1, appeal: 2 } as const;
export const RULING = { open: 1, upheld: 2, rejected: 3, void: 4 } as const;

/** A work unit that was paid for: what a draw chooses from. */
export interface Unit {
  readonly round: number;
  readonly chunk: number;
  readonly trainer: Address;
}

/** A drawn unit, and how far it is looked into. */
export interface Audit {
  readonly unit: Unit;
  /** Whose turn it is. */
  readonly validator: Address;
  readonly committee: readonly Address[];
  /** How many units the validator has to look at before this one. */
  readonly place: number;
  /** Since when the trainer is asked to open it to this validator. */
  readonly askedNs: bigint;
  /** What the trainer opened it with: an age file to the validator; empty until then. */
  readonly sealed: Bytes;
  readonly openedNs: bigint;
  /** Validators that could not use what was opened to them. */
  readonly unusable: readonly Address[];
  readonly finding: Finding | null;
  /** SHA-256 of the update that the validator trained. */
  readonly found: Digest;
}

/** A dispute in the contract, with the unit that it is about. */
export interface Dispute {
  readonly kind: number;
  readonly challenger: Address;
  readonly accused: Address;
  readonly subject: Digest;
  readonly bond: Tinybar;
  readonly openedNs: bigint;
  /** Null where the evidence names none of the accused's. */
  readonly unit: Unit | null;
  /** When its jury was asked for last. */
  readonly askedNs: bigint;
  readonly jury: readonly Address[];
  readonly drawnNs: bigint;
  /** Consensus second. */
  readonly decideBy: number;
  /** What the accused opened the unit to the jurors with; empty until then. */
  readonly sealed: Bytes;
  readonly ballots: ReadonlyMap<Address, boolean>;
  readonly ruling: number;
}

export const unitKey = (unit: { readonly round: number | bigint; readonly chunk: number | bigint }): string =>
  `${unit.round}/${unit.chunk}`;

/**
 * Which units are audited, and by whom: the same for whoever computes it. Every trainer is looked at as often as the
 * others, one unit more or less; which units of it, follows from the seed.
 */
export function draw(seed: Bytes, units: readonly Unit[], committee: readonly Address[], count: number): [Unit, Address][] {
  if (!committee.length || count <= 0) return [];
  const lists = new Map<Address, Unit[]>();
  for (const unit of byLot(units, (each) => lot(seed, word32(each.round), word32(each.chunk)))) {
    lists.set(unit.trainer, [...(lists.get(unit.trainer) ?? []), unit]);
  }
  const inTurn: Unit[] = [];
  const queues = byLot([...lists.keys()], (trainer) => lot(seed, fromHex(trainer))).map((trainer) => lists.get(trainer)!);
  for (let depth = 0; queues.some((queue) => depth < queue.length); depth++) {
    for (const queue of queues) if (depth < queue.length) inTurn.push(queue[depth]!);
  }
  return inTurn.slice(0, count).map((unit, index) => [unit, committee[index % committee.length]!]);
}

/** What an accusation names on chain: one update of one trainer, by its SHA-256, and nothing else. */
export function evidenceOf(task: TaskId, unit: Unit, state: Digest): Digest {
  const fields = [fromHex(task), BigInt(unit.round), BigInt(unit.chunk), fromHex(unit.trainer), fromHex(state)];
  return digestOf(digest(encode([EVIDENCE, ...fields])));
}

const lot = (seed: Bytes, ...parts: Bytes[]): string => toHex(digest(concat(LOT, seed, ...parts)));

function byLot<Item>(items: readonly Item[], lotOf: (item: Item) => string): Item[] {
  const drawn = items.map((item) => [lotOf(item), item] as const);
  return drawn.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, item]) => item);
}

function word32(value: number): Bytes {
  const made = new Uint8Array(4);
  new DataView(made.buffer).setUint32(0, value);
  return made;
}
