import { expect, it } from "vitest";

import { tensorsOf } from "./safetensors";

function file(head: object): Uint8Array {
  const text = new TextEncoder().encode(JSON.stringify(head));
  const bytes = new Uint8Array(8 + text.length + 8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  return bytes;
}

it("lists tensors and counts their numbers", () => {
  const found = tensorsOf(file({ __metadata__: { a: "b" }, weight: { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] }, count: { dtype: "I64", shape: [], data_offsets: [24, 32] } }));
  expect(found).toEqual([
    { name: "weight", dtype: "F32", shape: [2, 3], numbers: 6 },
    { name: "count", dtype: "I64", shape: [], numbers: 1 },
  ]);
});

it("refuses what is none", () => {
  expect(() => tensorsOf(new Uint8Array(4))).toThrow("too short");
  expect(() => tensorsOf(new Uint8Array(16).fill(255))).toThrow("longer");
});
