// A CSV file as a data set: one label column, and features that are all numbers. As `src/shoal/learn/tables.py`.

import Papa from "papaparse";

import { type Dataset, type Target, checkSize, checked, encodeNumbers, encodeTexts } from "./dataset";
import { DataError } from "./errors";
import type { Tensor } from "./tensor";

const LABELS = ["label", "target", "class", "y"];
const DELIMITERS = [",", ";", "\t"];
const COLUMNS = 4_096;
const SHOWN = 40;
/** Cells that pyarrow takes for missing. */
const MISSING = new Set([
  "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "N/A", "NA", "NULL",
  "NaN", "n/a", "nan", "null",
]);
const NUMBER = /^\s*[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf(?:inity)?)\s*$/i;
const TRUE = new Set(["True", "TRUE", "true"]);
const FALSE = new Set(["False", "FALSE", "false"]);

/** Read a CSV file whose first line names the columns. Rows in errors are counted from 1 below that line. */
export function readCsv(file: Uint8Array, source: string, label: string | null, target: Target): Dataset {
  checkSize(0, file.length, source);
  const text = decoded(file, source);
  const first = text.slice(0, text.search(/\r|\n|$/));
  if (!first.trim()) {
    throw new DataError(`${source} is empty`, { code: "SHOAL-D06", hint: "its first line must name the columns" });
  }
  const count = (delimiter: string): number => first.split(delimiter).length;
  const delimiter = DELIMITERS.reduce((best, each) => (count(each) > count(best) ? each : best));
  const builder = new Builder(source, label);
  Papa.parse<string[]>(text, {
    delimiter,
    skipEmptyLines: true,
    step: ({ data, errors }) => {
      const [error] = errors;
      if (error) throw damaged(source, `row ${builder.rows + 1}: ${error.message}`);
      builder.take(data);
    },
  });
  return builder.finish(target);
}

function decoded(file: Uint8Array, source: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(file);
  } catch {
    throw damaged(source, "it is not text in UTF-8");
  }
}

const damaged = (source: string, what: string): DataError =>
  new DataError(`${source} cannot be read as CSV: ${what}`, {
    code: "SHOAL-D04",
    hint: "save it as CSV in UTF-8, the names of the columns in the first line and as many cells in every row",
  });

/** What is wrong with a cell, and where. */
interface Cell {
  readonly row: number;
  readonly text: string;
}

/** One column of numbers as it grows, and the first cells that are none. */
class Column {
  numbers = new Float64Array(1024);
  missing = 0;
  firstMissing = 0;
  odd: Cell | null = null;
  firstWord: Cell | null = null;
  firstNoBit: Cell | null = null;

  take(text: string, row: number): void {
    if (row > this.numbers.length) {
      const grown = new Float64Array(2 * this.numbers.length);
      grown.set(this.numbers);
      this.numbers = grown;
    }
    if (MISSING.has(text)) {
      this.missing++;
      this.firstMissing ||= row;
    } else if (TRUE.has(text) || FALSE.has(text)) {
      this.firstWord ??= { row, text };
      this.numbers[row - 1] = TRUE.has(text) ? 1 : 0;
    } else if (NUMBER.test(text)) {
      if (text !== "0" && text !== "1") this.firstNoBit ??= { row, text };
      this.numbers[row - 1] = numberOf(text);
    } else this.odd ??= { row, text };
  }

  /** The first cell that is no number: words like `true` are, where nothing but 0 and 1 stands beside them. */
  get bad(): Cell | null {
    const word = this.firstNoBit || this.odd ? this.firstWord : null;
    if (!word || !this.odd) return this.odd ?? word;
    return word.row < this.odd.row ? word : this.odd;
  }
}

function numberOf(text: string): number {
  const trimmed = text.trim();
  return /inf/i.test(trimmed) ? (trimmed.startsWith("-") ? -Infinity : Infinity) : Number(trimmed);
}

class Builder {
  rows = 0;
  #names: string[] = [];
  #at = -1;
  #columns: Column[] = [];
  #labels: string[] = [];

  constructor(
    readonly source: string,
    readonly label: string | null,
  ) {}

