// What the user must know while a task is being bought: what happens now, until when the tab must stay open, how often
// the wallet will ask, and what happens to the money if the tab never comes back.

import { TOPIC_MESSAGE_BYTES } from "./limits";
import type { Tinybar } from "./money";
import { escrow } from "./plan";
import type { TaskRecord } from "./record";
import { type State, isOver } from "./task";

/** What an entry adds to its body: place, author, chain and signature. */
const ENTRY_BYTES = 215;

export type StepName =
  | "uploading"
  | "paying"
  | "bidding"
  | "awarding"
  | "accepting"
  | "handing out"
  | "getting ready"
  | "training"
  | "settling"
  | "over";

export interface Outlook {
  readonly step: StepName;
  /** Whether everything goes on without this tab. */
  readonly mayClose: boolean;
  /** Consensus second until which the tab must have done its part; null when nothing is left for it. */
  readonly openUntil: number | null;
  /** What the tab waits for, and the consensus second by which that has happened; null when it is its own turn. */
  readonly waitsUntil: number | null;
  /** How often the wallet will still ask before the tab may close. */
  readonly confirmationsLeft: number;
  readonly locked: Tinybar;
  /** If the tab never comes back from here. */
  readonly otherwise: string;
}

/** @param state of the log; null before the task exists. */
export function outlook(record: TaskRecord, state: State | null): Outlook {
  if (!state) {
    // createTask, award, start; manifest, award and assignment as messages, and an envelope for each seat.
    const storage = record.agreedStorage > 0n && !record.uploaded ? 1 : 0;
    const left = storage + (record.topic === null ? 1 : 0) + 5 + manifestMessages(record) + (record.wish.trainers ?? 1);
    return {
      step: record.uploaded ? "paying" : "uploading",
      mayClose: true,
      openUntil: null,
      waitsUntil: null,
      confirmationsLeft: left,
      locked: 0n,
      otherwise: "nothing is paid yet; what was sent to storage is removed there after a while",
    };
  }
  const { plan } = state;
  const base = { locked: escrow(plan), confirmationsLeft: callsLeft(state) + entriesLeft(record, state), openUntil: plan.startUntil };
  const nobody = "all of it comes back once the task expires, less a compensation for each trainer that has accepted";
  const open = { ...base, mayClose: false, otherwise: nobody };
  const nowS = Number(state.nowNs / 1_000_000_000n);
  if (state.phase === "open" && nowS <= plan.bidUntil) return { ...open, step: "bidding", waitsUntil: plan.bidUntil };
  if (state.phase === "open") return { ...open, step: "awarding", openUntil: plan.awardUntil, waitsUntil: null };
  if (state.phase === "awarded") {
    if (!state.award.length) return { ...open, step: "awarding", waitsUntil: null };
    if (!state.holders.length) {
      const standbys = state.award.some((leaf) => leaf.rank > 0);
      return { ...open, step: "accepting", waitsUntil: standbys ? plan.standbyUntil : plan.acceptUntil };
    }
    if (state.envelopes.size < state.seats.length) return { ...open, step: "handing out", waitsUntil: null };
    return { ...open, step: "getting ready", waitsUntil: Math.floor((plan.standbyUntil + plan.startUntil) / 2) };
  }
  const closed = {
    ...base,
    mayClose: true,
    openUntil: null,
    waitsUntil: plan.endBy,
    confirmationsLeft: 0,
    otherwise: "trainers train, vote and settle without you; what is not earned waits for you in the contract",
  };
  if (isOver(state.phase)) return { ...closed, step: "over", waitsUntil: null, locked: 0n };
  return { ...closed, step: state.phase === "running" || state.phase === "finished" ? "training" : "settling" };
}

/** Calls of the contract until the start: award and start. */
function callsLeft(state: State): number {
  if (state.phase === "open") return 2;
  return state.phase === "awarded" ? 1 : 0;
}

/** Messages until the start: manifest, award, assignment, and an envelope for each seat. */
function entriesLeft(record: TaskRecord, state: State): number {
  if (state.phase !== "open" && state.phase !== "awarded") return 0;
  const seats = state.holders.length ? state.seats.length : state.plan.seats;
  const manifest = state.manifest ? 0 : manifestMessages(record);
  const heads = [state.award.length, state.holders.length].filter((there) => !there).length;
  return manifest + heads + Math.max(0, seats - state.envelopes.size);
}

/** A wallet is asked for each chunk of a message. */
const manifestMessages = (record: TaskRecord): number =>
  Math.ceil((record.manifest.length + ENTRY_BYTES) / TOPIC_MESSAGE_BYTES);
