/** What a data set looks like, found in the browser before anything is sent; the node examines it again, and strictly. */

export interface Column {
  name: string;
  /** Cells that are no numbers, and the row of the first; rows count from 1 below the head, as the node counts. */
  texts: number;
  firstText: number;
  missing: number;
  firstMissing: number;
  minimum: number;
  maximum: number;
  whole: boolean;
  /** Distinct values with their counts, as long as there are few. */
  values: Map<string, number> | null;
}

export interface Table {
  kind: "table";
  rows: number;
  columns: Column[];
}

export interface Images {
  kind: "images";
  files: number;
  classes: Map<string, number>;
  width: number;
  height: number;
  channels: number;
}

/** A file that only the node can look into. */
export interface Opaque {
  kind: "opaque";
  bytes: number;
}

export type Described = Table | Images | Opaque;

const DISTINCT = 200;
const MISSING = new Set(["", "na", "n/a", "nan", "null", "none", "#n/a"]);
const LABELS = ["label", "target", "class", "y"];

/** Takes rows one by one, so that a table of any length is described in little memory. */
export class TableReader {
  readonly columns: Column[];
  rows = 0;

  constructor(names: readonly string[]) {
    this.columns = names.map((name) => ({
      name, texts: 0, firstText: 0, missing: 0, firstMissing: 0, minimum: Infinity, maximum: -Infinity, whole: true, values: new Map(),
    }));
  }

  add(cells: readonly string[]): void {
    this.rows += 1;
    this.columns.forEach((column, index) => take(column, cells[index] ?? "", this.rows));
  }

  table(): Table {
    return { kind: "table", rows: this.rows, columns: this.columns };
  }
}

function take(column: Column, cell: string, row: number): void {
  const text = cell.trim();
  if (MISSING.has(text.toLowerCase())) {
    column.missing += 1;
    column.firstMissing ||= row;
    return;
  }
  const value = Number(text);
  if (Number.isNaN(value)) {
    column.texts += 1;
    column.firstText ||= row;
    column.whole = false;
  } else {
    column.minimum = Math.min(column.minimum, value);
    column.maximum = Math.max(column.maximum, value);
    column.whole &&= Number.isInteger(value);
  }
  if (!column.values) return;
  column.values.set(text, (column.values.get(text) ?? 0) + 1);
  if (column.values.size > DISTINCT) column.values = null;
}

/** The column that the node would take as the label, by the same rule: one called label, target, class or y, else the last. */
export function usualLabel(table: Table): string {
  const names = table.columns.map((each) => each.name.toLowerCase());
  const found = LABELS.map((name) => names.indexOf(name)).find((index) => index >= 0);
  return table.columns[found ?? table.columns.length - 1]?.name ?? "";
}

/** Whether a label names classes; else it is a number to be predicted. */
export function isClasses(column: Column): boolean {
  return column.values !== null && column.values.size >= 2 && (column.texts > 0 || (column.whole && column.values.size <= 50));
}

export interface Trouble {
  text: string;
  /** Whether the node would refuse the data for it. */
  fatal: boolean;
}

/** What stands against training on a table with this label. */
export function troublesOf(table: Table, label: string): Trouble[] {
  const found: Trouble[] = [];
  if (table.rows < 10) found.push({ text: `${table.rows} rows are too few to train on`, fatal: true });
  for (const column of table.columns) {
    if (column.missing) found.push({ text: `${column.name}: ${column.missing} ${column.missing === 1 ? "cell is" : "cells are"} empty, the first in row ${column.firstMissing}`, fatal: true });
    if (column.name !== label && column.texts) {
      found.push({ text: `${column.name}: ${column.texts} ${column.texts === 1 ? "cell is" : "cells are"} no number, the first in row ${column.firstText}. Remove the column, or turn it into numbers`, fatal: true });
    } else if (column.name !== label && column.minimum === column.maximum) {
      found.push({ text: `${column.name} has the same value everywhere and teaches nothing`, fatal: false });
    }
  }
  return found;
}

/** Width, height and channels of a PNG or JPEG, from its first bytes; null where these do not tell. */
export function imageShape(bytes: Uint8Array): { width: number; height: number; channels: number } | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length >= 26 && view.getUint32(0) === 0x89504e47) {
    const colour = bytes[25]!;
    const channels = { 0: 1, 2: 3, 3: 3, 6: 4 }[colour];
    return channels ? { width: view.getUint32(16), height: view.getUint32(20), channels } : null;
  }
  if (bytes.length >= 4 && view.getUint16(0) === 0xffd8) {
    let at = 2;
    while (at + 9 < bytes.length && bytes[at] === 0xff) {
      const marker = bytes[at + 1]!;
      // Every start of frame but the tables (C4), JPG (C8) and arithmetic coding (CC).
      if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
        return { height: view.getUint16(at + 5), width: view.getUint16(at + 7), channels: bytes[at + 9]! };
      }
      at += 2 + view.getUint16(at + 2);
    }
  }
  return null;
}