  take(cells: string[]): void {
    if (this.#at < 0) return this.#header(cells);
    if (cells.length !== this.#names.length) {
      throw damaged(this.source, `row ${this.rows + 1} has ${cells.length} cells, the first line ${this.#names.length}`);
    }
    this.rows++;
    for (const [index, text] of cells.entries()) {
      this.#columns[index]!.take(text, this.rows);
      if (index === this.#at) this.#labels.push(text);
    }
  }

  #header(names: string[]): void {
    checkHeader(names, this.source);
    checkNames(names, this.source);
    this.#names = names;
    this.#at = names.indexOf(labelName(names, this.label, this.source));
    this.#columns = names.map(() => new Column());
    if (names.length - 1 > COLUMNS) {
      throw new DataError(`${this.source} has ${names.length - 1} columns, at most ${COLUMNS} are accepted`, {
        code: "SHOAL-D13",
        hint: "save wide data, such as images, as NPZ",
      });
    }
  }

  finish(target: Target): Dataset {
    const features = this.#names.map((_, index) => index).filter((index) => index !== this.#at);
    const name = this.#names[this.#at] ?? "";
    if (!this.rows || !features.length) {
      throw new DataError(
        `${this.source} has ${this.rows} rows and ${features.length} columns beside the label "${name}"`,
        { code: "SHOAL-D06", hint: "a data set needs rows, and features beside the label" },
      );
    }
    const width = features.length;
    checkSize(this.rows, this.rows * width * 4, this.source);
    const data = new Float32Array(this.rows * width);
    for (const [place, index] of features.entries()) {
      const numbers = this.#numbers(index, false);
      for (let row = 0; row < this.rows; row++) {
        const value = (data[row * width + place] = numbers[row]!);
        if (!Number.isFinite(Math.fround(value))) throw this.#wrong(index, row + 1, `is ${Math.fround(value)}`, "SHOAL-D08");
      }
    }
    const [y, classes] = this.#targets(target);
    return checked({
      x: { dtype: "F32", shape: [this.rows, width], data },
      y,
      classes,
      label: name,
      columns: features.map((index) => this.#names[index]!),
      source: this.source,
    });
  }

  #targets(target: Target): [Tensor, string[] | null] {
    const column = this.#columns[this.#at]!;
    const where = `${this.source}: column "${this.#names[this.#at]}"`;
    if (target === "values") {
      const data = Float32Array.from(this.#numbers(this.#at, true));
      return [{ dtype: "F32", shape: [this.rows], data }, null];
    }
    this.#refuseMissing(this.#at);
    if (column.bad) return encodeTexts(this.#labels, where);
    return encodeNumbers(column.numbers.subarray(0, this.rows), where, column.firstWord !== null);
  }

  #numbers(index: number, label: boolean): Float64Array {
    this.#refuseMissing(index);
    const column = this.#columns[index]!;
    if (column.bad) {
      const { row, text } = column.bad;
      throw this.#wrong(index, row, `is "${text.slice(0, SHOWN)}", not a number`, label ? "SHOAL-D09" : "SHOAL-D07");
    }
    return column.numbers.subarray(0, this.rows);
  }

  #refuseMissing(index: number): void {
    const { missing, firstMissing } = this.#columns[index]!;
    if (missing) throw this.#wrong(index, firstMissing, `is missing (${missing} missing in this column)`, "SHOAL-D03");
  }

  #wrong(index: number, row: number, what: string, code: keyof typeof HINTS): DataError {
    return new DataError(`${this.source}: column "${this.#names[index]}", row ${row} ${what}`, { code, hint: HINTS[code] });
  }
}

const HINTS = {
  "SHOAL-D03": "fill in the cells that are empty, NA or null, or drop their rows",
  "SHOAL-D07": "write the feature as numbers (one column of 0 and 1 for each of a few names), or drop the column",
  "SHOAL-D08": "fill or drop rows with NaN, infinite numbers, or numbers too large for float32",
  "SHOAL-D09": 'for classes take the loss "cross_entropy"',
};

/** The label column among some names: the one that is asked for, one with a usual name, else the last. */
function labelName(names: readonly string[], label: string | null, source: string): string {
  if (label === null) {
    const lowered = names.map((name) => name.toLowerCase());
    const usual = LABELS.map((name) => lowered.indexOf(name)).find((at) => at >= 0);
    return names[usual ?? names.length - 1]!;
  }
  if (names.includes(label)) return label;
  throw new DataError(`${source} has no column "${label.slice(0, SHOWN)}"; it has ${names.slice(0, 20).join(", ")}`, {
    code: "SHOAL-D05",
    hint: "choose one of them as the label",
  });
}

function checkNames(names: readonly string[], source: string): void {
  for (const [index, name] of names.entries()) {
    const again = names.indexOf(name) < index;
    if (name.trim() && !again) continue;
    throw new DataError(`${source}: column ${index + 1} has ${again ? `the name "${name}" again` : "no name"}`, {
      code: "SHOAL-D10",
      hint: "name every column once; pandas saves its row numbers as a nameless column unless index=False",
    });
  }
}

/** A file that starts with data would lose its first row; pandas' own names 0, 1, 2... are names. */
function checkHeader(names: readonly string[], source: string): void {
  const numbers = names.map((name) => (NUMBER.test(name) ? numberOf(name) : null));
  const counted = numbers.every((number, index) => number === index);
  const all = numbers.every((number) => number !== null) && !counted;
  const fractions = numbers.filter((number) => number !== null && !Number.isInteger(number)).length;
  if (all || 2 * fractions > names.length) {
    throw new DataError(`${source}: the first line holds numbers (${names.join(", ").slice(0, SHOWN)})`, {
      code: "SHOAL-D10",
      hint: "put a first line above it that names the columns",
    });
  }
}
