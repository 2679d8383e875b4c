/** Money: integers in tinybar, 10^8 to one HBAR, as people read them. */

export const TINYBAR = 100_000_000;
/** The sign of HBAR. */
export const HBAR = "ℏ";
const SPACE = "\u00a0";

/**
 * An amount in HBAR, exact to the tinybar, without zeros at its end.
 *
 * `hbar(123_456_789)` is `1.23456789 ℏ`.
 */
export function hbar(tinybar: number, { sign = false }: { sign?: boolean } = {}): string {
  const whole = Math.trunc(Math.abs(tinybar) / TINYBAR);
  const rest = Math.abs(tinybar) % TINYBAR;
  const decimals = rest.toString().padStart(8, "0").replace(/0+$/, "");
  const before = tinybar < 0 ? "−" : sign && tinybar > 0 ? "+" : "";
  return `${before}${grouped(whole)}${decimals ? `.${decimals}` : ""}${SPACE}${HBAR}`;
}

/** The same rounded to what matters at a glance: four significant digits. `short(123_456_789)` is `1.235 ℏ`. */
export function short(tinybar: number): string {
  const value = tinybar / TINYBAR;
  const size = Math.abs(value);
  if (size === 0) return `0${SPACE}${HBAR}`;
  const digits = size >= 1000 ? 0 : size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;
  const text = size < 0.0001 ? value.toPrecision(2) : value.toFixed(digits);
  const plain = size < 0.0001 ? Number(text).toFixed(8) : text;
  const [whole = "0", decimals = ""] = plain.split(".");
  const kept = decimals.replace(/0+$/, "");
  return `${whole.startsWith("-") ? "−" : ""}${grouped(Math.abs(Number(whole)))}${kept ? `.${kept}` : ""}${SPACE}${HBAR}`;
}

/** What somebody typed as HBAR, in tinybar; null if it is no amount, or finer than a tinybar. */
export function parseHbar(text: string): number | null {
  const found = /^\s*(\d{1,9})(?:[.,](\d{1,8}))?\s*(?:ℏ|hbar)?\s*$/i.exec(text);
  if (!found) return null;
  return Number(found[1]) * TINYBAR + Number((found[2] ?? "").padEnd(8, "0"));
}

export function usd(value: number): string {
  return `$${value >= 1 ? value.toFixed(2) : value.toPrecision(2)}`;
}

function grouped(whole: number): string {
  return whole.toString().replace(/\B(?=(\d{3})+$)/g, SPACE);
}
