// The result: open its envelope, download, unpad, decrypt, and compare with what the quorum confirmed on chain.

import type { Bytes } from "./bytes";
import { RESULT_LABEL, checkpointLabel, checkpointSlot, resultSlot } from "./bundle";
import { CodecError, decode } from "./codec";
import { isTable } from "./entries";
import { CryptoFault, MarketError, ShoalError, StorageError } from "./errors";
import type { Gateway } from "./gateway";
import type { Digest } from "./ids";
import type { Keys } from "./keys";
import { ENVELOPE_BYTES } from "./limits";
import { deriveKey, open, sha256Of, unpad } from "./seal";
import { type State, markOf, roundOf, seatIndex } from "./task";

/** What there is to fetch: an object in storage, and the weights that it decrypts to. */
export interface Goal {
  readonly round: number;
  readonly object: Digest;
  readonly checkpoint: Digest;
  readonly author: number;
  readonly slot: string;
  readonly label: string;
  /** Of the publisher, to the ML user; null for a checkpoint, which only its preparer can open. */
  readonly envelope: Bytes | null;
}

/** Trained weights, whose hash a quorum of trainers confirmed on chain. */
export interface Result {
  /** A safetensors file with the model's tensors. */
  readonly weights: Bytes;
  readonly sha256: Digest;
  readonly round: number;
}

/** The confirmed result; or, where the task was settled on its progress, the checkpoint that was paid for. */
export function goalOf(state: State): Goal | null {
  if (state.confirmed) {
    const note = state.notes.get(state.confirmed.result);
    const mark = markOf(state, state.confirmed.round);
    const author = note ? seatIndex(state, note.author) : -1;
    if (!note || !mark || author < 0) return null;
    const { object, envelope } = note;
    return { round: mark.round, object, checkpoint: mark.checkpoint, author, slot: resultSlot(author), label: RESULT_LABEL, envelope };
  }
  const paid = state.checkpoints[state.progressRound];
  if (state.phase !== "settled" || !paid || state.progressRound < 1) return null;
  const author = seatIndex(state, paid.author);
  const slot = checkpointSlot(paid.round, author);
  return { round: paid.round, object: paid.object, checkpoint: paid.state, author, slot, label: checkpointLabel(paid.round), envelope: null };
}

export interface Means {
  readonly keys: Keys;
  readonly gateway: Gateway;
  /** Of the task, where this browser prepared it: the way to the result without an envelope. */
  readonly secret: Bytes | null;
}

/**
 * Fetch and open the weights.
 *
 * Throws MarketError SHOAL-T04, there is none yet or never will be; CryptoFault SHOAL-K05, the bytes are not those
 * confirmed; K01, the envelope is another user's; StorageError S05, S09.
 */
export async function fetchResult(state: State, means: Means): Promise<Result> {
  const goal = goalOf(state);
  if (!goal || (!goal.envelope && !means.secret)) {
    throw new MarketError(
      `this task has no confirmed result: it is ${state.phase}, round ${Math.max(roundOf(state) - 1, 0)} of ${state.plan.rounds} is done`,
      { code: "SHOAL-T04", hint: "try again when it is settled" },
    );
  }
  if (goal.envelope) {
    try {
      const { url, key } = await opened(means.keys, goal.envelope);
      return await fetched(url, key, goal);
    } catch (error) {
      // Whoever published may have spoilt the envelope: the preparer has a way of its own.
      if (!means.secret || !(error instanceof ShoalError)) throw error;
    }
  }
  const { get } = await means.gateway.slots(state.place.task, goal.author);
  const url = get[goal.slot];
  if (!url) throw new StorageError("the node knows no slot of the result", { code: "SHOAL-S05" });
  return await fetched(url, deriveKey(means.secret!, goal.label), goal);
}

async function opened(keys: Keys, envelope: Bytes): Promise<{ url: string; key: string }> {
  const plain = await keys.open(envelope);
  try {
    const value = decode(plain, ENVELOPE_BYTES);
    if (isTable(value) && typeof value["url"] === "string" && typeof value["key"] === "string") {
      return { url: value["url"], key: value["key"] };
    }
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
  }
  throw new CryptoFault("the result's envelope is malformed", { code: "SHOAL-K06" });
}

async function fetched(url: string, key: string, goal: Goal): Promise<Result> {
  const padded = await download(url);
  if ((await sha256Of(padded)) !== goal.object) {
    throw new CryptoFault("storage gave other bytes than those confirmed on chain", { code: "SHOAL-K05" });
  }
  const weights = await open(unpad(padded), key);
  const sha256 = await sha256Of(weights);
  if (sha256 !== goal.checkpoint) {
    throw new CryptoFault("the result decrypts to other weights than the log names", { code: "SHOAL-K05" });
  }
  return { weights, sha256, round: goal.round };
}

async function download(url: string): Promise<Bytes> {
  const scheme = new URL(url).protocol;
  if (scheme !== "https:" && scheme !== "http:") throw new StorageError("a URL is not followed", { code: "SHOAL-S08" });
  let response: Response;
  try {
    response = await fetch(url, { referrerPolicy: "no-referrer", credentials: "omit" });
  } catch {
    throw new StorageError("the result's download broke off", { code: "SHOAL-S09", hint: "try again" });
  }
  if (!response.ok) {
    throw new StorageError(`storage answered with HTTP ${response.status}`, { code: "SHOAL-S05", hint: "try again" });
  }
  return new Uint8Array(await response.arrayBuffer());
}
