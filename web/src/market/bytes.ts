// Bytes: hexadecimal text, concatenation and comparison.

import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";

/** Bytes over a plain buffer, which is what WebCrypto and fetch take. */
export type Bytes = Uint8Array<ArrayBuffer>;

export const toHex = bytesToHex;
export const concat = (...parts: Uint8Array[]): Bytes => concatBytes(...parts) as Bytes;
export const utf8 = (text: string): Bytes => utf8ToBytes(text) as Bytes;

/** The inverse of `toHex`; a leading `0x` is passed over. Throws on anything else. */
export function fromHex(text: string): Bytes {
  return hexToBytes(text.startsWith("0x") ? text.slice(2) : text) as Bytes;
}

export function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compare(a, b) === 0;
}

/** Lexicographic order: negative, zero or positive. */
export function compare(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.length, b.length);
  for (let index = 0; index < most; index++) {
    const difference = a[index]! - b[index]!;
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

/** Fresh random bytes. */
export function random(size: number): Bytes {
  return crypto.getRandomValues(new Uint8Array(size));
}

/** The same bytes over a plain buffer of their own size. */
export function plain(data: Uint8Array): Bytes {
  return data.buffer instanceof ArrayBuffer ? (data as Bytes) : (new Uint8Array(data) as Bytes);
}
