// What Hedera charges at most for what a tab sends: the fee schedule (HIP-1261) in tinycents, and the exchange rate.

export const CALL_GAS = 450_000;
/** Of calls that write a plan, or that concern a whole jury. */
export const LARGE_GAS = 1_200_000;
const GAS_TINYCENTS = 852n;
const TOPIC = 99_000_000n;
const MESSAGE = 7_000_000n;
const MESSAGE_BYTE = 6_800n;
const PROCESSING = 1_000_000n;
const PROCESSING_BYTE = 100_000n;
const TRANSFER = 10_000_000n;
/** A cap is this many times what is expected: the rate moves. */
const MARGIN = 3n;

/** The network's exchange rate: `cents` US cents are worth `hbars` HBAR. */
export interface Rate {
  readonly cents: bigint;
  readonly hbars: bigint;
}

export type Kind = "topic" | "message" | "transfer" | { readonly gas: number };

/** The most that one transaction may cost, in tinybar. */
export function feeCap(kind: Kind, rate: Rate): bigint {
  const tinycents = MARGIN * cost(kind);
  return (tinycents * rate.hbars + rate.cents - 1n) / rate.cents;
}

function cost(kind: Kind): bigint {
  if (kind === "topic") return TOPIC + PROCESSING;
  if (kind === "message") return MESSAGE + 1_024n * MESSAGE_BYTE + PROCESSING + PROCESSING_BYTE;
  if (kind === "transfer") return TRANSFER + PROCESSING;
  return BigInt(kind.gas) * GAS_TINYCENTS;
}
