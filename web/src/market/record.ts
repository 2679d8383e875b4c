// What a tab keeps of a task it buys: enough to go on after a reload, at every step.

import type { Table } from "./codec";
import { type Bytes, toHex } from "./bytes";
import { type Entry, type Signer, dataOf, hashOf, makeEntry, parse } from "./entries";
import { MarketError } from "./errors";
import type { DocumentInfo, Wish } from "./gateway";
import { type Address, type Digest, type TaskId, ZERO_DIGEST } from "./ids";
import type { Tinybar } from "./money";
import type { Pieces } from "./prepare";
import type { Store } from "./store";
import type { State } from "./task";

export interface TaskRecord {
  readonly task: TaskId;
  readonly name: string;
  readonly madeAt: number;
  /** Whose wallet pays. */
  readonly account: string;
  readonly client: Address;
  readonly network: string;
  readonly contract: string;
  readonly wish: Wish;
  readonly document: DocumentInfo;
  readonly pieces: Pieces;
  readonly manifest: Bytes;
  /** The most that the user has agreed to lock, and to pay for storage. */
  readonly agreedEscrow: Tinybar;
  readonly agreedStorage: Tinybar;
  /** The test split as a chunk file: it never leaves the browser. */
  readonly test: Bytes;
  readonly uploaded: boolean;
  readonly topic: bigint | null;
  readonly created: boolean;
  readonly award: string | null;
  /** Entries that were signed: they are sent again as they are, never signed anew, which would be equivocation. */
  readonly outbox: readonly Bytes[];
  /** How often each entry was sent anew, by sequence number, since the log did not come to show it. */
  readonly resent: Readonly<Record<string, number>>;
  readonly over: boolean;
}

/** Records of this browser, the newest first. */
export async function listTasks(store: Store): Promise<TaskRecord[]> {
  const names = await store.keys("tasks");
  const found = await Promise.all(names.map((name) => store.get<TaskRecord>("tasks", name)));
  return found.filter((each) => each !== undefined).sort((a, b) => b.madeAt - a.madeAt);
}

/** Forget a task for which nothing was paid but storage. Throws MarketError SHOAL-T08: there may be money in it. */
export async function forgetTask(store: Store, task: TaskId): Promise<void> {
  const record = await store.get<TaskRecord>("tasks", task);
  if (!record) return;
  if (record.topic !== null || record.created) {
    throw new MarketError("this task may be on the ledger already", { code: "SHOAL-T08", hint: "go on with it, and cancel it there" });
  }
  await store.delete("tasks", task);
}

/** A record that is written to the store at every change, before anybody acts on it. */
export class Kept {
  private constructor(
    readonly store: Store,
    private record: TaskRecord,
  ) {}

  static async make(store: Store, record: TaskRecord): Promise<Kept> {
    await store.put("tasks", record.task, record);
    return new Kept(store, record);
  }

  /** Throws MarketError SHOAL-T08: this browser has not prepared it. */
  static async load(store: Store, task: TaskId): Promise<Kept> {
    const record = await store.get<TaskRecord>("tasks", task);
    if (!record) {
      throw new MarketError("this browser has not prepared this task", { code: "SHOAL-T08", hint: "use the one that has" });
    }
    return new Kept(store, record);
  }

  get now(): TaskRecord {
    return this.record;
  }

  async change(part: Partial<TaskRecord>): Promise<void> {
    const changed = { ...this.record, ...part };
    await this.store.put("tasks", changed.task, changed);
    this.record = changed;
  }

  /** Entries of the outbox, in order. */
  entries(): Entry[] {
    return this.record.outbox.map((data) => parse(data) as Entry);
  }

  /** Whether an entry of this kind (and for this trainer) is signed already. */
  hasSigned(kind: string, to?: string): boolean {
    return this.entries().some(
      (entry) => entry.kind === kind && (to === undefined || hexOf(entry.body["to"]) === to),
    );
  }

  /** Sign the next entry of the chain, and keep it. */
  async sign(signer: Signer, state: State, kind: string, body: Table): Promise<Entry> {
    const { sequence, previous } = this.#next(state);
    const { place, client: author } = state;
    const entry = await makeEntry(signer, { place, author, sequence, previous, kind, body });
    await this.change({ outbox: [...this.record.outbox, dataOf(entry)] });
    return entry;
  }

  #next(state: State): { sequence: bigint; previous: Digest } {
    const last = this.entries().at(-1);
    const known = state.authors.get(state.client);
    if (last && (!known || last.sequence >= known.sequence)) {
      return { sequence: last.sequence + 1n, previous: hashOf(last) };
    }
    return known ? { sequence: known.sequence, previous: known.head } : { sequence: 0n, previous: ZERO_DIGEST };
  }
}

const hexOf = (value: unknown): string => (value instanceof Uint8Array ? toHex(value) : "");
