// Canonical bytes: one value has one encoding (RFC 8949 deterministic CBOR), and decoding accepts only that.
//
// Integers are bigint and floats are number, so that no value changes its kind on the way: 1n is an integer, 1 a float.

import { sha256 } from "@noble/hashes/sha2.js";

import { type Bytes, compare, concat, equal, plain } from "./bytes";
import { CBOR_DEPTH } from "./limits";

export type Value = null | boolean | bigint | number | string | Uint8Array | readonly Value[] | Table;
export interface Table {
  readonly [key: string]: Value;
}

/** Bytes that are not the canonical encoding of a plain value within the limits. */
export class CodecError extends Error {
  override name = "CodecError";
}

const LEAST = -(2n ** 63n);
const MOST = 2n ** 64n;
const LONE = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/;
const writer = new TextEncoder();
const reader = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Encode tables with text keys, lists, integers (bigint), floats (number), bytes, text, booleans and null. */
export function encode(value: Value): Bytes {
  const parts: Uint8Array[] = [];
  write(value, 0, parts);
  return concat(...parts);
}

/** Decode canonical CBOR. Throws CodecError: too long, malformed, trailing bytes, tags, or not canonical. */
export function decode(data: Uint8Array, most: number): Value {
  if (data.length > most) throw new CodecError(`${data.length} bytes, at most ${most} are accepted`);
  const source = new Source(data);
  const value = source.read(0);
  if (source.at !== data.length) throw new CodecError("bytes follow the value");
  if (!equal(encode(value), data)) throw new CodecError("not the canonical encoding");
  return value;
}

/** SHA-256. */
export function digest(data: Uint8Array): Bytes {
  return plain(sha256(data));
}

/** A value parsed from JSON as CBOR has it: whole numbers are integers. */
export function fromJson(value: unknown): Value {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value;
  if (typeof value === "number") return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(fromJson);
  if (typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, fromJson(item)]));
  }
  throw new CodecError(`${typeof value} has no encoding here`);
}

function write(value: Value, depth: number, parts: Uint8Array[]): void {
  if (depth > CBOR_DEPTH) throw new CodecError("nested too deeply");
  if (value === null) parts.push(byte(0xf6));
  else if (typeof value === "boolean") parts.push(byte(value ? 0xf5 : 0xf4));
  else if (typeof value === "bigint") writeInteger(value, parts);
  else if (typeof value === "number") parts.push(float(value));
  else if (typeof value === "string") {
    const text = textBytes(value);
    parts.push(head(3, BigInt(text.length)), text);
  } else if (value instanceof Uint8Array) parts.push(head(2, BigInt(value.length)), value);
  else if (Array.isArray(value)) {
    parts.push(head(4, BigInt(value.length)));
    for (const item of value) write(item, depth + 1, parts);
  } else writeTable(value as Table, depth, parts);
}

function writeTable(table: Table, depth: number, parts: Uint8Array[]): void {
  if (typeof table !== "object") throw new CodecError(`${typeof table} has no encoding here`);
  const rows = Object.keys(table).map((key) => {
    const text = textBytes(key);
    return { key, name: concat(head(3, BigInt(text.length)), text) };
  });
  rows.sort((a, b) => a.name.length - b.name.length || compare(a.name, b.name));
  parts.push(head(5, BigInt(rows.length)));
  for (const { key, name } of rows) {
    parts.push(name);
    write(table[key]!, depth + 1, parts);
  }
}

function writeInteger(value: bigint, parts: Uint8Array[]): void {
  if (value < LEAST || value >= MOST) throw new CodecError("integer out of range");
  parts.push(value >= 0n ? head(0, value) : head(1, -1n - value));
}

function textBytes(text: string): Uint8Array {
  if (LONE.test(text)) throw new CodecError("text that is not Unicode");
  return writer.encode(text);
}

function byte(value: number): Uint8Array {
  return Uint8Array.of(value);
}

function head(major: number, value: bigint): Uint8Array {
  const top = major << 5;
  if (value < 24n) return byte(top | Number(value));
  const size = value < 0x100n ? 1 : value < 0x10000n ? 2 : value < 0x100000000n ? 4 : 8;
  const made = new Uint8Array(1 + size);
  made[0] = top | { 1: 24, 2: 25, 4: 26, 8: 27 }[size]!;
  for (let index = size, rest = value; index > 0; index--, rest >>= 8n) made[index] = Number(rest & 0xffn);
  return made;
}

