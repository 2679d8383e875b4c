// The market contract by its ABI: calls to call data, logs to events, reverts to reasons, views to values.

import type { Abi } from "viem";
import { decodeErrorResult, decodeEventLog, decodeFunctionResult, encodeFunctionData } from "viem/utils";

import abiJson from "./abi.json";
import { type Bytes, fromHex, toHex } from "./bytes";
import type { TaskEvent } from "./events";
import { type Address, type Digest, type TaskId, address, digestOf } from "./ids";
import { type Plan, planOf } from "./plan";

/** As the contract of this version was compiled; a test compares it with `src/shoal/contracts/TrainingMarket.json`. */
export const ABI = abiJson as Abi;

/** What a browser asks of the contract. `since` (consensus time) tells a call from an earlier one of its kind. */
export type Call =
  | { name: "createTask"; manifestHash: Digest; topic: bigint; signingKey: Bytes; recipient: Bytes; plan: Plan }
  | { name: "award"; task: TaskId; root: Bytes; unitPrice: bigint; primaries: number }
  | { name: "start" | "cancel" | "expire" | "settle"; task: TaskId }
  | { name: "requestDraw" | "draw"; task: TaskId; since: bigint }
  | { name: "drawJury" | "resolve"; task: TaskId; dispute: Digest; since: bigint }
  | { name: "claimAudits"; task: TaskId; validator: Address; audits: number; proof: Bytes[] }
  | { name: "claim"; task: TaskId; trainer: Address; units: number; aggregates: number; noShow: boolean; proof: Bytes[] }
  | { name: "release"; task: TaskId; trainer: Address }
  | {
      name: "confirmCheckpoint";
      task: TaskId;
      round: number;
      checkpoint: Digest;
      units: number;
      aggregates: number;
      audits: number;
      creditsRoot: Bytes;
    }
  | {
      name: "publishResult" | "confirmResult";
      task: TaskId;
      result: Digest;
      logPosition: bigint;
      round: number;
      units: number;
      aggregates: number;
      audits: number;
      creditsRoot: Bytes;
    }
  | { name: "register"; signingKey: Bytes; recipient: Bytes }
  | { name: "withdraw" };

const hex = (value: Bytes | string): `0x${string}` => `0x${typeof value === "string" ? value : toHex(value)}`;

export function encodeCall(call: Call): Bytes {
  return fromHex(encodeFunctionData({ abi: ABI, functionName: call.name, args: argumentsOf(call) }));
}

function argumentsOf(call: Call): unknown[] {
  switch (call.name) {
    case "createTask":
      return [hex(call.manifestHash), call.topic, hex(call.signingKey), hex(call.recipient), call.plan];
    case "award":
      return [hex(call.task), hex(call.root), call.unitPrice, call.primaries];
    case "start":
    case "cancel":
    case "expire":
    case "settle":
    case "requestDraw":
    case "draw":
      return [hex(call.task)];
    case "drawJury":
    case "resolve":
      return [hex(call.dispute)];
    case "claimAudits":
      return [hex(call.task), hex(call.validator), call.audits, call.proof.map(hex)];
    case "claim": {
      const { trainer, units, aggregates, noShow, proof } = call;
      return [hex(call.task), hex(trainer), units, aggregates, noShow, proof.map(hex)];
    }
    case "release":
      return [hex(call.task), hex(call.trainer)];
    case "confirmCheckpoint": {
      const { round, checkpoint, units, aggregates, audits, creditsRoot } = call;
      return [hex(call.task), round, hex(checkpoint), units, aggregates, audits, hex(creditsRoot)];
    }
    case "publishResult":
    case "confirmResult": {
      const { result, logPosition, round, units, aggregates, audits, creditsRoot } = call;
      return [hex(call.task), hex(result), logPosition, round, units, aggregates, audits, hex(creditsRoot)];
    }
    case "register":
      return [hex(call.signingKey), hex(call.recipient)];
    case "withdraw":
      return [];
  }
}

