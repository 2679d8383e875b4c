// An NPZ file (NumPy's zip of arrays) as a data set. As `src/shoal/learn/arrays.py`; pickled objects are never read.

import { unzipSync } from "fflate";

import { BYTES, CLASSES, type Dataset, type Target, checkSize, checked, encodeNumbers, encodeTexts } from "./dataset";
import { DataError } from "./errors";
import { type Tensor, sizeOf } from "./tensor";

const X = ["x", "X"];
const Y = ["y", "Y", "label", "labels", "target", "class"];

/** An array as it lies in the file, in C order. */
interface Npy {
  /** NumPy's kind: f, i, u, b or U. */
  readonly kind: string;
  readonly itemBytes: number;
  readonly shape: readonly number[];
  /** Numbers; texts of kind U. */
  readonly numbers: Float64Array | BigInt64Array | null;
  readonly texts: readonly string[] | null;
}

/** One array of features and one of targets. Integers of 16 bits or more are tokens; nothing is scaled. */
export function readNpz(file: Uint8Array, source: string, label: string | null, target: Target): Dataset {
  const members = unpack(file, source);
  const names = Object.keys(members);
  const yName = label ?? Y.find((name) => names.includes(name)) ?? null;
  const others = names.filter((name) => name !== yName);
  const xName = X.find((name) => others.includes(name)) ?? (others.length === 1 ? others[0]! : null);
  if (yName === null || !names.includes(yName) || xName === null) {
    const what = yName !== null && names.includes(yName) ? "of features" : `"${yName ?? "y"}"`;
    throw new DataError(`${source} has no array ${what}; it has ${names.join(", ").slice(0, 400) || "none"}`, {
      code: "SHOAL-D05",
      hint: "save it with np.savez(path, x=features, y=targets), or name the targets as the label",
    });
  }
  const x = features(array(members[xName]!, xName, source), source);
  const [y, classes] = targets(array(members[yName]!, yName, source), target, `${source}: label "${yName}"`);
  return checked({ x, y, classes, label: yName, columns: null, source });
}

const damaged = (source: string, what: string): DataError =>
  new DataError(`${source} cannot be read as NPZ: ${what}`, {
    code: "SHOAL-D04",
    hint: "save it with np.savez(path, x=features, y=targets)",
  });

function unpack(file: Uint8Array, source: string): Record<string, Uint8Array> {
  checkSize(0, file.length, source);
  let total = 0;
  try {
    const found = unzipSync(file, {
      filter: ({ name, originalSize }) => {
        if (!name.endsWith(".npy")) return false;
        total += originalSize;
        if (total > 2 * BYTES) throw new RangeError("larger than fits a browser tab");
        return true;
      },
    });
    return Object.fromEntries(Object.entries(found).map(([name, data]) => [name.slice(0, -4), data]));
  } catch (error) {
    throw damaged(source, error instanceof Error ? error.message : String(error));
  }
}

function array(data: Uint8Array, name: string, source: string): Npy {
  const magic = data[0] === 0x93 && String.fromCharCode(...data.subarray(1, 6)) === "NUMPY";
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  if (!magic || data.length < 12) throw damaged(source, `array "${name}" is not one of NumPy's`);
  const [length, start] = data[6] === 1 ? [view.getUint16(8, true), 10] : [view.getUint32(8, true), 12];
  const header = new TextDecoder("latin1").decode(data.subarray(start, start + length));
  const type = /'descr':\s*'([<>|=])([a-zA-Z])([0-9]*)'/.exec(header);
  const order = /'fortran_order':\s*(True|False)/.exec(header);
  const sizes = /'shape':\s*\(([0-9,\s]*)\)/.exec(header);
  if (!type || type[2] === "O") {
    throw new DataError(`${source}: array "${name}" holds Python objects or records, which only code could read`, {
      code: "SHOAL-D15",
      hint: "save arrays of numbers, or of texts of dtype str",
    });
  }
  if (!order || !sizes) throw damaged(source, `array "${name}" has no header`);
  const shape = sizes[1]!.split(",").map((text) => text.trim()).filter(Boolean).map(Number);
  const [, end, kind, size] = type;
  const itemBytes = kind === "U" ? 4 * Number(size) : Number(size);
  const count = sizeOf(shape);
  if (start + length + count * itemBytes !== data.length) throw damaged(source, `array "${name}" is not whole`);
  checkSize(shape[0] ?? 0, count * itemBytes, source);
  const body = new DataView(data.buffer, data.byteOffset + start + length, count * itemBytes);
  const places = order[1] === "True" ? fortran(shape) : null;
  const read = reader(kind!, itemBytes, end !== ">", body, name, source);
  const at = (index: number): number => itemBytes * (places ? places[index]! : index);
  const made = { kind: kind!, itemBytes, shape };
  if (kind === "U") return { ...made, numbers: null, texts: Array.from({ length: count }, (_, i) => String(read(at(i)))) };
  const whole = (kind === "i" || kind === "u") && itemBytes > 1;
  const numbers = whole ? new BigInt64Array(count) : new Float64Array(count);
  for (let index = 0; index < count; index++) numbers[index] = read(at(index)) as never;
  return { ...made, numbers, texts: null };
}

