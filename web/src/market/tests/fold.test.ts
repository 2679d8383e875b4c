import { describe, expect, it } from "vitest";

import { fromHex, toHex } from "../bytes";
import { decodeRevert, encodeCall, type Call } from "../contract";
import { type Value, digest, encode } from "../codec";
import { advance, step } from "../fold";
import { address, taskOf } from "../ids";
import { planOf } from "../plan";
import { type State, leavesOf, rootOf, subject } from "../task";
import { proof } from "../merkle";
import { beginOf, field, itemOf } from "./traces";
import { type Json, vectors } from "./vectors";

const hexOf = (text: string): Value => fromHex(text);
const sorted = (items: Iterable<string>): string[] => [...items].sort();

/** As `summary` of make_vectors.py. */
function summary(state: State): Value {
  const n = (value: number | null): Value => (value === null ? null : BigInt(value));
  return {
    now: state.nowNs,
    phase: state.phase,
    manifest: state.manifest !== null,
    award: state.award.map((leaf) => [hexOf(leaf.trainer), n(leaf.units), n(leaf.rank)]),
    price: state.unitPrice,
    seats: state.seats.map((s) => [hexOf(s.trainer), s.recipient, n(s.units), n(s.rank), s.ready, s.lost]),
    holders: state.holders.map((h) => [n(h.primary), n(h.backup)]),
    envelopes: sorted(state.envelopes.keys()).map(hexOf),
    quorum: n(state.quorum),
    turn: state.turnNs,
    updates: [...state.updates.values()]
      .sort((a, b) => a.chunk - b.chunk)
      .map((u) => [n(u.chunk), hexOf(u.author), hexOf(u.state), u.loss, u.seconds]),
    voids: [...state.voids]
      .map(([key, why]) => [Number(key.split("/")[0]), key.split("/")[1]!, why] as const)
      .sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1))
      .map(([chunk, who, why]) => [n(chunk), hexOf(who), why]),
    early: state.early.map((e) => [hexOf(e.author), e.kind, n(e.round)]),
    checkpoints: state.checkpoints.map((c) => [
      n(c.round), hexOf(c.state), hexOf(c.object), hexOf(c.author), c.included.map(n), c.loss, c.metric, c.timeNs,
    ]),
    marks: state.marks.map((m) => [n(m.round), rootOf(m, state.place), m.logPosition, hexOf(subject(m))]),
    votes: n(state.votes.size),
    progress: [n(state.progressRound), state.progressRoot],
    result: state.result ? hexOf(state.result.object) : null,
    notes: sorted(state.notes.keys()).map(hexOf),
    publishers: n(state.publishers),
    published: sorted(state.published).map(hexOf),
    confirmed: state.confirmed ? [hexOf(state.confirmed.result), n(state.confirmed.settleAfter)] : null,
    claims: sorted(state.claims.keys()).map((who) => {
      const claim = state.claims.get(address(who))!;
      return [hexOf(who), claim.paid, claim.penalty];
    }),
    refunded: state.refunded,
    authors: sorted(state.authors.keys()).map((who) => {
      const a = state.authors.get(address(who))!;
      return [hexOf(who), a.sequence, hexOf(a.head), n(a.entries), a.equivocated];
    }),
  };
}

describe("the fold", () => {
  it.each(vectors("folds") as Json[])("is Python's, item by item, with faults $faults", (trace) => {
    let state = beginOf(trace);
    for (const each of trace.items) {
      state = step(state, itemOf(each));
      expect(toHex(digest(encode(summary(state)))).slice(0, 16)).toBe(each.state);
    }
    state = advance(state, BigInt(trace.end));
    expect(state.phase).toBe(trace.phase);
    expect(toHex(digest(encode(summary(state))))).toBe(trace.final);
  });

  it("does not depend on when one looks", () => {
    const trace = vectors("folds")[2];
    let [often, seldom] = [beginOf(trace), beginOf(trace)];
    for (const each of trace.items) {
      const item = itemOf(each);
      const half = (often.nowNs + item.timeNs) / 2n;
      often = step(advance(often, half), item);
      seldom = step(seldom, item);
    }
    expect(summary(often)).toEqual(summary(seldom));
  });
});

describe("the contract", () => {
  it.each(vectors("contract").calls as Json[])("encodes $name as Python does", ({ name, fields, data }) => {
    const { taskId: task, plan, proof: path, ...rest } = fields;
    const plain = Object.fromEntries(Object.entries(rest as Json).map(([key, value]) => [key, field(key, value)]));
    const call = {
      ...plain,
      name: name[0].toLowerCase() + name.slice(1),
      ...(task ? { task: taskOf(task) } : {}),
      ...(plan ? { plan: planOf(plan), topic: BigInt(rest.topic) } : {}),
      ...(path ? { proof: (path as string[]).map(fromHex) } : {}),
    } as Call;
    expect(toHex(encodeCall(call))).toBe(data);
  });

  it("tells reverts", () => {
    expect(decodeRevert("0x4e487b71" + "11".padStart(64, "0")).reason).toBe("Panic");
    expect(decodeRevert("").reason).toBe("Unknown");
    expect(decodeRevert("0xdeadbeef").reason).toBe("Unknown");
  });

  it("proves a credit of a mark", () => {
    const trace = vectors("folds")[0];
    const state = (trace.items as Json[]).reduce((now: State, each) => step(now, itemOf(each)), beginOf(trace));
    const leaves = leavesOf(state.marks.at(-1)!, state.place);
    expect(proof(leaves, 0).length).toBeGreaterThan(0);
  });
});
