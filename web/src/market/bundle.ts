// The bundles behind an envelope: where a trainer finds its chunks, its slots, and the secret of the task.
//
// A topic message is small, so an envelope holds one presigned URL; behind it lies the trainer's own bundle (sealed to
// it alone), and behind that the bundle all trainers share (under the secret of the task).

import type { Holders } from "./assign";
import { type Bytes, fromHex } from "./bytes";
import { type Value, encode } from "./codec";
import type { Digest } from "./ids";

export const SHARED_LABEL = "shared";
export const RESULT_LABEL = "result";
export const checkpointLabel = (round: number): string => `checkpoint/${round}`;

/** Where an object lies and what its bytes hash to. */
export interface Pointer {
  readonly url: string;
  readonly sha256: Digest;
  readonly sizeBytes: number;
}

/** A URL and the age identity that opens what lies there. */
export type Located = readonly [url: string, key: string];

/** One trainer's own part. */
export interface Bundle {
  readonly secret: Bytes;
  readonly chunks: ReadonlyMap<number, Located>;
  readonly validation: Located;
  readonly initial: string;
  /** Slot -> URL that takes this trainer's object, once. */
  readonly put: Readonly<Record<string, string>>;
  readonly shared: Pointer;
}

const fields = (pointer: Pointer): Value[] => [pointer.url, fromHex(pointer.sha256), BigInt(pointer.sizeBytes)];

export const pointerBytes = (pointer: Pointer): Bytes => encode(fields(pointer));
/** The part all trainers share: slot -> URL to read it. */
export const sharedBytes = (get: Readonly<Record<string, string>>): Bytes => encode(get);

export function bundleBytes(bundle: Bundle): Bytes {
  const chunks = [...bundle.chunks].sort(([a], [b]) => a - b);
  return encode({
    secret: bundle.secret,
    chunks: chunks.map(([chunk, [url, key]]) => [BigInt(chunk), url, key]),
    validation: [...bundle.validation],
    initial: bundle.initial,
    put: bundle.put,
    shared: fields(bundle.shared),
  });
}

/** Chunks that a seat is primary or backup of. */
export function heldBy(holders: readonly Holders[], seat: number): number[] {
  const held = [...holders.entries()].filter(([, each]) => each.primary === seat || each.backup === seat);
  return held.map(([chunk]) => chunk);
}

export const resultSlot = (seat: number): string => `r/${seat}`;
export const checkpointSlot = (round: number, seat: number): string => `c/${round}/${seat}`;

/** Every slot that one seat may ever need to write. */
export function slotsOf(holders: readonly Holders[], rounds: number, seat: number): string[] {
  const held = heldBy(holders, seat);
  const all = Array.from({ length: rounds }, (_, index) => index + 1);
  return [
    ...all.flatMap((round) => held.map((chunk) => `u/${round}/${chunk}/${seat}`)),
    ...all.map((round) => checkpointSlot(round, seat)),
    resultSlot(seat),
  ];
}
