/** The table of contents of a safetensors file: eight bytes of length, then JSON. */

export interface Tensor {
  name: string;
  dtype: string;
  shape: number[];
  numbers: number;
}

/** Raises: an Error, if it is no such file. */
export function tensorsOf(bytes: Uint8Array): Tensor[] {
  if (bytes.length < 8) throw new Error("too short for a safetensors file");
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > bytes.length - 8) throw new Error("its head is longer than the file");
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length))) as Record<string, { dtype: string; shape: number[] }>;
  return Object.entries(head)
    .filter(([name]) => name !== "__metadata__")
    .map(([name, { dtype, shape }]) => ({ name, dtype, shape, numbers: shape.reduce((product, size) => product * size, 1) }));
}
