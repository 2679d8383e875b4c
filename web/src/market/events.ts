// What the contract says happened to a task, as far as the fold looks at it.

import type { Bytes } from "./bytes";
import type { Address, Digest, TaskId } from "./ids";
import type { Tinybar } from "./money";
import type { Plan } from "./plan";

interface Of {
  readonly taskId: TaskId;
}
/** What a vote, a checkpoint or a result counts. */
export interface Counts {
  readonly round: number;
  readonly units: number;
  readonly aggregates: number;
  readonly audits: number;
  readonly creditsRoot: Bytes;
}
export interface ResultClaim extends Counts {
  readonly logPosition: bigint;
  readonly result: Digest;
}

export type TaskCreated = Of & {
  readonly name: "TaskCreated";
  readonly client: Address;
  readonly topic: bigint;
  readonly manifestHash: Digest;
  readonly signingKey: Bytes;
  readonly recipient: Bytes;
  readonly plan: Plan;
  readonly escrow: Tinybar;
};
export type Accepted = Of & {
  readonly name: "Accepted";
  readonly trainer: Address;
  readonly signingKey: Bytes;
  readonly recipient: Bytes;
  readonly units: number;
  readonly rank: number;
};
export type CheckpointVoted = Of & Counts & {
  readonly name: "CheckpointVoted";
  readonly voter: Address;
  readonly checkpoint: Digest;
};
/** A validator that was drawn, with what its entries in the log are checked by. */
export interface Member {
  readonly validator: Address;
  readonly signingKey: Bytes;
  readonly recipient: Bytes;
}
export type Drawn = Of & {
  readonly name: "Drawn";
  readonly round: number;
  readonly seed: Bytes;
  readonly committee: readonly Member[];
};
type OfDispute = Of & { readonly disputeId: Digest };
export type DisputeOpened = OfDispute & {
  readonly name: "DisputeOpened";
  readonly kind: number;
  readonly challenger: Address;
  readonly accused: Address;
  readonly subject: Digest;
  readonly bond: Tinybar;
};
export type JuryDrawn = OfDispute & {
  readonly name: "JuryDrawn";
  readonly jury: readonly Member[];
  /** Consensus second. */
  readonly decideBy: number;
};
export type Judged = OfDispute & { readonly name: "Judged"; readonly juror: Address; readonly upheld: boolean };
export type DisputeClosed = OfDispute & {
  readonly name: "DisputeClosed";
  readonly state: number;
  readonly bondTo: Address;
  readonly bondReturned: Tinybar;
};
export type Settled = Of & { readonly name: "Settled"; readonly reserved: Tinybar; readonly refunded: Tinybar };
export type ResultPublished = Of & ResultClaim & { readonly name: "ResultPublished"; readonly voter: Address };
export type ResultConfirmed = Of & ResultClaim & { readonly name: "ResultConfirmed"; readonly settleAfter: number };

export type TaskEvent =
  | TaskCreated
  | (Of & { name: "Awarded"; root: Bytes; unitPrice: Tinybar; primaries: number })
  | Accepted
  | (Of & { name: "TrainerReady"; trainer: Address })
  | (Of & { name: "Started"; accepted: number; ready: number; quorum: number })
  | CheckpointVoted
  | (Of & Counts & { name: "CheckpointConfirmed"; checkpoint: Digest })
  | ResultPublished
  | (Of & { name: "ResultVoted"; voter: Address; result: Digest; proposal: Bytes })
  | ResultConfirmed
  | Settled
  | (Of & {
      name: "Claimed";
      trainer: Address;
      units: number;
      aggregates: number;
      paid: Tinybar;
      stakeReturned: Tinybar;
      penalty: Tinybar;
      finderFee: Tinybar;
      forfeited: Tinybar;
    })
  | (Of & { name: "Cancelled"; refunded: Tinybar; compensation: Tinybar })
  | (Of & { name: "Expired"; reason: number; refunded: Tinybar; compensation: Tinybar })
  | (Of & { name: "Released"; trainer: Address; stakeReturned: Tinybar; compensation: Tinybar })
  | (Of & { name: "AuditsClaimed"; validator: Address; audits: number; paid: Tinybar })
  | (Of & { name: "DrawRequested"; round: number })
  | Drawn
  | DisputeOpened
  | (OfDispute & { name: "ReplacementProposed"; result: ResultClaim })
  | (OfDispute & { name: "JuryRequested" })
  | JuryDrawn
  | Judged
  | (OfDispute & { name: "JurorPaid" | "JurorFined"; juror: Address; amount: Tinybar })
  | DisputeClosed
  | (OfDispute & { name: "ResultReplaced"; result: Digest; settleAfter: number })
  | (Of & { name: "Slashed"; trainer: Address; toFinder: Tinybar; toClient: Tinybar })
  | (Of & { name: "other" });
