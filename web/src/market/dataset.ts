// A data set in memory: what every reader must deliver, its description, and its split into three parts.
//
// The same rules, limits and codes as `src/shoal/learn/{dataset,labels}.py`; with the same seed the same rows.

import { DataError } from "./errors";
import { CHUNK_BYTES, MIB } from "./limits";
import { Generator } from "./random";
import { type Tensor, rowsOf, sizeOf, take } from "./tensor";

/** What the loss compares with: a class for each row, or numbers. */
export type Target = "classes" | "values";
export const targetOf = (loss: string): Target => (loss === "cross_entropy" ? "classes" : "values");

export const ROWS = 20_000_000;
export const CLASSES = 65_536;
/** Of a data set in a tab's memory; larger ones go through the user's own node. */
export const BYTES = 1024 * MIB;
const VALIDATION = 0.1;
const TEST = 0.2;
/** Fewest rows of a part or chunk: BatchNorm has no variance over one row. */
export const PART_ROWS = 2;
const LISTED = 20;

export interface Part {
  readonly x: Tensor;
  readonly y: Tensor;
}

/** All rows, checked: as many targets as rows, every number finite, more than one label. */
export interface Dataset extends Part {
  /** Name of each class id. */
  readonly classes: readonly string[] | null;
  /** The label column, or what stands for it. */
  readonly label: string;
  /** Names of the features, in order, of a table. */
  readonly columns: readonly string[] | null;
  readonly source: string;
}

/** What was found, shown before anything is paid. */
export interface Description {
  readonly rows: number;
  readonly shape: readonly number[];
  readonly dtype: string;
  readonly range: readonly [number, number];
  readonly label: string;
  readonly columns: readonly string[] | null;
  readonly classCount: number;
  /** The first of them, with their rows. */
  readonly classes: readonly (readonly [string, number])[];
  readonly values: readonly [number, number] | null;
}

/** Three parts without a row in common: to train on, to score rounds with, and to judge the result. */
export interface Split {
  readonly train: Part;
  readonly validation: Part;
  readonly test: Part;
}

export function describe(dataset: Dataset): Description {
  const { x, y, classes } = dataset;
  const counts = new Array<number>(classes?.length ?? 0).fill(0);
  if (classes && y.dtype === "I64") for (const id of y.data) counts[Number(id)]!++;
  return {
    rows: rowsOf(x),
    shape: x.shape.slice(1),
    dtype: x.dtype === "F32" ? "float32" : "int64",
    range: rangeOf(x),
    label: dataset.label,
    columns: dataset.columns,
    classCount: counts.length,
    classes: (classes ?? []).slice(0, LISTED).map((name, id) => [name, counts[id]!] as const),
    values: classes ? null : rangeOf(y),
  };
}

/** Draw validation and test rows. Throws SHOAL-D12: too few rows for two in each part. */
export function split(dataset: Dataset, seed: number | bigint): Split {
  const rng = new Generator([seed, 1]);
  const order = rng.permutation(rowsOf(dataset.x));
  const groups = dataset.classes ? groupByClass(order, dataset.y) : [order];
  // Validation must fit into one chunk, with some room for rounding in every class.
  const bytes = dataset.x.data.byteLength + dataset.y.data.byteLength;
  const validation = Math.min(VALIDATION, (0.9 * CHUNK_BYTES) / bytes);
  const drawn: Uint32Array[][] = [[], [], []];
  for (const group of groups) {
    const [tests, validations] = shares(group.length, validation, dataset.classes ? 1 : PART_ROWS);
    drawn[0]!.push(group.subarray(0, tests));
    drawn[1]!.push(group.subarray(tests, tests + validations));
    drawn[2]!.push(group.subarray(tests + validations));
  }
  const [test, valid, train] = drawn.map((parts) => rng.shuffled(joined(parts)));
  if (Math.min(test!.length, valid!.length, train!.length) < PART_ROWS) {
    const found = `${order.length} rows${dataset.classes ? ` in ${groups.length} classes` : ""}`;
    throw new DataError(
      `${dataset.source} has ${found} (label "${dataset.label}"): too few for training, validation and test`,
      { code: "SHOAL-D12", hint: "each of the three needs at least 2 rows; 20 rows of every class are always enough" },
    );
  }
  const part = (rows: Uint32Array): Part => ({ x: take(dataset.x, rows), y: take(dataset.y, rows) });
  return { train: part(train!), validation: part(valid!), test: part(test!) };
}

/** Row numbers in one array for each class, the order within a class kept. */
export function groupByClass(rows: Uint32Array, y: Tensor): Uint32Array[] {
  const groups = new Map<number, number[]>();
  for (const row of rows) {
    const id = Number(y.data[row]);
    const group = groups.get(id);
    if (group) group.push(row);
    else groups.set(id, [row]);
  }
  return [...groups].sort(([a], [b]) => a - b).map(([, group]) => Uint32Array.from(group));
}

export function joined(parts: readonly Uint32Array[]): Uint32Array {
  const made = new Uint32Array(parts.reduce((total, part) => total + part.length, 0));
  let at = 0;
  for (const part of parts) {
    made.set(part, at);
    at += part.length;
  }
  return made;
}

// ------------------------------------------------------------ checks that all readers share

