// Tensors of a chunk, and safetensors files as the Python side writes and reads them.

import { type Bytes, concat, utf8 } from "./bytes";

export type Tensor =
  | { readonly dtype: "F32"; readonly shape: readonly number[]; readonly data: Float32Array<ArrayBuffer> }
  | { readonly dtype: "I64"; readonly shape: readonly number[]; readonly data: BigInt64Array<ArrayBuffer> };

export const ITEM_BYTES: Readonly<Record<string, number>> = {
  F64: 8, I64: 8, U64: 8, F32: 4, I32: 4, U32: 4, F16: 2, BF16: 2, I16: 2, U16: 2, I8: 1, U8: 1, BOOL: 1,
};
const HEADER_BYTES = 100_000_000;

export const sizeOf = (shape: readonly number[]): number => shape.reduce((product, each) => product * each, 1);
export const rowsOf = (tensor: Tensor): number => tensor.shape[0] ?? 0;

/** The rows of these numbers, in this order. */
export function take(tensor: Tensor, rows: Uint32Array): Tensor {
  const width = sizeOf(tensor.shape.slice(1));
  const shape = [rows.length, ...tensor.shape.slice(1)];
  if (tensor.dtype === "F32") {
    const data = new Float32Array(rows.length * width);
    for (const [at, row] of rows.entries()) data.set(tensor.data.subarray(row * width, (row + 1) * width), at * width);
    return { dtype: "F32", shape, data };
  }
  const data = new BigInt64Array(rows.length * width);
  for (const [at, row] of rows.entries()) data.set(tensor.data.subarray(row * width, (row + 1) * width), at * width);
  return { dtype: "I64", shape, data };
}

/** A safetensors file of some tensors: larger items first, names break ties, no metadata. */
export function writeTensors(tensors: Readonly<Record<string, Tensor>>): Bytes {
  const names = Object.keys(tensors).sort(
    (a, b) => ITEM_BYTES[tensors[b]!.dtype]! - ITEM_BYTES[tensors[a]!.dtype]! || (a < b ? -1 : 1),
  );
  const table: Record<string, unknown> = {};
  let offset = 0;
  for (const name of names) {
    const { dtype, shape, data } = tensors[name]!;
    table[name] = { dtype, shape, data_offsets: [offset, (offset += data.byteLength)] };
  }
  const text = JSON.stringify(table);
  const header = utf8(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(header.length), true);
  const parts = names.map((name) => {
    const { data } = tensors[name]!;
    return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  });
  return concat(length, header, ...parts);
}

export interface TensorInfo {
  readonly dtype: string;
  readonly shape: readonly number[];
}

/** Names, kinds and shapes in a safetensors file. Throws RangeError when it is none. */
export function readHeader(file: Uint8Array): Record<string, TensorInfo> {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const length = file.length < 8 ? 0 : Number(view.getBigUint64(0, true));
  if (length < 2 || length > HEADER_BYTES || 8 + length > file.length) throw new RangeError("not a safetensors file");
  const table: unknown = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(file.subarray(8, 8 + length)));
  const found: Record<string, TensorInfo> = {};
  for (const [name, row] of Object.entries(table as Record<string, unknown>)) {
    if (name === "__metadata__") continue;
    const { dtype, shape, data_offsets: span } = row as { dtype: string; shape: number[]; data_offsets: number[] };
    const bytes = sizeOf(shape) * (ITEM_BYTES[dtype] ?? NaN);
    if (span[1]! - span[0]! !== bytes || 8 + length + span[1]! > file.length) {
      throw new RangeError(`tensor ${name} does not fit the file`);
    }
    found[name] = { dtype, shape };
  }
  return found;
}
