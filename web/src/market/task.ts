// The state of a task: what the fold of its log knows, as plain values that are never changed in place.

import type { Holders } from "./assign";
import { type Audit, type Dispute, RULING } from "./audits";
import type { Bytes } from "./bytes";
import { toHex } from "./bytes";
import { type Table, digest, encode } from "./codec";
import { fromHex } from "./bytes";
import type { Place } from "./entries";
import type { Member, ResultClaim, ResultConfirmed, Settled } from "./events";
import { type Address, type Digest, ZERO_DIGEST, digestOf } from "./ids";
import type { Manifest } from "./manifest";
import { type AuditLeaf, type AwardLeaf, type CreditLeaf, auditHash, creditHash, root } from "./merkle";
import type { Tinybar } from "./money";
import type { Plan } from "./plan";

export const SECOND_NS = 1_000_000_000n;

export type Phase = "open" | "awarded" | "running" | "finished" | "settling" | "settled" | "cancelled" | "expired";
export const isOver = (phase: Phase): boolean => phase === "settled" || phase === "cancelled" || phase === "expired";

/** Why a seat is lost that its trainer gave back. */
export const LEFT = "left";

/** An accepted trainer. `lost` says why it lost its seat; empty while it holds it. */
export interface Seat {
  readonly trainer: Address;
  readonly signingKey: Bytes;
  readonly recipient: Bytes;
  readonly units: number;
  readonly rank: number;
  readonly ready: boolean;
  readonly lost: string;
  /** A jury found fraud: no vote, no pay, and a part of its stake is gone. */
  readonly slashed: boolean;
}
export const isActive = (seat: Seat): boolean => seat.ready && !seat.lost;

/** One delivered work unit: `object` names the ciphertext in its author's slot, `state` the plain bytes. */
export interface Update {
  readonly author: Address;
  readonly round: number;
  readonly chunk: number;
  readonly object: Digest;
  readonly state: Digest;
  readonly samples: number;
  readonly loss: number;
  readonly metric: number;
  readonly seconds: number;
  readonly chain: Digest;
}

/** The weights after a round (round 0: the client's), and the updates they were made of. */
export interface Checkpoint {
  readonly round: number;
  readonly state: Digest;
  readonly object: Digest;
  readonly author: Address;
  readonly included: readonly number[];
  readonly rejected: readonly (readonly [number, string])[];
  readonly loss: number;
  readonly metric: number;
  readonly updates: readonly Update[];
  readonly startedNs: bigint;
  readonly timeNs: bigint;
}

/** What a quorum confirms on chain: a checkpoint and everybody's credits up to it. */
export interface Mark {
  readonly round: number;
  readonly checkpoint: Digest;
  readonly logPosition: bigint;
  readonly credits: readonly CreditLeaf[];
  readonly auditCredits: readonly AuditLeaf[];
}

/** The publisher's entry: the encrypted result in its slot, and the envelope that opens it. */
export interface ResultNote {
  readonly author: Address;
  readonly object: Digest;
  readonly envelope: Bytes;
}

/** What an author said before the log held what it builds upon. */
export interface Early {
  readonly author: Address;
  readonly kind: string;
  readonly round: number;
  readonly body: Table;
}

/** Where a participant's chain of entries stands, and what it has used up. */
export interface Author {
  readonly signingKey: Bytes;
  readonly sequence: bigint;
  readonly head: Digest;
  readonly entries: number;
  readonly sizeBytes: number;
  readonly equivocated: boolean;
  /** The number of its next batch of log lines, which are no entries of its chain. */
  readonly logNext: bigint;
  readonly logEntries: number;
}

/** The chain of an author who has said nothing yet. */
export const newAuthor = (signingKey: Bytes): Author => ({
  signingKey,
  sequence: 0n,
  head: ZERO_DIGEST,
  entries: 0,
  sizeBytes: 0,
  equivocated: false,
  logNext: 0n,
  logEntries: 0,
});

export interface Claim {
  readonly paid: Tinybar;
  readonly stakeReturned: Tinybar;
  /** Of the stake, for a no-show or a wrong vote; the finder's part included. */
  readonly penalty: Tinybar;
  /** Pay of a slashed trainer, which goes to the client. */
  readonly forfeited: Tinybar;
  /** Of the penalty, what goes to whoever found a wrong vote. */
  readonly finderFee: Tinybar;
}

type Of<Key, Item> = ReadonlyMap<Key, Item>;

