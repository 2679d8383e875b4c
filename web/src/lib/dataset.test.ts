import { describe, expect, it } from "vitest";

import { imageShape, isClasses, TableReader, troublesOf, usualLabel } from "./dataset";

function table(head: string[], rows: string[][]) {
  const reader = new TableReader(head);
  for (const row of rows) reader.add(row);
  return reader.table();
}

describe("a table", () => {
  const rows = Array.from({ length: 20 }, (_, i) => [`${i / 2}`, "1", i % 2 ? "yes" : "no"]);

  it("takes the label that the node takes", () => {
    expect(usualLabel(table(["a", "Target", "b"], []))).toBe("Target");
    expect(usualLabel(table(["a", "b"], []))).toBe("b");
    expect(usualLabel(table(["y", "label"], []))).toBe("label");
  });

  it("tells classes from numbers", () => {
    const found = table(["x", "same", "answer"], rows);
    expect(found.columns.map(isClasses)).toEqual([false, false, true]);
    const ids = table(["id"], Array.from({ length: 300 }, (_, i) => [`${i}`]));
    expect(isClasses(ids.columns[0]!)).toBe(false);
  });

  it("names the row of what cannot be trained on", () => {
    const found = table(["x", "note", "y"], [...rows.slice(0, 10).map(([x]) => [x!, "2", "1"]), ["", "red", "0"], ["4", "NA", "1"]]);
    expect(troublesOf(found, "y").map((each) => each.text)).toEqual([
      "x: 1 cell is empty, the first in row 11",
      "note: 1 cell is empty, the first in row 12",
      "note: 1 cell is no number, the first in row 11. Remove the column, or turn it into numbers",
    ]);
  });

  it("only warns of a column that teaches nothing", () => {
    expect(troublesOf(table(["x", "same", "answer"], rows), "answer")).toEqual([{ text: "same has the same value everywhere and teaches nothing", fatal: false }]);
  });
});

describe("an image", () => {
  it("tells its shape", () => {
    const png = new Uint8Array(33);
    new DataView(png.buffer).setUint32(0, 0x89504e47);
    new DataView(png.buffer).setUint32(16, 28);
    new DataView(png.buffer).setUint32(20, 14);
    expect(imageShape(png)).toEqual({ width: 28, height: 14, channels: 1 });
    const jpeg = new Uint8Array([0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xc0, 0, 11, 8, 0, 32, 0, 48, 3, 1]);
    expect(imageShape(jpeg)).toEqual({ width: 48, height: 32, channels: 3 });
  });

  it("is not guessed where bytes do not tell", () => {
    expect(imageShape(new Uint8Array([1, 2, 3, 4]))).toBeNull();
    expect(imageShape(new Uint8Array([0xff, 0xd8, 0xff]))).toBeNull();
  });
});
