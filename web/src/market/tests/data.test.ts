import { createHash } from "node:crypto";

import { describe, expect, it } from "vitest";

import { fromHex } from "../bytes";
import { chunkFile, cut, fewestChunks, fitting, sealChunk } from "../chunks";
import { readCsv } from "../csv";
import { type Dataset, type Target, describe as described, split } from "../dataset";
import { DataError } from "../errors";
import { readNpz } from "../npz";
import { Generator } from "../random";
import { open } from "../seal";
import { readHeader, rowsOf } from "../tensor";
import { type Json, vectors } from "./vectors";

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");

function load(each: Json): Dataset {
  const read = each.name.endsWith(".npz") ? readNpz : readCsv;
  return read(fromHex(each.content), each.name, each.label, each.target as Target);
}

describe("random rows", () => {
  it.each(vectors("permutations") as Json[])("are NumPy's for seed $seed", ({ seed, drawn, thousand }) => {
    const rng = new Generator((seed as string[]).map(BigInt));
    for (const expected of (drawn as number[][]).slice(0, 3)) expect([...rng.permutation(expected.length)]).toEqual(expected);
    const large = rng.permutation(1_000);
    expect(sha256(new Uint8Array(large.buffer))).toBe(thousand);
    expect([...rng.shuffled(large.filter((_, index) => index % 7 === 0))]).toEqual(drawn[3]);
  });
});

describe("data sets", () => {
  it.each(vectors("datasets") as Json[])("$name is read, split and cut to the byte as in Python", async (each) => {
    const dataset = load(each);
    const found = described(dataset);
    const expected = each.description;
    expect([found.rows, found.shape, found.dtype, found.label]).toEqual([
      expected.rows, expected.shape, expected.dtype, expected.label,
    ]);
    expect(found.range).toEqual(expected.range);
    if (expected.classes) expect(Object.fromEntries(found.classes)).toEqual(expected.classes);
    else if (expected.values.length && !found.classCount) expect(found.values).toEqual(expected.values);
    const parts = split(dataset, each.seed);
    const pieces = cut(parts.train, 3, each.seed);
    const files: Record<string, string> = {
      validation: sha256(chunkFile(parts.validation)),
      test: sha256(chunkFile(parts.test)),
    };
    for (const [index, piece] of pieces.entries()) files[`chunk-${index}`] = sha256(chunkFile(piece));
    expect(files).toEqual(each.files);
    expect(fewestChunks(parts.train)).toBe(1);
    expect(fitting(parts.validation)).toBe(parts.validation);
    const sealed = await sealChunk(pieces[0]!);
    const plain = await open(sealed.cipher, sealed.identity);
    expect(sha256(plain)).toBe(each.files["chunk-0"]);
    expect(readHeader(plain)["x"]!.shape[0]).toBe(rowsOf(pieces[0]!.x));
  });

  it.each(vectors("refusals") as Json[])("refuses: $name", ({ content, label, target, code, message }) => {
    let error: unknown;
    try {
      split(readCsv(new TextEncoder().encode(content as string), "data.csv", label, target), 0);
    } catch (caught) {
      error = caught;
    }
    expect(error).toBeInstanceOf(DataError);
    expect((error as DataError).code).toBe(code);
    const place = /column '[^']*', row [0-9]+|row [0-9]+ has [0-9]+ cells/.exec(message as string)?.[0];
    if (place) expect((error as DataError).message).toContain(place.replaceAll("'", '"'));
    expect((error as DataError).hint).not.toBe("");
  });

  it("refuses broken NPZ files and foreign arrays", () => {
    const good = fromHex(vectors("datasets").find((each: Json) => each.name === "floats.npz").content);
    for (const bad of [new Uint8Array(), good.slice(0, good.length - 30), new TextEncoder().encode("not a zip at all, nowhere")]) {
      expect(() => readNpz(bad, "bad.npz", null, "classes")).toThrow(DataError);
    }
    expect(() => readNpz(good, "good.npz", "z", "classes")).toThrow(/no array/);
  });
});