/** The event of a log; null when it is not one of the market's. */
export function decodeEvent(topics: readonly string[], data: string): TaskEvent | null {
  let decoded: { eventName: string; args: Record<string, unknown> };
  try {
    const raw = { abi: ABI, topics: topics as [`0x${string}`], data: data as `0x${string}` };
    decoded = decodeEventLog(raw) as unknown as typeof decoded;
  } catch {
    return null;
  }
  const { taskId } = decoded.args;
  if (typeof taskId !== "string") return null;
  const plain = Object.fromEntries(Object.entries(decoded.args).map(([name, value]) => [name, fieldOf(name, value)]));
  const name = KNOWN.has(decoded.eventName) ? decoded.eventName : "other";
  return { ...plain, name } as unknown as TaskEvent;
}

const KNOWN: ReadonlySet<string> = new Set<TaskEvent["name"]>([
  "TaskCreated", "Awarded", "Accepted", "TrainerReady", "Started", "CheckpointVoted", "CheckpointConfirmed",
  "ResultPublished", "ResultVoted", "ResultConfirmed", "Settled", "Claimed", "Cancelled", "Expired", "Released",
  "AuditsClaimed", "DrawRequested", "Drawn", "DisputeOpened", "ReplacementProposed", "JuryRequested", "JuryDrawn", "Judged",
  "JurorPaid", "JurorFined", "DisputeClosed", "ResultReplaced", "Slashed",
]);
const BYTES = new Set(["root", "signingKey", "recipient", "creditsRoot", "proposal", "seed"]);
const ADDRESSES = new Set(["client", "trainer", "voter", "validator", "account", "challenger", "accused", "juror", "bondTo"]);
/** Whole numbers that may be larger than 2^53, or that are money. */
const WIDE = new Set([
  "topic", "unitPrice", "escrow", "logPosition", "reserved", "refunded", "compensation", "paid", "stakeReturned",
  "penalty", "finderFee", "forfeited", "toFinder", "toClient", "amount", "stake", "bond", "bondReturned",
]);

/** A field as the library holds it: ids as text without 0x, keys and roots as bytes, counts as numbers. */
function fieldOf(name: string, value: unknown): unknown {
  if (name === "plan") return planOf(value as Record<string, unknown>);
  if (typeof value === "string") {
    if (BYTES.has(name)) return fromHex(value);
    return ADDRESSES.has(name) ? address(value) : digestOf(value);
  }
  if (typeof value === "bigint" || typeof value === "number") return WIDE.has(name) ? BigInt(value) : Number(value);
  if (Array.isArray(value)) return value.map((item) => fieldOf(name, item));
  if (typeof value === "object" && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([inner, item]) => [inner, fieldOf(inner, item)]));
  }
  return value;
}

/** Name and text of what a revert carries. */
export function decodeRevert(data: string): { reason: string; text: string } {
  if (!/^0x[0-9a-f]{8}/i.test(data)) return { reason: "Unknown", text: "reverted without a reason" };
  try {
    const { errorName, args } = decodeErrorResult({ abi: ABI, data: data as `0x${string}` });
    return { reason: errorName, text: `${errorName}(${((args as unknown[] | undefined) ?? []).map(String).join(", ")})` };
  } catch {
    return { reason: "Unknown", text: `revert data ${data.slice(0, 138)}` };
  }
}

/** What the contract holds of an account. */
export interface AccountState {
  readonly registered: boolean;
  readonly signingKey: Bytes;
  readonly freeStake: bigint;
  readonly balance: bigint;
}

export const encodeAccountView = (who: Address): Bytes =>
  fromHex(encodeFunctionData({ abi: ABI, functionName: "getAccount", args: [hex(who)] }));

export function decodeAccount(data: string): AccountState {
  const raw = { abi: ABI, functionName: "getAccount", data: data as `0x${string}` };
  const row = decodeFunctionResult(raw) as unknown as Record<string, string | bigint>;
  const signingKey = fromHex(String(row["signingKey"]));
  return {
    registered: signingKey.some((byte) => byte !== 0),
    signingKey,
    freeStake: BigInt(row["stake"]!) - BigInt(row["locked"]!),
    balance: BigInt(row["balance"]!),
  };
}
