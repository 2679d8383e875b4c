// Logs of simulated tasks, as make_vectors.py wrote them.

import { fromHex } from "../bytes";
import { type Entry, type LogEntry, parse } from "../entries";
import type { TaskCreated, TaskEvent } from "../events";
import { type Item, begin } from "../fold";
import { address, digestOf, taskOf } from "../ids";
import { planOf } from "../plan";
import type { State } from "../task";
import { type Json, vectors } from "./vectors";

const BYTES = new Set(["root", "signingKey", "recipient", "creditsRoot", "proposal", "seed"]);
const MONEY = new Set(["unitPrice", "reserved", "refunded", "compensation", "paid", "stakeReturned", "penalty", "finderFee", "forfeited", "logPosition", "bond", "bondReturned", "amount", "toFinder", "toClient"]);

export function field(name: string, value: Json): unknown {
  if (Array.isArray(value)) return value.map((item) => field(name, item));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value as Json).map(([inner, item]) => [inner, field(inner, item)]));
  }
  if (typeof value !== "string") return value;
  if (BYTES.has(name)) return fromHex(value);
  if (MONEY.has(name)) return BigInt(value);
  return value.length >= 40 ? value : Number(value);
}

export function itemOf(each: Json): Item {
  const timeNs = BigInt(each.time);
  if (each.entry) return { timeNs, entry: parse(fromHex(each.entry)) as Entry | LogEntry };
  const fields = Object.entries(each.fields as Json).map(([name, value]) => [name, field(name, value)]);
  return { timeNs, event: { name: each.event, ...Object.fromEntries(fields) } as TaskEvent };
}

export function beginOf(trace: Json): State {
  const { created } = trace;
  const event: TaskCreated = {
    name: "TaskCreated",
    taskId: taskOf(created.taskId),
    client: address(created.client),
    topic: BigInt(created.topic),
    manifestHash: digestOf(created.manifestHash),
    signingKey: fromHex(created.signingKey),
    recipient: fromHex(created.recipient),
    plan: planOf(created.plan),
    escrow: BigInt(created.escrow),
  };
  return begin({ ...trace.place, task: taskOf(trace.place.task) }, event, BigInt(created.time));
}

/** The traces, each whole: a branch is written without the items that it shares. */
export const FOLDS: Json[] = vectors("folds").map((each: Json, _: number, all: Json[]) => {
  if (each.of === undefined) return each;
  const trunk = all[each.of];
  return { ...trunk, ...each, items: [...trunk.items.slice(0, each.after), ...each.items] };
});

/** Those that a client sees to the end. */
export const TASKS: Json[] = FOLDS.filter((each) => each.of === undefined);
