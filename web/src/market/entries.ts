// Signed entries of a task's log, and sealed bids: how they are made, encoded, parsed and checked.

import { ed25519 } from "@noble/curves/ed25519.js";

import type { Bytes } from "./bytes";
import { fromHex } from "./bytes";
import { CodecError, type Table, type Value, decode, digest, encode } from "./codec";
import { type Address, type Digest, type TaskId, address, digestOf, taskOf } from "./ids";
import { AUTHOR_LOG_ENTRIES, LOG_ENTRY_BYTES, LOG_SEQUENCES, TOPIC_MESSAGE_BYTES } from "./limits";

export const KINDS = [
  "manifest", "award", "assign", "envelope", "update", "void", "checkpoint", "result", "leave", "open", "verdict", "pin",
] as const;
export type Kind = (typeof KINDS)[number];
const ENTRY = "shoal/entry/1";
const BID = "shoal/bid-commitment/1";
const LOG = "shoal/log/1";

/** Whoever holds an Ed25519 key. */
export interface Signer {
  sign(data: Bytes): Promise<Bytes>;
}

/** Where an entry belongs. Signed with it, so that no entry can be replayed in another task or network. */
export interface Place {
  readonly network: string;
  readonly contract: string;
  readonly task: TaskId;
}

/** One signed statement. `previous` is the hash of its author's entry before (zeros for the first). */
export interface Entry {
  readonly type: "entry";
  readonly place: Place;
  readonly author: Address;
  readonly sequence: bigint;
  readonly previous: Digest;
  readonly kind: string;
  readonly body: Table;
  readonly payload: Bytes;
  readonly signature: Bytes;
}

/** A trainer's sealed bid: made by someone who is no participant yet, hence outside the chain of entries. */
export interface BidCommitment {
  readonly type: "bid";
  readonly task: TaskId;
  readonly trainer: Address;
  readonly commitment: Digest;
  readonly payload: Bytes;
  readonly signature: Bytes;
}

/**
 * A batch of a participant's log lines, compressed. Outside the chain of entries: what counts never waits for it, and
 * the fold only counts them.
 */
export interface LogEntry {
  readonly type: "log";
  readonly place: Place;
  readonly author: Address;
  readonly sequence: bigint;
  readonly lines: Bytes;
  readonly payload: Bytes;
  readonly signature: Bytes;
}

export type Statement = Omit<Entry, "type" | "payload" | "signature">;

export const hashOf = (entry: Entry): Digest => digestOf(digest(entry.payload));
/** The bytes that travel: on the topic and in gossip alike. */
export const dataOf = (entry: Entry | BidCommitment | LogEntry): Bytes => encode([entry.payload, entry.signature]);
export const samePlace = (a: Place, b: Place): boolean =>
  a.network === b.network && a.contract === b.contract && a.task === b.task;

/** The bytes that are signed. */
export function payloadOf(said: Statement): Bytes {
  const { network, contract, task } = said.place;
  const ids = [fromHex(task), fromHex(said.author)];
  return encode([ENTRY, network, contract, ...ids, said.sequence, fromHex(said.previous), said.kind, said.body]);
}

/** Sign an entry. Throws CodecError: unknown kind, or larger than a topic's message may be. */
export async function makeEntry(signer: Signer, said: Statement): Promise<Entry> {
  if (!(KINDS as readonly string[]).includes(said.kind)) throw new CodecError(`no entries of kind ${said.kind}`);
  const payload = payloadOf(said);
  const entry: Entry = { type: "entry", ...said, payload, signature: await signer.sign(payload) };
  if (dataOf(entry).length > LOG_ENTRY_BYTES) {
    throw new CodecError(`an entry of ${payload.length} bytes does not fit a topic`);
  }
  return entry;
}

/** Parse bytes from a stranger; the signature is not checked, since its key depends on the state. */
export function parse(data: Uint8Array): Entry | BidCommitment | LogEntry {
  const outer = decode(data, LOG_ENTRY_BYTES);
  if (!Array.isArray(outer) || outer.length !== 2) throw new CodecError("not a signed entry");
  const [payload, signature] = outer as Value[];
  if (!isBytes(payload) || !isBytes(signature, 64)) throw new CodecError("not a signed entry");
  const fields = decode(payload, LOG_ENTRY_BYTES);
  if (Array.isArray(fields) && fields[0] === ENTRY && fields.length === 9) {
    return { ...parseEntry(fields as Value[]), payload, signature };
  }
  if (Array.isArray(fields) && fields[0] === BID && fields.length === 4) {
    const [, task, trainer, commitment] = fields as Value[];
    if (isBytes(task, 32) && isBytes(trainer, 20) && isBytes(commitment, 32)) {
      const ids = { task: taskOf(task), trainer: address(trainer), commitment: digestOf(commitment) };
      return { type: "bid", ...ids, payload, signature };
    }
  }
  if (Array.isArray(fields) && fields[0] === LOG && fields.length === 7) {
    if (data.length > TOPIC_MESSAGE_BYTES) throw new CodecError("log lines of more than one message");
    return { ...parseLog(fields as Value[]), payload, signature };
  }
  throw new CodecError("neither an entry, nor a bid, nor log lines");
}

/**
 * Whether a batch of log lines counts, by the number that is to follow and how many of its author there are already.
 * Numbers may have gaps, since a batch may be lost; none counts twice.
 */
export function admits(entry: LogEntry, following: bigint, taken: number): boolean {
  return following <= entry.sequence && entry.sequence < LOG_SEQUENCES && taken < AUTHOR_LOG_ENTRIES;
}

/** Ed25519 (RFC 8032). */
export function signedBy(key: Bytes, said: Entry | BidCommitment | LogEntry): boolean {
  try {
    return ed25519.verify(said.signature, said.payload, key, { zip215: false });
  } catch {
    return false; // a key that is no point
  }
}

function parseEntry(fields: Value[]): Statement & { type: "entry" } {
  const [, network, contract, task, author, sequence, previous, kind, body] = fields;
  const right =
    typeof network === "string" &&
    typeof contract === "string" &&
    typeof kind === "string" &&
    (KINDS as readonly string[]).includes(kind) &&
    isTable(body);
  if (!right || !isBytes(task, 32) || !isBytes(author, 20) || !isBytes(previous, 32)) {
    throw new CodecError("an entry's field has a wrong kind or size");
  }
  if (typeof sequence !== "bigint" || sequence < 0n) {
    throw new CodecError("an entry's sequence number is not one");
  }
  const place = { network, contract, task: taskOf(task) };
  return { type: "entry", place, author: address(author), sequence, previous: digestOf(previous), kind, body };
}

function parseLog(fields: Value[]): Omit<LogEntry, "payload" | "signature"> {
  const [, network, contract, task, author, sequence, lines] = fields;
  const named = typeof network === "string" && typeof contract === "string" && isBytes(task, 32) && isBytes(author, 20);
  if (!named || typeof sequence !== "bigint" || sequence < 0n || !isBytes(lines)) {
    throw new CodecError("a field of log lines is wrong");
  }
  return { type: "log", place: { network, contract, task: taskOf(task) }, author: address(author), sequence, lines };
}

/** Whether this is bytes, of one size where that is given. */
export function isBytes(value: Value | undefined, size?: number): value is Bytes {
  return value instanceof Uint8Array && (size === undefined || value.length === size);
}

export function isTable(value: Value | undefined): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
}
