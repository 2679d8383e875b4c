// The numbers of a task that the contract enforces: consensus seconds, and prices in tinybar.

import type { Tinybar } from "./money";

export interface Plan {
  readonly chunks: number;
  readonly rounds: number;
  readonly seats: number;
  readonly minTrainers: number;
  readonly maxUnitPrice: Tinybar;
  readonly aggregatePrice: Tinybar;
  readonly stakePerSeat: Tinybar;
  readonly compensation: Tinybar;
  readonly noShowPenalty: Tinybar;
  readonly bidUntil: number;
  readonly awardUntil: number;
  readonly acceptUntil: number;
  readonly standbyUntil: number;
  readonly startUntil: number;
  readonly endBy: number;
  readonly window: number;
  readonly auditors: number;
  readonly auditPrice: Tinybar;
  readonly audits: number;
  readonly bond: Tinybar;
  readonly slash: Tinybar;
  readonly finderShare: number;
  readonly disputeTime: number;
}

/** The fields in the order of Solidity's struct; those that are money. */
export const PLAN_FIELDS = [
  "chunks", "rounds", "seats", "minTrainers", "maxUnitPrice", "aggregatePrice", "stakePerSeat", "compensation",
  "noShowPenalty", "bidUntil", "awardUntil", "acceptUntil", "standbyUntil", "startUntil", "endBy", "window", "auditors",
  "auditPrice", "audits", "bond", "slash", "finderShare", "disputeTime",
] as const satisfies readonly (keyof Plan)[];
const MONEY: ReadonlySet<keyof Plan> = new Set([
  "maxUnitPrice", "aggregatePrice", "stakePerSeat", "compensation", "noShowPenalty", "auditPrice", "bond", "slash",
]);

/** A plan from its values, in whatever form they came: JSON's numbers, the ABI's bigint. */
export function planOf(values: Readonly<Record<string, unknown>>): Plan {
  const made = PLAN_FIELDS.map((name) => {
    const value = values[name];
    if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "string") {
      throw new TypeError(`the plan's ${name} is missing`);
    }
    const whole = BigInt(value);
    if (whole < 0n) throw new RangeError(`the plan's ${name} is negative`);
    return [name, MONEY.has(name) ? whole : Number(whole)];
  });
  return Object.fromEntries(made) as unknown as Plan;
}

/**
 * The worst case, locked at creation: every unit at the ceiling, every aggregate, every audit, and the
 * compensation of every seat that may be left out at the start.
 */
export function escrow(plan: Plan): Tinybar {
  const units = BigInt(plan.chunks * plan.rounds) * plan.maxUnitPrice;
  const leftOut = BigInt(plan.seats - plan.minTrainers) * plan.compensation;
  return units + BigInt(plan.rounds) * plan.aggregatePrice + BigInt(plan.audits) * plan.auditPrice + leftOut;
}
