import { expect, it } from "vitest";

import { pauseMs, placed, type Told } from "./stream";

const told = (text: string): Told => ({ event: "round", at_s: 0, text });

it("puts events at their numbers and repeats none after a break", () => {
  const first = placed([], [
    { id: 0, told: told("a") },
    { id: 1, told: told("b") },
  ]);
  const again = placed(first, [
    { id: 1, told: told("b, told again") },
    { id: 2, told: told("c") },
  ]);
  expect(again.map((each) => each.text)).toEqual(["a", "b", "c"]);
});

it("does not change what was read before", () => {
  const first = placed([], [{ id: 0, told: told("a") }]);
  placed(first, [{ id: 1, told: told("b") }]);
  expect(first).toHaveLength(1);
});

it("waits longer after each failure, up to half a minute", () => {
  expect([1, 2, 3, 10].map(pauseMs)).toEqual([1000, 2000, 4000, 30_000]);
});