/** Everything that follows from the log up to `nowNs`. Made by `begin`, changed by `step` and `advance` only. */
export interface State {
  readonly place: Place;
  readonly client: Address;
  readonly clientRecipient: Bytes;
  readonly topic: bigint;
  readonly manifestHash: Digest;
  readonly plan: Plan;
  readonly createdNs: bigint;
  readonly nowNs: bigint;
  readonly phase: Phase;
  readonly manifest: Manifest | null;
  readonly awardRoot: Bytes;
  readonly award: readonly AwardLeaf[];
  readonly unitPrice: Tinybar;
  readonly seats: readonly Seat[];
  readonly holders: readonly Holders[];
  readonly envelopes: Of<Address, Bytes>;
  readonly quorum: number;
  readonly startedNs: bigint;
  readonly turnNs: bigint;
  readonly updates: Of<number, Update>;
  readonly voids: Of<string, string>;
  readonly early: readonly Early[];
  readonly checkpoints: readonly Checkpoint[];
  readonly units: Of<Address, number>;
  readonly aggregates: Of<Address, number>;
  readonly marks: readonly Mark[];
  /** What the result settles: set once there is no more round to train and, where there are audits, these are done. */
  readonly final: Mark | null;
  readonly votes: ReadonlySet<string>;
  readonly progressRound: number;
  readonly progressNs: bigint;
  readonly progressRoot: Bytes;
  readonly result: ResultNote | null;
  readonly notes: Of<Digest, ResultNote>;
  readonly publishers: number;
  readonly published: ReadonlySet<Digest>;
  readonly confirmed: ResultConfirmed | null;
  readonly settled: Settled | null;
  readonly settledNs: bigint;
  readonly claims: Of<Address, Claim>;
  readonly refunded: Tinybar;
  readonly compensation: Tinybar;
  /** When a draw was asked for that was not made yet; 0 where none was. */
  readonly drawRequestedNs: bigint;
  /** Up to which round the draws have gone. */
  readonly drawnRound: number;
  /** Every validator that was drawn, as auditor or juror. */
  readonly members: Of<Address, Member>;
  /** By `unitKey`, in the order of the draws. */
  readonly audits: Of<string, Audit>;
  readonly disputes: Of<Digest, Dispute>;
  readonly auditClaims: Of<Address, Tinybar>;
  /** What the court gave to whom, beside pay: bonds, jurors' fees, fines, parts of a slashed stake. */
  readonly gains: Of<Address, Tinybar>;
  /** What open or past disputes propose as the result. */
  readonly replacements: Of<Digest, ResultClaim>;
  /** What the client has pinned to IPFS, by its own word: `graph`, `manifest` or `result`, and the CID. */
  readonly pins: Of<string, string>;
  readonly authors: Of<Address, Author>;
}

/** The round being trained, from 1. */
export const roundOf = (state: State): number => state.checkpoints.length;
export const seatOf = (state: State, trainer: Address): Seat | undefined =>
  state.seats.find((seat) => seat.trainer === trainer);
export const seatIndex = (state: State, trainer: Address): number =>
  state.seats.findIndex((seat) => seat.trainer === trainer);
export const active = (state: State): Seat[] => state.seats.filter(isActive);
export const voidKey = (chunk: number, trainer: Address): string => `${chunk}/${trainer}`;

/** Who trains a chunk now: its primary, else its backup, else nobody (the chunk has lapsed, or is void). */
export function holder(state: State, chunk: number): Seat | null {
  const { primary, backup } = state.holders[chunk]!;
  for (const index of [primary, backup]) {
    const seat = index === null ? undefined : state.seats[index];
    if (seat && isActive(seat) && !state.voids.has(voidKey(chunk, seat.trainer))) return seat;
  }
  return null;
}

/** Chunks of the present round that are not delivered though somebody holds them. */
export function waitingFor(state: State): number[] {
  return state.holders.map((_, chunk) => chunk).filter((chunk) => !state.updates.has(chunk) && holder(state, chunk));
}

/** Whose duty the present aggregate, or the publication of the result, is: it rotates by rule. */
export function aggregator(state: State): Seat | null {
  const here = active(state);
  return here.length ? here[(roundOf(state) + state.publishers) % here.length]! : null;
}

export const markOf = (state: State, round: number): Mark | undefined =>
  state.marks.find((mark) => mark.round === round);

export const openDisputes = (state: State): number =>
  [...state.disputes.values()].filter((each) => each.ruling === RULING.open).length;

export const deliveredInOrder = (state: State): Update[] =>
  [...state.updates.values()].sort((a, b) => a.chunk - b.chunk);

/** One name for the updates, in the order of chunks, that a checkpoint was made of. */
export function inputsOf(updates: readonly Update[]): Digest {
  const rows = updates.map((each) => [
    BigInt(each.chunk),
    fromHex(each.author),
    fromHex(each.state),
    fromHex(each.object),
    BigInt(each.samples),
  ]);
  return digestOf(digest(encode(rows)));
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
export const unitsOf = (mark: Mark): number => sum(mark.credits.map((leaf) => leaf.units));
export const aggregatesOf = (mark: Mark): number => sum(mark.credits.map((leaf) => leaf.aggregates));
export const auditsOf = (mark: Mark): number => sum(mark.auditCredits.map((leaf) => leaf.audits));
/** Of the tree of credits: the trainers', then the validators'. */
export const leavesOf = (mark: Mark, place: Place): Bytes[] => [
  ...mark.credits.map((leaf) => creditHash(place.task, leaf)),
  ...mark.auditCredits.map((leaf) => auditHash(place.task, leaf)),
];
export const rootOf = (mark: Mark, place: Place): Bytes => root(leavesOf(mark, place));

/** One name for everything that a vote is about. */
export function subject(mark: Mark, result: Digest = ZERO_DIGEST): string {
  const rows = mark.credits.map((leaf) => [
    fromHex(leaf.trainer),
    BigInt(leaf.units),
    BigInt(leaf.aggregates),
    leaf.noShow,
  ]);
  const audits = mark.auditCredits.map((leaf) => [fromHex(leaf.validator), BigInt(leaf.audits)]);
  const head = [BigInt(mark.round), fromHex(mark.checkpoint), fromHex(result), mark.logPosition];
  return toHex(digest(encode([...head, rows, audits])));
}