/** The shortest of half, single and double that holds the number. */
function float(value: number): Uint8Array {
  if (Number.isNaN(value)) return Uint8Array.of(0xf9, 0x7e, 0x00);
  const half = halfBits(value);
  if (half !== null) return Uint8Array.of(0xf9, half >> 8, half & 0xff);
  const single = Object.is(Math.fround(value), value);
  const made = new Uint8Array(single ? 5 : 9);
  made[0] = single ? 0xfa : 0xfb;
  const view = new DataView(made.buffer);
  if (single) view.setFloat32(1, value);
  else view.setFloat64(1, value);
  return made;
}

/** The bits of the half-precision number that equals this one; null if there is none. */
function halfBits(value: number): number | null {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  const sign = view.getUint8(0) & 0x80 ? 0x8000 : 0;
  const size = Math.abs(value);
  if (size === Infinity) return sign | 0x7c00;
  if (size === 0) return sign;
  if (size > 65504) return null;
  const exponent = Math.max(Math.floor(Math.log2(size)), -14);
  for (const guess of [exponent - 1, exponent, exponent + 1]) {
    if (guess < -14 || guess > 15) continue;
    const steps = size * 2 ** (10 - guess); // exact: a power of two
    if (!Number.isInteger(steps)) continue;
    if (steps >= 1024 && steps < 2048) return sign | ((guess + 15) << 10) | (steps - 1024);
    if (guess === -14 && steps < 1024) return sign | steps;
  }
  return null;
}

class Source {
  at = 0;
  readonly #view: DataView;

  constructor(readonly data: Uint8Array) {
    this.#view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  }

  read(depth: number): Value {
    if (depth > CBOR_DEPTH) throw new CodecError("nested too deeply");
    const initial = this.#take(1)[0]!;
    const [major, extra] = [initial >> 5, initial & 0x1f];
    if (major === 7) return this.#simple(extra);
    const size = this.#size(extra);
    switch (major) {
      case 0:
        return size;
      case 1:
        return -1n - size;
      case 2:
        return this.#take(this.#count(size)).slice();
      case 3:
        return this.#text(size);
      case 4:
        return this.#list(this.#count(size), depth);
      case 5:
        return this.#table(this.#count(size), depth);
      default:
        throw new CodecError("tags have no place here");
    }
  }

  #list(count: number, depth: number): Value {
    const items: Value[] = [];
    for (let index = 0; index < count; index++) items.push(this.read(depth + 1));
    return items;
  }

  #table(count: number, depth: number): Value {
    const table: Record<string, Value> = Object.create(null) as Record<string, Value>;
    for (let index = 0; index < count; index++) {
      const key = this.read(depth + 1);
      if (typeof key !== "string") throw new CodecError("keys are text");
      table[key] = this.read(depth + 1);
    }
    return table;
  }

  #text(size: bigint): string {
    try {
      return reader.decode(this.#take(this.#count(size)));
    } catch (error) {
      if (error instanceof CodecError) throw error;
      throw new CodecError("text that is not UTF-8");
    }
  }

  #simple(extra: number): Value {
    switch (extra) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 25:
        return half(this.#number(2, (at) => this.#view.getUint16(at)));
      case 26:
        return this.#number(4, (at) => this.#view.getFloat32(at));
      case 27:
        return this.#number(8, (at) => this.#view.getFloat64(at));
      default:
        throw new CodecError("not a plain value");
    }
  }

  #size(extra: number): bigint {
    if (extra < 24) return BigInt(extra);
    if (extra === 24) return BigInt(this.#take(1)[0]!);
    if (extra === 25) return BigInt(this.#number(2, (at) => this.#view.getUint16(at)));
    if (extra === 26) return BigInt(this.#number(4, (at) => this.#view.getUint32(at)));
    if (extra === 27) {
      this.#take(8);
      return this.#view.getBigUint64(this.at - 8);
    }
    throw new CodecError("not a definite length");
  }

  /** A length that what is left could hold: a header of five bytes must not ask for gigabytes. */
  #count(size: bigint): number {
    if (size > BigInt(this.data.length - this.at)) throw new CodecError("shorter than it says");
    return Number(size);
  }

  #number(size: number, get: (at: number) => number): number {
    this.#take(size);
    return get(this.at - size);
  }

  #take(size: number): Uint8Array {
    if (this.at + size > this.data.length) throw new CodecError("shorter than it says");
    this.at += size;
    return this.data.subarray(this.at - size, this.at);
  }
}

function half(bits: number): number {
  const [sign, exponent, part] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0x1f) return part ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + part / 1024) * 2 ** (exponent - 15) : (part / 1024) * 2 ** -14);
}