type Read = (at: number) => number | bigint | string;

function reader(kind: string, bytes: number, little: boolean, body: DataView, name: string, source: string): Read {
  switch (`${kind === "U" ? "U" : kind + bytes}`) {
    case "f2":
      return (at) => half(body.getUint16(at, little));
    case "f4":
      return (at) => body.getFloat32(at, little);
    case "f8":
      return (at) => body.getFloat64(at, little);
    case "i1":
      return (at) => body.getInt8(at);
    case "i2":
      return (at) => BigInt(body.getInt16(at, little));
    case "i4":
      return (at) => BigInt(body.getInt32(at, little));
    case "i8":
      return (at) => body.getBigInt64(at, little);
    case "u1":
    case "b1":
      return (at) => body.getUint8(at);
    case "u2":
      return (at) => BigInt(body.getUint16(at, little));
    case "u4":
      return (at) => BigInt(body.getUint32(at, little));
    case "u8":
      return (at) => small(body.getBigUint64(at, little), name, source);
    case "U":
      return (at) => {
        let text = "";
        for (let next = at; next < at + bytes; next += 4) {
          const point = body.getUint32(next, little);
          if (point) text += String.fromCodePoint(point);
        }
        return text;
      };
    default:
      throw notNumbers(`${kind}${bytes}`, name, source);
  }
}

function small(value: bigint, name: string, source: string): bigint {
  if (value >= 2n ** 63n) throw notNumbers("u8", name, source);
  return value;
}

const notNumbers = (type: string, name: string, source: string): DataError =>
  new DataError(`${source}: ${name} holds ${type}, which is neither floats nor integers of 63 bits`, {
    code: "SHOAL-D15",
    hint: "convert it to numbers, such as x.astype('float32')",
  });

/** Where each item of an array in C order lies in one in Fortran order. */
function fortran(shape: readonly number[]): Uint32Array {
  const steps = shape.map((_, axis) => sizeOf(shape.slice(0, axis)));
  const made = new Uint32Array(sizeOf(shape));
  for (let index = 0; index < made.length; index++) {
    let [rest, place] = [index, 0];
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      place += (rest % shape[axis]!) * steps[axis]!;
      rest = Math.floor(rest / shape[axis]!);
    }
    made[index] = place;
  }
  return made;
}

function features(x: Npy, source: string): Tensor {
  if (!x.numbers) throw notNumbers("texts", "x", source);
  if (x.numbers instanceof BigInt64Array) {
    return { dtype: "I64", shape: x.shape, data: x.numbers as BigInt64Array<ArrayBuffer> };
  }
  return { dtype: "F32", shape: x.shape, data: Float32Array.from(x.numbers) };
}

function targets(y: Npy, target: Target, where: string): [Tensor, string[] | null] {
  if (target === "values") {
    if (!y.numbers) {
      const hint = 'for classes take the loss "cross_entropy"';
      throw new DataError(`${where} holds texts: the loss needs numbers`, { code: "SHOAL-D09", hint });
    }
    return [{ dtype: "F32", shape: y.shape, data: Float32Array.from(y.numbers, Number) }, null];
  }
  const flat = y.shape.length === 1 || (y.shape.length === 2 && y.shape[1] === 1);
  if (flat && y.texts) return encodeTexts(y.texts, where);
  if (flat && y.numbers) return encodeNumbers(y.numbers, where, y.kind === "b");
  // Labels of several dimensions, as for tokens, stay the ids that they are.
  if (y.numbers && y.kind !== "f") {
    const data = BigInt64Array.from(y.numbers, BigInt);
    if (data.every((id) => id >= 0n && id < BigInt(CLASSES))) return [{ dtype: "I64", shape: y.shape, data }, null];
  }
  const hint = "label rows with whole numbers or names";
  throw new DataError(`${where} has labels of shape [${y.shape.join(", ")}] that are no class ids`, { code: "SHOAL-D09", hint });
}

function half(bits: number): number {
  const [sign, exponent, part] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 0x1f, bits & 0x3ff];
  if (exponent === 0x1f) return part ? NaN : sign * Infinity;
  return sign * (exponent ? (1 + part / 1024) * 2 ** (exponent - 15) : (part / 1024) * 2 ** -14);
}
