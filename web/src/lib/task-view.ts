/** What a page shows of a task, computed from its record alone. */

import type { Checkpoint, TaskRecord } from "../api/client";

export const STEPS = ["Upload", "Payment", "Assembling", "Training", "Completed"] as const;

/** The steps as a task's page names them: one that ended early was not completed. */
export function stepNames(phase: string): readonly string[] {
  return phase === "cancelled" || phase === "expired" ? [...STEPS.slice(0, -1), "Ended"] : STEPS;
}

/** Which step a task is in, as an index into `STEPS`; a task exists only once it is paid. */
export function stepOf(phase: string): number {
  return ({ open: 2, awarded: 2, running: 3, finished: 3 } as Record<string, number>)[phase] ?? 4;
}

export interface MoneyView {
  escrow: number;
  /** Earned by trainers so far, whether claimed yet or not. */
  earned: number;
  /** What the rest of the work would earn. */
  reserved: number;
  /** What comes back, or came. */
  back: number;
}

/** Where the escrow is; the parts add up to it. */
export function moneyOf(record: Pick<TaskRecord, "money" | "seats" | "rounds" | "phase" | "checkpoints">): MoneyView {
  const { escrow_tinybar: escrow, refunded_tinybar: refunded, unit_price_tinybar: price, ...money } = record.money;
  if (["settled", "cancelled", "expired"].includes(record.phase)) return { escrow, earned: escrow - refunded, reserved: 0, back: refunded };
  if (!price) return { escrow, earned: 0, reserved: escrow, back: 0 };
  const units = record.seats.reduce((sum, seat) => sum + seat.units_done, 0);
  const aggregates = record.seats.reduce((sum, seat) => sum + seat.aggregates_done, 0);
  const earned = Math.min(escrow, units * price + aggregates * money.aggregate_price_tinybar);
  const dearest = record.rounds * money.aggregate_price_tinybar;
  const allUnits = money.max_unit_price_tinybar ? Math.floor((escrow - dearest) / money.max_unit_price_tinybar) : 0;
  const likely = Math.min(escrow, allUnits * price + dearest);
  const reserved = Math.max(0, likely - earned);
  return { escrow, earned, reserved, back: escrow - earned - reserved };
}

export interface Countdown {
  /** What is waited for. */
  text: string;
  /** Consensus time of the deadline, in Unix seconds. */
  at: number;
  since: number;
  /** What happens when it passes. */
  then: string;
}

const NEXT: Record<string, [text: string, then: string]> = {
  bid: ["Trainers may bid", "then the cheapest are chosen, at one price for all"],
  award: ["The award is due", "otherwise the task ends and all money comes back"],
  accept: ["Trainers accept and lock their stake", "then standbys take the seats that are left"],
  standby: ["Standbys may take free seats", "then training starts with those that are ready"],
  start: ["Trainers fetch and verify their data", "otherwise the task ends and the money comes back"],
  end: ["Training may last", "then what was confirmed is paid, and the rest comes back"],
  settle: ["Anyone may object to the result", "then trainers are paid and the rest comes back"],
};

/** The deadline that matters now; null for a task that is over. */
export function countdownOf(record: Pick<TaskRecord, "phase" | "deadlines" | "current" | "created_at">): Countdown | null {
  const { current, phase } = record;
  if (phase === "running" && current?.round_timeout_s) {
    const waiting = current.waiting_for.length;
    const timeout = waiting ? current.round_timeout_s : current.aggregate_timeout_s;
    return {
      text: waiting ? `Round ${current.round}: ${waiting} ${waiting === 1 ? "update is" : "updates are"} outstanding` : `Round ${current.round} is being averaged`,
      at: current.since + timeout,
      since: current.since,
      then: waiting ? "then backups train the chunks that are missing" : "then another trainer averages",
    };
  }
  const names = { open: ["bid", "award"], awarded: ["accept", "standby", "start"], finished: ["end"], settling: ["settle"] }[phase];
  const found = names?.map((name) => record.deadlines.find((each) => each.name === name && !each.passed)).find(Boolean);
  const words = found && NEXT[found.name];
  if (!found || !words) return null;
  return { text: words[0], at: found.at, since: record.created_at, then: words[1] };
}

/** The curves of one number: the model of all, and each trainer's own. */
export function curvesOf(checkpoints: readonly Checkpoint[], value: "loss" | "metric"): { rounds: number[]; all: (number | null)[]; trainers: Map<string, (number | null)[]> } {
  const trainers = new Map<string, (number | null)[]>();
  checkpoints.forEach((checkpoint, index) => {
    const sums = new Map<string, [sum: number, rows: number]>();
    for (const update of checkpoint.updates) {
      const found = update[value];
      if (found === null || found === undefined) continue;
      const [sum, rows] = sums.get(update.name) ?? [0, 0];
      sums.set(update.name, [sum + found * update.samples, rows + update.samples]);
    }
    for (const [name, [sum, rows]] of sums) {
      if (!trainers.has(name)) trainers.set(name, Array<number | null>(checkpoints.length).fill(null));
      trainers.get(name)![index] = rows ? sum / rows : null;
    }
  });
  return { rounds: checkpoints.map((each) => each.round), all: checkpoints.map((each) => each[value] ?? null), trainers };
}

/** `accuracy` is a share of one and is read in per cent. */
export function isShare(metric: string): boolean {
  return metric === "accuracy";
}

export function metricText(metric: string, value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return isShare(metric) ? `${(value * 100).toFixed(1)} %` : Number(value.toPrecision(4)).toString();
}
