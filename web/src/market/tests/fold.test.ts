import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import type { AbiEvent, Hex } from "viem";
import { encodeAbiParameters, encodeEventTopics } from "viem/utils";
import { describe, expect, it } from "vitest";

import { fromHex, toHex } from "../bytes";
import { ABI, decodeEvent, decodeRevert, encodeCall, type Call } from "../contract";
import { courtCalls } from "../court";
import { isClosed, payments } from "../duties";
import { type Value, digest, encode } from "../codec";
import { advance, step } from "../fold";
import { address, taskOf } from "../ids";
import { auditHash, proof, verify } from "../merkle";
import { escrow, planOf } from "../plan";
import { SECOND_NS, type State, leavesOf, rootOf, subject } from "../task";
import { FOLDS, beginOf, field, itemOf } from "./traces";
import { type Json, vectors } from "./vectors";

const hexOf = (text: string): Value => fromHex(text);
const sorted = (items: Iterable<string>): string[] => [...items].sort();

const byKey = <Item>(map: ReadonlyMap<string, Item>): [string, Item][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));

/** As `summary` of make_vectors.py. */
function summary(state: State): Value {
  const n = (value: number | null): Value => (value === null ? null : BigInt(value));
  return {
    now: state.nowNs,
    phase: state.phase,
    manifest: state.manifest !== null,
    award: state.award.map((leaf) => [hexOf(leaf.trainer), n(leaf.units), n(leaf.rank)]),
    price: state.unitPrice,
    seats: state.seats.map((s) => [hexOf(s.trainer), s.recipient, n(s.units), n(s.rank), s.ready, s.lost, s.slashed]),
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
    final: state.final ? hexOf(subject(state.final)) : null,
    votes: n(state.votes.size),
    progress: [n(state.progressRound), state.progressRoot, state.progressNs],
    result: state.result ? hexOf(state.result.object) : null,
    notes: sorted(state.notes.keys()).map(hexOf),
    publishers: n(state.publishers),
    published: sorted(state.published).map(hexOf),
    confirmed: state.confirmed ? [hexOf(state.confirmed.result), n(state.confirmed.settleAfter)] : null,
    settled: state.settled ? [state.settled.reserved, state.settled.refunded] : null,
    claims: sorted(state.claims.keys()).map((who) => {
      const claim = state.claims.get(address(who))!;
      return [hexOf(who), claim.paid, claim.stakeReturned, claim.penalty, claim.forfeited, claim.finderFee];
    }),
    refunded: state.refunded,
    draws: [state.drawRequestedNs, n(state.drawnRound)],
    members: byKey(state.members).map(([who, m]) => [hexOf(who), m.signingKey, m.recipient]),
    audits: [...state.audits].map(([key, a]) => [
      ...key.split("/").map(BigInt), hexOf(a.unit.trainer), hexOf(a.validator), a.committee.map(hexOf), n(a.place),
      a.askedNs, a.sealed, a.openedNs, a.unusable.map(hexOf), a.finding, hexOf(a.found),
    ]),
    disputes: [...state.disputes].map(([id, d]) => [
      hexOf(id), n(d.kind), hexOf(d.challenger), hexOf(d.accused), hexOf(d.subject), d.bond, d.openedNs, d.askedNs,
      d.drawnNs, d.unit && [n(d.unit.round), n(d.unit.chunk)], d.jury.map(hexOf), n(d.decideBy), d.sealed,
      byKey(d.ballots).map(([who, upheld]) => [hexOf(who), upheld]), n(d.ruling),
    ]),
    replacements: byKey(state.replacements).map(([id, r]) => [hexOf(id), hexOf(r.result), r.creditsRoot]),
    "audit claims": byKey(state.auditClaims).map(([who, paid]) => [hexOf(who), paid]),
    gains: byKey(state.gains).map(([who, amount]) => [hexOf(who), amount]),
    pins: byKey(state.pins).map(([what, cid]) => [what, cid]),
    authors: sorted(state.authors.keys()).map((who) => {
      const a = state.authors.get(address(who))!;
      return [hexOf(who), a.sequence, hexOf(a.head), n(a.entries), a.equivocated, a.logNext, n(a.logEntries)];
    }),
  };
}

