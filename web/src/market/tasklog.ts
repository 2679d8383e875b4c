// Following one task in a tab: the fold of its log as the mirror shows it, and the sealed bids beside it.

import { CodecError } from "./codec";
import { type BidCommitment, type Entry, type LogEntry, type Place, parse } from "./entries";
import { MarketError } from "./errors";
import type { TaskCreated } from "./events";
import { type Item, advance, begin, step } from "./fold";
import type { Address, TaskId } from "./ids";
import type { LedgerReader } from "./ledger";
import { BIDS } from "./limits";
import { SECOND_NS, type State } from "./task";

/** The log of one task, read up to `state.nowNs`. */
export class TaskLog {
  state: State;
  /** Sealed bids on the topic before the deadline, in order, by who they say that they are of. */
  readonly bids = new Map<Address, BidCommitment[]>();
  #heard = 0;
  /** What was read lately: a mirror that was behind may show it a second time, or late. */
  readonly #seen = new Set<string>();
  readonly #created: { event: TaskCreated; timeNs: bigint };

  private constructor(
    readonly ledger: LedgerReader,
    readonly place: Place,
    event: TaskCreated,
    timeNs: bigint,
  ) {
    this.#created = { event, timeNs };
    this.state = begin(place, event, timeNs);
  }

  /** The task of an id; null while the mirror does not show it. */
  static async find(ledger: LedgerReader, task: TaskId, sinceNs = 0n): Promise<TaskLog | null> {
    const until = await ledger.watermark();
    for (const { event, timeNs } of await ledger.events(sinceNs, until, task)) {
      if (event.name === "TaskCreated") {
        const { network, contractId: contract } = ledger.settings;
        return new TaskLog(ledger, { network, contract, task }, event, timeNs);
      }
    }
    return null;
  }

  /** Read everything that the ledger has now. */
  async catchUp(): Promise<State> {
    const until = await this.ledger.watermark();
    const after = this.state.nowNs;
    if (until > after) {
      this.#take(await this.#between(after, until));
      this.state = advance(this.state, until);
    }
    return this.state;
  }

  /** Read the whole log once more, and fold it anew: before money follows from it. */
  async readAnew(): Promise<State> {
    const { event, timeNs } = this.#created;
    const until = await this.ledger.watermark();
    const items = await this.#between(timeNs, until);
    if (until < this.state.nowNs || items.length < this.#seen.size) return this.state; // a mirror that is behind
    this.bids.clear();
    this.#seen.clear();
    this.#heard = 0;
    this.state = begin(this.place, event, timeNs);
    this.#take(items);
    this.state = advance(this.state, until);
    return this.state;
  }

  async #between(after: bigint, until: bigint): Promise<Placed[]> {
    const events = await this.ledger.events(after, until, this.place.task);
    const messages = await this.ledger.messages(this.state.topic, after, until);
    const placed: Placed[] = events.map(({ timeNs, index, event }) => ({ timeNs, index, what: { timeNs, event } }));
    for (const { timeNs, data } of messages) {
      const parsed = parsedOrNull(data);
      if (parsed?.type === "entry" || parsed?.type === "log") placed.push({ timeNs, index: 0, what: { timeNs, entry: parsed } });
      else if (parsed) placed.push({ timeNs, index: 0, what: parsed });
    }
    return placed.sort((a, b) => (a.timeNs < b.timeNs ? -1 : a.timeNs > b.timeNs ? 1 : a.index - b.index));
  }

  #take(items: readonly Placed[]): void {
    for (const { timeNs, index, what } of items) {
      this.#seen.add(`${timeNs}/${index}`);
      if ("timeNs" in what) this.state = step(this.state, what);
      else this.#takeBid(what, timeNs);
    }
  }

  #takeBid(bid: BidCommitment, timeNs: bigint): void {
    const inTime = timeNs <= BigInt(this.state.plan.bidUntil) * SECOND_NS;
    if (bid.task !== this.place.task || !inTime || this.#heard >= BIDS) return;
    this.#heard++;
    this.bids.set(bid.trainer, [...(this.bids.get(bid.trainer) ?? []), bid]);
  }
}

interface Placed {
  readonly timeNs: bigint;
  readonly index: number;
  readonly what: Item | BidCommitment;
}

/** Anyone may write anything on a topic. */
function parsedOrNull(data: Uint8Array): Entry | BidCommitment | LogEntry | null {
  try {
    return parse(data);
  } catch (error) {
    if (error instanceof CodecError || error instanceof RangeError) return null;
    throw error;
  }
}

/** The log of a task that must be there. */
export async function mustFind(ledger: LedgerReader, task: TaskId): Promise<TaskLog> {
  const found = await TaskLog.find(ledger, task);
  if (found) return found;
  throw new MarketError(`there is no task ${task} on this ledger`, { code: "SHOAL-T08" });
}
