import { expect, it } from "vitest";

import { ago, clock, span } from "./time";

it.each([
  [0.44, "0.4 s"],
  [12.4, "12 s"],
  [59.7, "1 min"],
  [200, "3 min 20 s"],
  [7500, "2 h 5 min"],
  [3 * 86_400 + 5, "3 days"],
  [-3, "0 s"],
])("%f seconds is %s", (seconds, text) => {
  expect(span(seconds)).toBe(text);
});

it("tells how long ago, and never from the future", () => {
  expect(ago(100, 100.5)).toBe("just now");
  expect(ago(100, 90)).toBe("just now");
  expect(ago(100, 160)).toBe("1 min ago");
});

it("counts time into a task", () => {
  expect([clock(7), clock(200), clock(3729)]).toEqual(["0:07", "3:20", "1:02:09"]);
});
