/** What this machine does for others and has earned; nodes that do not train have no such resource. */

import { queryOptions } from "@tanstack/react-query";

import { optional } from "./client";
import { send } from "./transport";

export interface EarningTotal {
  earned_tinybar: number;
  penalties_tinybar: number;
  fees_tinybar: number;
  profit_tinybar: number;
}

export interface EarningLine {
  at: number;
  transaction: string;
  kind: string;
  what: string;
  task_id: string | null;
  earned_tinybar: number;
  penalty_tinybar: number;
  fee_tinybar: number;
  net_tinybar: number;
}

/** What `shoal earn` says of itself: whether it works, why or why not, and what would change it. */
export interface EarnState {
  state: string;
  why: string;
  until: string;
  obstacles: { name: string; why: string; until: string }[];
  seats: number;
  /** How it knows that somebody is at the machine. */
  touch_seen_by?: string;
  since: number;
  at: number;
  [setting: string]: unknown;
}

export interface Earnings {
  account: string;
  state: EarnState | null;
  read_at: number;
  withdrawable_tinybar: number;
  stake_tinybar: number;
  today: EarningTotal;
  days_7: EarningTotal;
  days_30: EarningTotal;
  items: EarningLine[];
}

export const earnings = queryOptions({
  queryKey: ["earnings"],
  queryFn: ({ signal }) => optional<Earnings>("/api/v1/earnings", signal),
  refetchInterval: (query) => (query.state.data ? 5000 : false),
});

/** Pause for some seconds, or until resumed. */
export async function order(what: "pause" | "resume", key: string, seconds?: number): Promise<void> {
  const body = what === "pause" ? JSON.stringify({ seconds: seconds ?? null }) : null;
  const headers: Record<string, string> = { "Idempotency-Key": key };
  if (body) headers["Content-Type"] = "application/json";
  await send(new Request(new URL(`/api/v1/earn/${what}`, location.origin), { method: "POST", body, headers }));
}
