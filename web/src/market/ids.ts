// Identifiers: accounts, addresses, hashes and task ids. Inside the library they are lower-case hexadecimal text.

import { keccak_256 } from "@noble/hashes/sha3.js";

import { type Bytes, concat, fromHex, plain, toHex } from "./bytes";

declare const kind: unique symbol;
type Hex<Kind extends string> = string & { readonly [kind]: Kind };
/** 20 bytes as 40 hexadecimal digits: an account as the contract sees it. */
export type Address = Hex<"address">;
/** 32 bytes as 64 hexadecimal digits: keccak256(abi.encode(client, manifest hash)). */
export type TaskId = Hex<"task">;
/** 32 bytes as 64 hexadecimal digits: a SHA-256. */
export type Digest = Hex<"digest">;

export const ZERO_DIGEST = "0".repeat(64) as Digest;

const DIGITS = /^[0-9a-f]*$/;

export const address = (data: Uint8Array | string): Address => sized(data, 20) as Address;
export const taskOf = (data: Uint8Array | string): TaskId => sized(data, 32) as TaskId;
export const digestOf = (data: Uint8Array | string): Digest => sized(data, 32) as Digest;

export function keccak256(data: Uint8Array): Bytes {
  return plain(keccak_256(data));
}

/** One 32-byte ABI word: whole numbers and addresses are left-padded, 32-byte values unchanged. */
export function word(value: bigint | string): Bytes {
  const made = new Uint8Array(32);
  const part = typeof value === "string" ? fromHex(value) : fromHex(value.toString(16).padStart(64, "0"));
  if (part.length !== 20 && part.length !== 32) throw new RangeError("an ABI word is made of 20 or 32 bytes");
  made.set(part, 32 - part.length);
  return made;
}

/** The id that `createTask` gives: the same client and manifest can never make two tasks. */
export function taskId(client: Address, manifest: Digest): TaskId {
  return toHex(keccak256(concat(word(client), word(manifest)))) as TaskId;
}

/** The number of `0.0.N`. */
export function entityNumber(text: string): bigint {
  const match = /^0\.0\.([0-9]{1,18})$/.exec(text);
  if (!match) throw new RangeError(`${text} is not an entity id of the form 0.0.N`);
  return BigInt(match[1]!);
}

/** What people know an account by: its id where the address holds it, else the beginning of the address. */
export function accountText(who: Address): string {
  return who.startsWith("0".repeat(24)) ? `0.0.${BigInt(`0x${who}`)}` : `0x${who.slice(0, 12)}`;
}

/** The first 12 digits, for people. */
export function short(value: string): string {
  return value.slice(0, 12);
}

function sized(data: Uint8Array | string, size: number): string {
  const text = typeof data === "string" ? data.toLowerCase().replace(/^0x/, "") : toHex(data);
  if (text.length !== 2 * size || !DIGITS.test(text)) throw new RangeError(`expected ${size} bytes`);
  return text;
}
