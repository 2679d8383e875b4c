import { describe, expect, it } from "vitest";

import { isClosed, payments, settledMark } from "../duties";
import { advance, step } from "../fold";
import { outlook } from "../outlook";
import type { TaskRecord } from "../record";
import { SECOND_NS, type State } from "../task";
import { TASKS, beginOf, itemOf } from "./traces";
import type { Json } from "./vectors";

const record = { uploaded: true, topic: 7n, agreedStorage: 0n, manifest: new Uint8Array(900), wish: { trainers: 3 } } as unknown as TaskRecord;

function states(trace: Json): State[] {
  const made = [beginOf(trace)];
  for (const each of trace.items) made.push(step(made.at(-1)!, itemOf(each)));
  return made;
}

describe("what a tab tells", () => {
  const all = states(TASKS[0]);

  it("asks for the tab until the start, and for ever fewer confirmations", () => {
    const before = outlook(record, null);
    const told = all.map((state) => outlook(record, state));
    const left = [before, ...told].map((each) => each.confirmationsLeft);
    expect(left).toEqual([...left].sort((a, b) => b - a));
    expect(left.at(-1)).toBe(0);
    expect(before).toMatchObject({ mayClose: true, locked: 0n, step: "paying" });
    for (const [index, each] of told.entries()) {
      const until = all[index]!.phase === "open" || all[index]!.phase === "awarded";
      expect(each.mayClose).toBe(!until);
      expect(each.openUntil !== null).toBe(until);
      expect(each.otherwise).not.toBe("");
    }
    const seen = told.map((each) => each.step).filter((name, index, list) => name !== list[index - 1]);
    // Its trainers got ready by gossip, before the log had the last envelope.
    expect(seen).toEqual(["bidding", "awarding", "accepting", "handing out", "training", "settling", "over"]);
  });

  it("counts a message of several chunks as so many confirmations", () => {
    const large = { ...record, manifest: new Uint8Array(4_000) };
    expect(outlook(large, null).confirmationsLeft - outlook(record, null).confirmationsLeft).toBe(3);
  });
});

describe("duties about money", () => {
  it.each(TASKS)("are none before their time, and end with the task, with faults $faults", (trace) => {
    const all = states(trace);
    const open = all[1]!;
    expect(payments(open)).toEqual([]);
    expect(payments(advance(open, BigInt(open.plan.endBy + 600) * SECOND_NS)).map((call) => call.name)).toEqual(["expire"]);
    const last = advance(all.at(-1)!, BigInt(trace.end));
    expect(isClosed(last)).toBe(true);
  });

  it("claim for those that do not, with the proof that the contract asks for", () => {
    const all = states(TASKS[0]);
    const settled = all.find((state) => state.phase === "settled" && !state.claims.size)!;
    expect(payments(settled)).toEqual([]);
    expect(isClosed(settled)).toBe(false);
    const late = advance(settled, settled.settledNs + 20n * SECOND_NS);
    expect(payments(late).map((call) => call.name)).toEqual(late.seats.map(() => "claim"));
    expect(settledMark(late)!.credits).toHaveLength(late.seats.length);
  });
});