/** The data set itself, if it keeps what `Dataset` promises. Throws SHOAL-D06, D08, D11, D13, D16. */
export function checked(dataset: Dataset): Dataset {
  const { x, y, source } = dataset;
  if (!x.shape.length || !y.shape.length || rowsOf(x) !== rowsOf(y)) {
    throw new DataError(
      `${source}: x has shape [${x.shape.join(", ")}] and y [${y.shape.join(", ")}]: their first sizes, the rows, must be equal`,
      { code: "SHOAL-D16", hint: "give one target for each row" },
    );
  }
  checkSize(rowsOf(x), x.data.byteLength, source);
  if (!sizeOf(x.shape) || !sizeOf(y.shape)) {
    throw new DataError(`${source} is empty`, { code: "SHOAL-D06", hint: "a data set needs rows, and features beside the label" });
  }
  checkFinite(x, `${source}: x`);
  checkFinite(y, `${source}: label "${dataset.label}"`);
  const first = y.data[0];
  if (y.data.every((each: number | bigint) => each === first)) {
    const only = dataset.classes ? dataset.classes[Number(first)]! : String(first);
    throw new DataError(
      `${source}: the label "${dataset.label}" is "${only.slice(0, 40)}" in every row: there is nothing to learn`,
      { code: "SHOAL-D11", hint: "choose another label, or add rows of another label" },
    );
  }
  return dataset;
}

/** Refuse what would not fit into memory, best before it is read. Throws SHOAL-D13. */
export function checkSize(rows: number, bytes: number, source: string): void {
  if (rows > ROWS || bytes > BYTES) {
    throw new DataError(
      `${source} has ${rows.toLocaleString("en")} rows and ${bytes.toLocaleString("en")} bytes; at most ` +
        `${ROWS.toLocaleString("en")} rows and ${BYTES.toLocaleString("en")} bytes fit a browser tab`,
      { code: "SHOAL-D13", hint: "take a sample of the rows, or train from your own node, which takes more" },
    );
  }
}

function checkFinite(tensor: Tensor, where: string): void {
  if (tensor.dtype === "I64") return;
  const bad = tensor.data.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  const row = Math.floor(bad / sizeOf(tensor.shape.slice(1)));
  throw new DataError(`${where}, row ${row + 1} is ${tensor.data[bad]}`, {
    code: "SHOAL-D08",
    hint: "fill or drop rows with NaN, infinite numbers, or numbers too large for float32",
  });
}

// ------------------------------------------------------------ labels

const CLASS_HINT = 'for numbers to predict take the loss "mse"; for classes, label rows with whole numbers or names';

/** Class ids are the places of the sorted distinct labels. */
export function encodeTexts(labels: readonly string[], where: string): [Tensor, string[]] {
  const names = [...new Set(labels)].sort(byCodePoint);
  return [ids(labels, names, where), names];
}

/** Numbers as classes, sorted as numbers; `boolean` names them false and true. */
export function encodeNumbers(labels: ArrayLike<number | bigint>, where: string, boolean = false): [Tensor, string[]] {
  const list = Array.from(labels, (label, row) => {
    const whole = typeof label === "bigint" || (Number.isInteger(label) && Math.abs(label) <= 2 ** 53);
    if (!whole) {
      const code = Number.isFinite(label) ? "SHOAL-D09" : "SHOAL-D08";
      throw new DataError(`${where}, row ${row + 1} is ${label}: a class is a whole number or a name`, { code, hint: CLASS_HINT });
    }
    return BigInt(label);
  });
  const distinct = [...new Set(list)].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return [ids(list, distinct, where), distinct.map((id) => (boolean ? (id ? "true" : "false") : id.toString()))];
}

function ids<Label>(labels: readonly Label[], distinct: readonly Label[], where: string): Tensor {
  if (distinct.length > CLASSES) {
    const found = distinct.length.toLocaleString("en");
    throw new DataError(`${where} has ${found} different labels, at most ${CLASSES.toLocaleString("en")} classes are accepted`, {
      code: "SHOAL-D13",
      hint: 'is this the label column? Choose another, or the loss "mse" for numbers',
    });
  }
  const places = new Map(distinct.map((label, place) => [label, BigInt(place)]));
  return { dtype: "I64", shape: [labels.length], data: BigInt64Array.from(labels, (label) => places.get(label)!) };
}

/** Python's order of texts: by code points, where JavaScript compares UTF-16 units. */
function byCodePoint(a: string, b: string): number {
  const [left, right] = [[...a], [...b]];
  for (let at = 0; at < Math.min(left.length, right.length); at++) {
    const difference = left[at]!.codePointAt(0)! - right[at]!.codePointAt(0)!;
    if (difference) return difference;
  }
  return left.length - right.length;
}

function rangeOf(tensor: Tensor): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of tensor.data) {
    const number = Number(value);
    if (number < low) low = number;
    if (number > high) high = number;
  }
  return [low, high];
}

/** How many of a group's rows go to test and to validation; training gets what is rare first. */
function shares(rows: number, validation: number, floor: number): [number, number] {
  if (rows < 3 * floor) return [0, 0];
  return [Math.max(floor, evenly(rows * TEST)), Math.max(floor, evenly(rows * validation))];
}

/** Python's `round`: halves go to the even neighbour. */
function evenly(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}
