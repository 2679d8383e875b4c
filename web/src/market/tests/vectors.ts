// The vectors that Python wrote, and values as they stand in them.

import { readFileSync } from "node:fs";

import { fromHex } from "../bytes";
import type { Table, Value } from "../codec";

// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Json = any;

export function vectors(name: string): Json {
  return JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), "utf8"));
}

/** A value of `codec.json`: {"int": "1"}, {"float": "1.0"}, {"bytes": hex}, {"map": pairs}. */
export function untagged(value: Json): Value {
  if (value === null || typeof value === "boolean" || typeof value === "string") return value as Value;
  if (Array.isArray(value)) return value.map(untagged);
  if ("int" in value) return BigInt(value.int as string);
  if ("float" in value) return Number((value.float as string).replace("inf", "Infinity").replace("nan", "NaN"));
  if ("bytes" in value) return fromHex(value.bytes as string);
  return Object.fromEntries((value.map as [string, Json][]).map(([key, item]) => [key, untagged(item)])) as Table;
}
