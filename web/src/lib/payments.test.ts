import { expect, it } from "vitest";

import type { Movement } from "../api/client";
import { accountOf, linesOf, totalsOf } from "./payments";

const move = (transaction: string, payer: string, fee: number, transfers: Record<string, number>): Movement => ({
  transaction, payer, fee_tinybar: fee, transfers, at: 0, name: "CRYPTOTRANSFER", result: "SUCCESS",
});

const movements = [
  move("a", "0.0.2", 5, { "0.0.2": -1005, "0.0.9": 1000, "0.0.98": 5 }),
  move("b", "0.0.9", 7, { "0.0.9": -307, "0.0.50": 300, "0.0.98": 7 }),
  move("c", "0.0.60", 2, { "0.0.60": -2, "0.0.50": -120, "0.0.9": 120, "0.0.98": 2 }),
];

it("finds whose movements they are", () => {
  expect(accountOf(movements)).toBe("0.0.9");
  expect(accountOf([])).toBeNull();
});

it("adds up to the tinybar", () => {
  const lines = linesOf(movements, "0.0.9");
  expect(lines.map((line) => line.balance)).toEqual([1000, 693, 813]);
  const { received, paid, fees, balance } = totalsOf(lines);
  expect({ received, paid, fees, balance }).toEqual({ received: 1120, paid: 300, fees: 7, balance: 813 });
  expect(received - paid - fees).toBe(balance);
});

it("charges a fee only to whoever paid it, and names the other side", () => {
  const lines = linesOf(movements, "0.0.9");
  expect(lines.map((line) => [line.fee, line.net, line.others])).toEqual([
    [0, 1000, ["0.0.2"]],
    [7, -300, ["0.0.50"]],
    [0, 120, ["0.0.60", "0.0.50"]],
  ]);
});
