// Money: whole tinybar in bigint, 10^8 to one HBAR, and how people read and write them.

/** The only unit of money in code. */
export type Tinybar = bigint;

export const TINYBAR_PER_HBAR = 100_000_000n;
export const TOTAL_SUPPLY = 50_000_000_000n * TINYBAR_PER_HBAR;

/** Read an amount in HBAR, exactly: `1.5`, `5 hbar`. Throws RangeError on anything that is not one. */
export function parseHbar(text: string): Tinybar {
  const cleaned = text.trim().toLowerCase().replace(/(hbar|ℏ)$/, "").trim();
  const match = /^\+?(?:([0-9]+)\.?([0-9]*)|\.([0-9]+))$/.exec(cleaned);
  if (!match) throw new RangeError(`"${text}" is not a positive amount in HBAR`);
  const decimals = (match[2] ?? match[3] ?? "").replace(/0+$/, "");
  if (decimals.length > 8) {
    throw new RangeError(`"${text}" has more than 8 decimals: one tinybar is 0.00000001 HBAR`);
  }
  const amount = BigInt(match[1] ?? 0) * TINYBAR_PER_HBAR + BigInt(decimals.padEnd(8, "0"));
  if (amount > TOTAL_SUPPLY) throw new RangeError(`"${text}" is more HBAR than exist`);
  return amount;
}

/** Write an amount for people, exactly and without trailing zeros: `1,234.5 ℏ`. */
export function formatHbar(tinybar: Tinybar): string {
  const size = tinybar < 0n ? -tinybar : tinybar;
  const whole = (size / TINYBAR_PER_HBAR).toString().replace(/\B(?=(\d{3})+$)/g, ",");
  const decimals = (size % TINYBAR_PER_HBAR).toString().padStart(8, "0").replace(/0+$/, "");
  return `${tinybar < 0n ? "-" : ""}${whole}${decimals && `.${decimals}`} ℏ`;
}
