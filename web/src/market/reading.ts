// Reading a dropped file: which kind it is, and what is in it. Runs in a worker, or where there is none, here.

import { readCsv } from "./csv";
import { type Dataset, type Description, type Target, checkSize, describe } from "./dataset";
import { DataError } from "./errors";
import { readNpz } from "./npz";

export interface ReadOptions {
  /** The label column, or the array of targets; null takes one with a usual name. */
  readonly label: string | null;
  readonly target: Target;
}

export interface Found {
  readonly dataset: Dataset;
  readonly description: Description;
}

/** Read a file. Throws DataError: what is wrong, in which column and row, and what to do. */
export async function readFile(file: Blob, name: string, options: ReadOptions): Promise<Found> {
  const kind = /\.([a-z0-9]+)$/i.exec(name)?.[1]?.toLowerCase();
  if (kind !== "csv" && kind !== "npz") {
    const hint = "give a .csv or .npz file; Parquet and folders of images go through your own node";
    throw new DataError(`${name} is of no kind that a browser reads`, { code: "SHOAL-D02", hint });
  }
  checkSize(0, file.size, name);
  const data = new Uint8Array(await file.arrayBuffer());
  const dataset = (kind === "csv" ? readCsv : readNpz)(data, name, options.label, options.target);
  return { dataset, description: describe(dataset) };
}
