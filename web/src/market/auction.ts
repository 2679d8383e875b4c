// The auction: cheapest bids first, one uniform price for all, standbys in order.

import { type Bytes, fromHex, toHex } from "./bytes";
import { CodecError, type Value, decode, digest, encode } from "./codec";
import { isBytes } from "./entries";
import { type Address, type Digest, type TaskId, address, digestOf, taskOf } from "./ids";
import { REQUEST_BYTES } from "./limits";
import { type AwardLeaf, awardHash, root } from "./merkle";
import type { Tinybar } from "./money";

/** An opened bid. `units` is how many chunks the trainer is ready to hold; `unitS` its measured seconds for one. */
export interface Bid {
  readonly trainer: Address;
  readonly unitPrice: Tinybar;
  readonly units: number;
  readonly unitS: number;
  readonly expires: number;
  readonly salt: Bytes;
}

/** Seats and standbys, in the order of the Merkle tree, and the price that all are paid. */
export interface Award {
  readonly leaves: readonly AwardLeaf[];
  readonly unitPrice: Tinybar;
}

export interface Terms {
  readonly task: TaskId;
  readonly chunks: number;
  readonly seats: number;
  readonly minTrainers: number;
  readonly ceiling: Tinybar;
  readonly nowS: number;
}

const fields = (bid: Bid): Value[] => [
  fromHex(bid.trainer),
  bid.unitPrice,
  BigInt(bid.units),
  bid.unitS,
  BigInt(bid.expires),
  bid.salt,
];

/** What is posted before the deadline; it hides the bid because of the 32 random bytes of `salt`. */
export function commitment(task: TaskId, bid: Bid): Digest {
  return digestOf(digest(encode(["shoal/bid/1", fromHex(task), ...fields(bid)])));
}

/** What a trainer sends to open its bid. Throws CodecError: anything else. */
export function parseOpening(payload: Uint8Array): [TaskId, Bid] {
  const value = decode(payload, REQUEST_BYTES);
  if (!Array.isArray(value) || value.length !== 7) throw new CodecError("not an opened bid");
  const [task, trainer, price, units, unitS, expires, salt] = value as Value[];
  if (
    isBytes(task, 32) &&
    isBytes(trainer, 20) &&
    typeof price === "bigint" &&
    price > 0n &&
    typeof units === "bigint" &&
    units > 0n &&
    units < 2n ** 32n &&
    typeof unitS === "number" &&
    typeof expires === "bigint" &&
    expires > -(2n ** 53n) &&
    expires < 2n ** 53n &&
    isBytes(salt, 32)
  ) {
    const numbers = { unitPrice: price, units: Number(units), unitS, expires: Number(expires) };
    return [taskOf(task), { trainer: address(trainer), ...numbers, salt }];
  }
  throw new CodecError("not an opened bid");
}

export const primaries = (award: Award): number => award.leaves.filter((leaf) => leaf.rank === 0).length;
export const awardRoot = (award: Award, task: TaskId): Bytes => root(award.leaves.map((leaf) => awardHash(task, leaf)));

/** Choose trainers for the chunks, or null when the bids cannot carry the task. The same as `auction.clear`. */
export function clear(bids: readonly Bid[], terms: Terms): Award | null {
  const { task, chunks, ceiling, nowS } = terms;
  const ordered = bids
    .filter((bid) => bid.unitPrice > 0n && bid.unitPrice <= ceiling && bid.units > 0 && bid.expires >= nowS)
    .map((bid) => ({ bid, name: commitment(task, bid) }))
    .sort((a, b) => cheaper(a.bid.unitPrice, b.bid.unitPrice) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  const unique = new Map<Address, Bid>();
  for (const { bid } of ordered) if (!unique.has(bid.trainer)) unique.set(bid.trainer, bid);
  const ranked = [...unique.values()];
  const chosen = ranked.slice(0, Math.min(terms.seats, chunks));
  if (chosen.length < terms.minTrainers || !chosen.length) return null;
  const shares = share(
    chosen.map((bid) => bid.units),
    chunks,
  );
  if (!shares) return null;
  const left = ranked.slice(chosen.length);
  const unitPrice = (left[0] ?? chosen.at(-1)!).unitPrice;
  const each = Math.ceil(chunks / chosen.length);
  const seats = chosen.map((bid, index) => ({ trainer: bid.trainer, units: shares[index]!, rank: 0 }));
  // A standby's rank is at most the number of vacant seats, so more of them could never accept.
  const standbys = left
    .slice(0, chosen.length)
    .map((bid, index) => ({ trainer: bid.trainer, units: Math.min(each, bid.units), rank: index + 1 }));
  return { leaves: [...seats, ...standbys], unitPrice };
}

/** An award as it is kept beside a task, and read again. */
export function encodeAward(award: Award): string {
  const leaves = award.leaves.map((leaf) => [fromHex(leaf.trainer), BigInt(leaf.units), BigInt(leaf.rank)]);
  return toHex(encode([leaves, award.unitPrice]));
}

export function decodeAward(kept: string): Award {
  const data = fromHex(kept);
  const [leaves, unitPrice] = decode(data, data.length) as [readonly [Bytes, bigint, bigint][], bigint];
  const read = leaves.map(([who, units, rank]) => ({ trainer: address(who), units: Number(units), rank: Number(rank) }));
  return { leaves: read, unitPrice };
}

const cheaper = (a: Tinybar, b: Tinybar): number => (a < b ? -1 : a > b ? 1 : 0);

/** Spread chunks one at a time, round after round, over those who still have room. */
function share(capacities: readonly number[], chunks: number): number[] | null {
  if (capacities.reduce((sum, each) => sum + each, 0) < chunks) return null;
  const shares = capacities.map(() => 0);
  for (let left = chunks; left; ) {
    for (let index = 0; index < shares.length && left; index++) {
      if (shares[index]! < capacities[index]!) {
        shares[index]!++;
        left--;
      }
    }
  }
  return shares;
}
