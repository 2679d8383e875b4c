// The manifest: what a task trains, on what, and by which rules; content-addressed, its hash is on chain.

import { type Bytes, equal, fromHex } from "./bytes";
import { CodecError, type Table, type Value, decode, digest, encode } from "./codec";
import { isBytes, isTable } from "./entries";
import { type Digest, digestOf } from "./ids";
import * as limits from "./limits";

/** An object in storage, named by the SHA-256 of its bytes. */
export interface Blob {
  readonly sha256: Digest;
  readonly sizeBytes: number;
}

/** One encrypted piece of the data set. */
export interface ChunkInfo {
  readonly blob: Blob;
  readonly rows: number;
}

/** How the fold judges time, in seconds of consensus time; every `confirmEvery` rounds a quorum confirms on chain. */
export interface Rules {
  readonly roundTimeoutS: number;
  readonly aggregateTimeoutS: number;
  readonly confirmEvery: number;
}

/** How audits are judged, in seconds of consensus time. */
export interface AuditRules {
  /** A trainer that has not opened a drawn unit by then is a no-show; and so long the last draw is waited for. */
  readonly openS: number;
  /** What a validator has for each of its units, from their opening. */
  readonly verdictS: number;
  /** How far an update may be from what the validator finds, in millionths of its norm. */
  readonly tolerancePpm: number;
}

export interface Manifest {
  /** 16 random bytes: the same training can be bought twice. */
  readonly nonce: Bytes;
  readonly network: string;
  readonly contract: string;
  /** The graph document, in clear: bidders look at it. */
  readonly document: Blob;
  /** SHA-256 of the initial checkpoint in clear. */
  readonly initial: Digest;
  readonly initialBlob: Blob;
  readonly recipe: Table;
  readonly chunks: readonly ChunkInfo[];
  readonly validation: ChunkInfo;
  /** Size of every update, checkpoint and result object. */
  readonly slotBytes: number;
  readonly rules: Rules;
  /** For people: name, rows, classes, shape, and under `graph_cid` where IPFS has the document. Never data. */
  readonly summary: Table;
  /** Of a task with audits. */
  readonly audit?: AuditRules;
  /** Signing key of the node that takes the opened bids and serves the document; without it, the client's own. */
  readonly via?: Bytes;
}

export function manifestBytes(manifest: Manifest): Bytes {
  const { rules, audit } = manifest;
  return encode({
    v: 1n,
    nonce: manifest.nonce,
    network: manifest.network,
    contract: manifest.contract,
    document: blobFields(manifest.document),
    initial: fromHex(manifest.initial),
    initial_blob: blobFields(manifest.initialBlob),
    recipe: manifest.recipe,
    chunks: manifest.chunks.map(chunkFields),
    validation: chunkFields(manifest.validation),
    slot_bytes: BigInt(manifest.slotBytes),
    rules: [rules.roundTimeoutS, rules.aggregateTimeoutS, rules.confirmEvery].map(BigInt),
    summary: manifest.summary,
    ...(audit ? { audit: [audit.openS, audit.verdictS, audit.tolerancePpm].map(BigInt) } : {}),
    ...(manifest.via ? { via: manifest.via } : {}),
  });
}

export const manifestHash = (manifest: Manifest): Digest => digestOf(digest(manifestBytes(manifest)));

/** Parse a stranger's manifest. Throws CodecError: malformed, out of bounds, or not canonical. */
export function parseManifest(data: Uint8Array): Manifest {
  const value = decode(data, limits.LOG_ENTRY_BYTES);
  if (!isTable(value)) throw new CodecError("not a manifest");
  const manifest: Manifest = {
    nonce: sized(value["nonce"], 16),
    network: text(value["network"]),
    contract: text(value["contract"]),
    document: blob(value["document"], limits.DOCUMENT_BYTES),
    initial: digestOf(sized(value["initial"], 32)),
    initialBlob: blob(value["initial_blob"], limits.WEIGHTS_BYTES),
    recipe: table(value["recipe"]),
    chunks: list(value["chunks"]).map(chunk),
    validation: chunk(value["validation"]),
    slotBytes: whole(value["slot_bytes"], 1, limits.WEIGHTS_BYTES),
    rules: rulesOf(value["rules"]),
    summary: table(value["summary"]),
    ...(value["audit"] === undefined ? {} : { audit: auditOf(value["audit"]) }),
    ...(value["via"] === undefined ? {} : { via: sized(value["via"], 32) }),
  };
  if (value["v"] !== 1n || !manifest.chunks.length || manifest.chunks.length > limits.CHUNKS) {
    throw new CodecError("not a manifest of this version, or of too many chunks");
  }
  if (!equal(manifestBytes(manifest), data)) throw new CodecError("a manifest with fields that nobody reads");
  return manifest;
}

const blobFields = (it: Blob): Value[] => [fromHex(it.sha256), BigInt(it.sizeBytes)];
const chunkFields = (it: ChunkInfo): Value[] => [...blobFields(it.blob), BigInt(it.rows)];

function blob(value: Value | undefined, most: number): Blob {
  const [sha256, size] = list(value, 2);
  return { sha256: digestOf(sized(sha256, 32)), sizeBytes: whole(size, 1, most) };
}

function chunk(value: Value | undefined): ChunkInfo {
  const [sha256, size, rows] = list(value, 3);
  // Encryption adds a header and a tag per 64 KiB.
  return { blob: blob([sha256!, size!], limits.CHUNK_BYTES + limits.MIB), rows: whole(rows, 1, 2 ** 31) };
}

function rulesOf(value: Value | undefined): Rules {
  const [round, aggregate, confirm] = list(value, 3);
  return {
    roundTimeoutS: whole(round, 1, limits.TASK_LIFE_S),
    aggregateTimeoutS: whole(aggregate, 1, limits.TASK_LIFE_S),
    confirmEvery: whole(confirm, 1, limits.ROUNDS),
  };
}

function auditOf(value: Value | undefined): AuditRules {
  const [open, verdict, tolerance] = list(value, 3);
  return {
    openS: whole(open, 1, limits.TASK_LIFE_S),
    verdictS: whole(verdict, 1, limits.TASK_LIFE_S),
    tolerancePpm: whole(tolerance, 0, 1_000_000),
  };
}

function list(value: Value | undefined, size?: number): readonly Value[] {
  if (!Array.isArray(value) || (size !== undefined && value.length !== size)) throw new CodecError("expected a list");
  return value as readonly Value[];
}

function sized(value: Value | undefined, size: number): Bytes {
  if (!isBytes(value, size)) throw new CodecError(`expected ${size} bytes`);
  return value;
}

function whole(value: Value | undefined, low: number, high: number): number {
  if (typeof value !== "bigint" || value < BigInt(low) || value > BigInt(high)) {
    throw new CodecError(`expected a whole number from ${low} to ${high}`);
  }
  return Number(value);
}

function text(value: Value | undefined): string {
  if (typeof value !== "string" || new TextEncoder().encode(value).length > limits.TEXT_BYTES) {
    throw new CodecError("expected a short text");
  }
  return value;
}

function table(value: Value | undefined): Table {
  if (!isTable(value)) throw new CodecError("expected a table");
  for (const item of Object.values(value)) {
    if (typeof item === "number" && !Number.isFinite(item)) throw new CodecError("a number is not finite");
  }
  return value;
}
