import { describe, expect, it } from "vitest";

import * as money from "./money";

const { parseHbar } = money;
const plain = (text: string) => text.replaceAll("\u00a0", " ");
const hbar = (...of: Parameters<typeof money.hbar>) => plain(money.hbar(...of));
const short = (amount: number) => plain(money.short(amount));

describe("money", () => {
  it("is exact to the tinybar", () => {
    expect(hbar(123_456_789)).toBe("1.23456789 ℏ");
    expect(hbar(1)).toBe("0.00000001 ℏ");
    expect(hbar(-250_000_000)).toBe("−2.5 ℏ");
    expect(hbar(0)).toBe("0 ℏ");
    expect(hbar(1_234_567 * 100_000_000)).toBe("1 234 567 ℏ");
    expect(hbar(5, { sign: true })).toBe("+0.00000005 ℏ");
  });

  it("is short where a glance is enough", () => {
    expect(short(123_456_789)).toBe("1.235 ℏ");
    expect(short(-50_000_000)).toBe("−0.5 ℏ");
    expect(short(120)).toBe("0.0000012 ℏ");
    expect(short(0)).toBe("0 ℏ");
  });

  it("is read as people type it, and refused where it is no amount", () => {
    expect(parseHbar("2.5")).toBe(250_000_000);
    expect(parseHbar(" 3,00000001 ℏ")).toBe(300_000_001);
    expect(parseHbar("0.000000001")).toBeNull();
    expect(parseHbar("-1")).toBeNull();
    expect(parseHbar("")).toBeNull();
  });

  it("comes back as it was typed", () => {
    for (const amount of [0, 1, 99_999_999, 100_000_000, 123_456_789_012]) {
      expect(parseHbar(hbar(amount).replaceAll(" ", ""))).toBe(amount);
    }
  });
});