describe("the fold", () => {
  it.each(FOLDS)("is Python's, item by item, with faults $faults", (trace) => {
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
    const trace = FOLDS[2];
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

/** The state before the first event of a name, and a while of silence after it. */
function before(trace: Json, name: string, silenceS: bigint): State {
  const items: Json[] = trace.items.slice(0, trace.items.findIndex((each: Json) => each.event === name));
  const state = items.reduce((now: State, each) => step(now, itemOf(each)), beginOf(trace));
  return { ...state, nowNs: state.nowNs + silenceS * SECOND_NS };
}

describe("what the client pays for", () => {
  const cheat: Json = FOLDS.find((each) => each.faults.join() === "cheat");

  it.each([
    ["DrawRequested", "requestDraw"],
    ["Drawn", "draw"],
    ["JuryDrawn", "drawJury"],
    ["DisputeClosed", "resolve"],
  ])("makes the call that brings %s when nobody else does", (event, call) => {
    expect(courtCalls(before(cheat, event, 0n))).toEqual([]);
    expect(courtCalls(before(cheat, event, 35n)).map((each) => each.name)).toEqual([call]);
  });

  it("claims for validators that do not, with a proof", () => {
    const claimsOf = (silenceS: bigint): Call[] =>
      payments(before(cheat, "AuditsClaimed", silenceS)).filter((each) => each.name === "claimAudits");
    expect(claimsOf(0n)).toEqual([]);
    const { state, confirmed } = ((state) => ({ state, confirmed: state.confirmed! }))(before(cheat, "AuditsClaimed", 60n));
    expect(claimsOf(60n).length).toBe(state.final!.auditCredits.length);
    for (const call of claimsOf(60n)) {
      if (call.name !== "claimAudits") continue;
      expect(verify(auditHash(state.place.task, call), call.proof, confirmed.creditsRoot)).toBe(true);
    }
    expect(isClosed(state)).toBe(false);
  });

  it("releases who was not ready, and is done when all is paid", () => {
    const trace: Json = FOLDS.find((each) => each.faults.join() === "lazy,no-ready");
    const end = (each: Json, items: Json[]): State => items.reduce((now: State, item) => step(now, itemOf(item)), beginOf(each));
    const silent = end(trace, trace.items.filter((each: Json) => each.event !== "Released"));
    const { trainer } = silent.seats.find((seat) => !seat.ready)!;
    expect(payments(silent)).toEqual([{ name: "release", task: silent.place.task, trainer }]);
    expect(isClosed(silent)).toBe(false);
    for (const each of [trace, cheat]) expect(isClosed(end(each, each.items))).toBe(true);
  });

  it("locks what Python locks", () => {
    for (const { created } of FOLDS) expect(escrow(planOf(created.plan))).toBe(BigInt(created.escrow));
  });
});

describe("the contract", () => {
  it("is the one that this version of shoal was compiled with", () => {
    const artefact = new URL("../../../../src/shoal/contracts/TrainingMarket.json", import.meta.url);
    const abi = (JSON.parse(readFileSync(artefact, "utf8")) as { abi: Json[] }).abi;
    const ours = abi.filter((each) => ["function", "event", "error"].includes(each.type));
    expect(ABI).toEqual(ours);
    expect(createHash("sha256").update(JSON.stringify(ABI)).digest("hex")).toBe(vectors("contract").abi_sha256);
  });

  it("decodes events with members", () => {
    const item = ABI.find((each) => each.type === "event" && each.name === "Drawn") as AbiEvent;
    const [taskId, seed, key] = ["11", "22", "33"].map((two) => `0x${two.repeat(32)}` as const) as [Hex, Hex, Hex];
    const validator = `0x${"ab".repeat(20)}` as const;
    const topics = encodeEventTopics({ abi: [item], args: { taskId } }) as string[];
    const committee = [{ validator, signingKey: key, recipient: seed }];
    const data = encodeAbiParameters(item.inputs.filter((each) => !each.indexed), [7, seed, committee]);
    const member = { validator: "ab".repeat(20), signingKey: fromHex("33".repeat(32)), recipient: fromHex("22".repeat(32)) };
    expect(decodeEvent(topics, data)).toEqual({
      name: "Drawn", taskId: "11".repeat(32), round: 7, seed: fromHex("22".repeat(32)), committee: [member],
    });
  });

  it.each(vectors("contract").calls as Json[])("encodes $name as Python does", ({ name, fields, data }) => {
    const { taskId: task, disputeId: dispute, plan, proof: path, ...rest } = fields;
    const plain = Object.fromEntries(Object.entries(rest as Json).map(([key, value]) => [key, field(key, value)]));
    const call = {
      ...plain,
      name: name[0].toLowerCase() + name.slice(1),
      ...(dispute ? { dispute } : {}),
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
    const trace = FOLDS[0];
    const state = (trace.items as Json[]).reduce((now: State, each) => step(now, itemOf(each)), beginOf(trace));
    const leaves = leavesOf(state.marks.at(-1)!, state.place);
    expect(proof(leaves, 0).length).toBeGreaterThan(0);
  });
});
