// Chunks: cutting a data set into equal pieces, each a file encrypted under a key of its own.

import type { Bytes } from "./bytes";
import { PART_ROWS, type Part, groupByClass, joined } from "./dataset";
import { DataError } from "./errors";
import type { Digest } from "./ids";
import { CHUNK_BYTES, MIB } from "./limits";
import { Generator } from "./random";
import { newIdentity, seal, sha256Of } from "./seal";
import { rowsOf, take, writeTensors } from "./tensor";

/** Of rows in a chunk: the rest is left for its header. */
const PLAIN_BYTES = CHUNK_BYTES - MIB;

/** An encrypted chunk, ready to be uploaded, and the age identity that opens it (secret). */
export interface SealedChunk {
  readonly cipher: Bytes;
  readonly sha256: Digest;
  readonly rows: number;
  readonly identity: string;
}

/** Cut rows into pieces of equal size within one, shuffled, every class spread equally. Throws SHOAL-D21. */
export function cut(part: Part, chunks: number, seed: number | bigint): Part[] {
  const rows = rowsOf(part.x);
  if (rows < chunks * PART_ROWS) {
    throw new DataError(`${rows} rows for training are too few for ${chunks} chunks of at least ${PART_ROWS}`, {
      code: "SHOAL-D21",
      hint: `take at most ${Math.floor(rows / PART_ROWS)} chunks and as many trainers, or add rows`,
    });
  }
  const rng = new Generator([seed, 2]);
  const drawn = rng.permutation(rows);
  const order = part.y.dtype === "I64" && part.y.shape.length === 1 ? joined(groupByClass(drawn, part.y)) : drawn;
  // Dealt like cards: any run of rows, and so every class, lands on the pieces equally within one.
  return Array.from({ length: chunks }, (_, start) => {
    const hand = rng.shuffled(order.filter((_, index) => index % chunks === start));
    return { x: take(part.x, hand), y: take(part.y, hand) };
  });
}

/** One safetensors file with the tensors `x` and `y`, and nothing else. */
export const chunkFile = (part: Part): Bytes => writeTensors({ x: part.x, y: part.y });

const bytesOf = (part: Part): number => part.x.data.byteLength + part.y.data.byteLength;

/** How many chunks some rows fill, each as large as a chunk may be. */
export const fewestChunks = (part: Part): number => Math.ceil(bytesOf(part) / PLAIN_BYTES);

/** The rows, or as many of them as fit one chunk: they are shuffled, so these stand for all. */
export function fitting(part: Part): Part {
  const rows = rowsOf(part.x);
  const most = Math.floor((PLAIN_BYTES * rows) / Math.max(1, bytesOf(part)));
  if (most >= rows) return part;
  const first = Uint32Array.from({ length: most }, (_, index) => index);
  return { x: take(part.x, first), y: take(part.y, first) };
}

/** Encrypt a piece to a fresh identity. Throws SHOAL-D20: larger than a chunk may be. */
export async function sealChunk(part: Part): Promise<SealedChunk> {
  const plain = chunkFile(part);
  if (plain.length > CHUNK_BYTES) {
    throw new DataError(`a chunk has ${plain.length} bytes, at most ${CHUNK_BYTES} fit`, {
      code: "SHOAL-D20",
      hint: "cut the data set into more chunks",
    });
  }
  const { identity, recipient } = newIdentity();
  const cipher = await seal(plain, recipient);
  return { cipher, sha256: await sha256Of(cipher), rows: rowsOf(part.x), identity };
}
