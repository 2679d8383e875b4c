/** Reading what was dropped: a table is read to its end, of images the names and one head, of the rest the size. */

import Papa from "papaparse";

import { type Described, type Images, imageShape, TableReader } from "../../lib/dataset";

const IMAGE = /\.(png|jpe?g|bmp)$/i;
export const ACCEPTED = ".csv,.parquet,.npz,.zip";

export interface Dropped {
  name: string;
  /** One table, or the images of a folder with their paths below it. */
  files: { path: string; file: File }[];
  described: Described;
}

/**
 * What was chosen or dropped, described.
 *
 * Raises: an Error that says what is wrong, in words for people.
 */
export async function read(files: { path: string; file: File }[]): Promise<Dropped> {
  const images = files.filter((each) => IMAGE.test(each.path));
  const first = files[0];
  if (!first) throw new Error("There is no file in it.");
  if (images.length) return { name: (first.path.split("/")[0] || "images").replace(IMAGE, ""), files: images, described: await describeImages(images) };
  if (files.length > 1) throw new Error("Choose one table, or a folder that has a folder of images for each class.");
  const { file } = first;
  if (/\.csv$/i.test(file.name)) return { name: file.name, files, described: await describeCsv(file) };
  if (/\.(parquet|npz)$/i.test(file.name)) return { name: file.name, files, described: { kind: "opaque", bytes: file.size } };
  throw new Error(`${file.name} is none of CSV, Parquet, NPZ, or a folder of images.`);
}

function describeCsv(file: File): Promise<Described> {
  return new Promise((resolve, reject) => {
    let reader: TableReader | null = null;
    Papa.parse<string[]>(file, {
      skipEmptyLines: true,
      chunk: (results, parser) => {
        for (const row of results.data) {
          if (!reader) reader = new TableReader(row.map((name) => name.replace(/^﻿/, "")));
          else if (row.length === reader.columns.length) reader.add(row);
          else {
            reject(new Error(`Row ${reader.rows + 1} has ${row.length} cells, the first line has ${reader.columns.length}.`));
            parser.abort();
            return;
          }
        }
      },
      complete: () => (reader ? resolve(reader.table()) : reject(new Error(`${file.name} is empty: its first line must name the columns.`))),
      error: (error) => reject(error),
    });
  });
}

async function describeImages(images: { path: string; file: File }[]): Promise<Images> {
  const classes = new Map<string, number>();
  for (const { path } of images) {
    const parts = path.split("/");
    if (parts.length < 2) throw new Error("Images lie in folders, one for each class: choose the folder that holds these.");
    const name = parts.at(-2)!;
    classes.set(name, (classes.get(name) ?? 0) + 1);
  }
  const shape = imageShape(new Uint8Array(await images[0]!.file.slice(0, 65_536).arrayBuffer()));
  if (!shape) throw new Error(`${images[0]!.path} cannot be read as PNG or JPEG.`);
  return { kind: "images", files: images.length, classes, ...shape };
}

/** Everything below what was dropped on the page, folders included. */
export async function dropped(transfer: DataTransfer): Promise<{ path: string; file: File }[]> {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  return (await Promise.all(entries.map((entry) => below(entry, "")))).flat();
}

async function below(entry: FileSystemEntry, place: string): Promise<{ path: string; file: File }[]> {
  if (entry.name.startsWith(".")) return [];
  const path = place + entry.name;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    return [{ path, file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const all: FileSystemEntry[] = [];
  for (;;) {
    // A folder is read in pieces, until one is empty.
    const piece = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!piece.length) break;
    all.push(...piece);
  }
  return (await Promise.all(all.map((each) => below(each, `${path}/`)))).flat();
}
