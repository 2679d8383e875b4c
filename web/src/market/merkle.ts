// Merkle trees of awards and credits, verified on chain by OpenZeppelin's `MerkleProof` (sorted pairs).

import { type Bytes, compare, concat, equal } from "./bytes";
import { type Address, type TaskId, keccak256, word } from "./ids";

/** One awarded bidder: `rank` 0 is a seat, 1 and up a standby in this order. */
export interface AwardLeaf {
  readonly trainer: Address;
  readonly units: number;
  readonly rank: number;
}

/** What one trainer earned. */
export interface CreditLeaf {
  readonly trainer: Address;
  readonly units: number;
  readonly aggregates: number;
  readonly noShow: boolean;
}

/** What one validator earned. */
export interface AuditLeaf {
  readonly validator: Address;
  readonly audits: number;
}

export const EMPTY_ROOT: Bytes = new Uint8Array(32);

export const awardHash = (task: TaskId, leaf: AwardLeaf): Bytes => leafHash(task, leaf.trainer, leaf.units, leaf.rank);
export const creditHash = (task: TaskId, leaf: CreditLeaf): Bytes =>
  leafHash(task, leaf.trainer, leaf.units, leaf.aggregates, leaf.noShow ? 1 : 0);
/** Of three words, so that it never passes for a trainer's leaf of five. */
export const auditHash = (task: TaskId, leaf: AuditLeaf): Bytes => leafHash(task, leaf.validator, leaf.audits);

/** The root over leaf hashes in this order; 32 zero bytes when there are none. */
export function root(leaves: readonly Bytes[]): Bytes {
  let level = [...leaves];
  if (!level.length) return EMPTY_ROOT;
  while (level.length > 1) level = parents(level);
  return level[0]!;
}

/** The siblings that lead from leaf `index` to the root. */
export function proof(leaves: readonly Bytes[], index: number): Bytes[] {
  if (!(index >= 0 && index < leaves.length)) throw new RangeError(`no leaf ${index}`);
  const path: Bytes[] = [];
  let level = [...leaves];
  for (let at = index; level.length > 1; level = parents(level), at >>= 1) {
    const sibling = level[at ^ 1];
    if (sibling) path.push(sibling);
  }
  return path;
}

/** What `MerkleProof.verify` computes on chain. */
export function verify(leaf: Bytes, path: readonly Bytes[], expected: Bytes): boolean {
  return equal(path.reduce(pair, leaf), expected);
}

// Hashed twice, as OpenZeppelin's standard tree does, so that no inner node can pass for a leaf.
function leafHash(task: TaskId, trainer: Address, ...numbers: number[]): Bytes {
  return keccak256(keccak256(concat(word(task), word(trainer), ...numbers.map((n) => word(BigInt(n))))));
}

function pair(left: Bytes, right: Bytes): Bytes {
  return keccak256(compare(left, right) < 0 ? concat(left, right) : concat(right, left));
}

function parents(level: Bytes[]): Bytes[] {
  const made: Bytes[] = [];
  for (let index = 0; index < level.length; index += 2) {
    const right = level[index + 1];
    made.push(right ? pair(level[index]!, right) : level[index]!);
  }
  return made;
}
