import { describe, expect, it } from "vitest";

import type { TaskRecord } from "../api/client";
import { countdownOf, curvesOf, metricText, moneyOf, stepNames, stepOf } from "./task-view";

const money = {
  escrow_tinybar: 1000,
  max_unit_price_tinybar: 20,
  unit_price_tinybar: 0,
  aggregate_price_tinybar: 20,
  stake_per_seat_tinybar: 0,
  compensation_tinybar: 0,
  paid_tinybar: 0,
  refunded_tinybar: 0,
  penalties_tinybar: 0,
};
const seat = { trainer: "0x1", name: "0.0.1", rank: 0, units: 4, ready: true, lost: "", chunks: [0], units_done: 0, aggregates_done: 0, paid_tinybar: null, penalty_tinybar: null };
const record = { money, seats: [seat], rounds: 10, phase: "open", checkpoints: [] } as unknown as TaskRecord;

describe("money", () => {
  it("is all reserved while there is no price", () => {
    expect(moneyOf(record)).toEqual({ escrow: 1000, earned: 0, reserved: 1000, back: 0 });
  });

  it("is told apart by the clearing price", () => {
    // (1000 - 10 * 20) / 20 = 40 units, of which 8 are done at 10, and two aggregates at 20.
    const running = { ...record, phase: "running", money: { ...money, unit_price_tinybar: 10 }, seats: [{ ...seat, units_done: 8, aggregates_done: 2 }] };
    expect(moneyOf(running)).toEqual({ escrow: 1000, earned: 120, reserved: 480, back: 400 });
  });

  it("adds up to the escrow at every price", () => {
    for (let price = 0; price <= 20; price += 1) {
      for (let done = 0; done <= 40; done += 7) {
        const view = moneyOf({ ...record, phase: "running", money: { ...money, unit_price_tinybar: price }, seats: [{ ...seat, units_done: done }] });
        expect(view.earned + view.reserved + view.back).toBe(1000);
        expect(Math.min(view.earned, view.reserved, view.back)).toBeGreaterThanOrEqual(0);
      }
    }
  });

  it("follows the contract once the task is over", () => {
    const over = { ...record, phase: "settled", money: { ...money, refunded_tinybar: 640 } };
    expect(moneyOf(over)).toEqual({ escrow: 1000, earned: 360, reserved: 0, back: 640 });
  });
});

describe("countdown", () => {
  const deadlines = ["bid", "award", "accept", "standby", "start", "end"].map((name, index) => ({ name, at: 100 * (index + 1), passed: false }));
  const base = { phase: "open", deadlines, current: null, created_at: 50 };

  it("names the first deadline of the phase that has not passed", () => {
    expect(countdownOf(base)?.at).toBe(100);
    expect(countdownOf({ ...base, deadlines: deadlines.map((each) => ({ ...each, passed: each.at <= 100 })) })?.at).toBe(200);
    expect(countdownOf({ ...base, phase: "awarded" })?.at).toBe(300);
  });

  it("counts the round while it runs", () => {
    const current = { round: 3, since: 1000, aggregator: null, delivered: [0], waiting_for: [1], void: [], round_timeout_s: 60, aggregate_timeout_s: 30 };
    expect(countdownOf({ ...base, phase: "running", current })).toMatchObject({ at: 1060, text: "Round 3: 1 update is outstanding" });
    expect(countdownOf({ ...base, phase: "running", current: { ...current, waiting_for: [] } })).toMatchObject({ at: 1030 });
  });

  it("has nothing to wait for in the end", () => {
    expect(countdownOf({ ...base, phase: "settled" })).toBeNull();
  });
});

describe("curves", () => {
  const update = (name: string, chunk: number, samples: number, loss: number | null) => ({ trainer: name, name, chunk, samples, loss, metric: null, seconds: 1 });
  const checkpoint = (round: number, updates: ReturnType<typeof update>[]) => ({ round, sha256: "", author: "", name: "", loss: 1 / round, metric: null, at: 0, wall_s: 0, overhead_s: 0, rejected: [], updates });

  it("weighs a trainer's chunks by their rows, and leaves gaps where it was away", () => {
    const { rounds, all, trainers } = curvesOf([checkpoint(1, [update("a", 0, 30, 1), update("a", 1, 10, 2)]), checkpoint(2, [update("b", 0, 5, 3)])], "loss");
    expect(rounds).toEqual([1, 2]);
    expect(all).toEqual([1, 0.5]);
    expect(trainers.get("a")).toEqual([1.25, null]);
    expect(trainers.get("b")).toEqual([null, 3]);
  });

  it("leaves out what is no number", () => {
    expect(curvesOf([checkpoint(1, [update("a", 0, 5, null)])], "loss").trainers.size).toBe(0);
  });
});

it("knows the step of every phase", () => {
  expect(["open", "awarded", "running", "finished", "settling", "settled", "expired"].map(stepOf)).toEqual([2, 2, 3, 3, 4, 4, 4]);
});

it("calls completed only what was", () => {
  expect(["settled", "cancelled", "expired"].map((phase) => stepNames(phase).at(-1))).toEqual(["Completed", "Ended", "Ended"]);
});

it("reads an accuracy in per cent, and nothing where there is none", () => {
  expect([metricText("accuracy", 0.9712), metricText("mae", 0.123456), metricText("mae", null)]).toEqual(["97.1 %", "0.1235", "–"]);
});
