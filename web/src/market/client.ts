// The client of one task, in a tab: it pays, awards, hands out envelopes, starts, and may then be closed.
//
// Everything it does follows from the log and from what the browser keeps, so a tab that was reloaded goes on where it
// was, as long as it is back before the deadlines that the contract enforces. If it never is, the task expires and the
// escrow comes back.

import { assign } from "./assign";
import { type Bid, awardRoot, clear, commitment, decodeAward, encodeAward, parseOpening, primaries } from "./auction";
import { SHARED_LABEL, type Bundle, type Pointer, bundleBytes, heldBy, pointerBytes, sharedBytes } from "./bundle";
import { type Bytes, fromHex, toHex } from "./bytes";
import { chunkFile, fewestChunks } from "./chunks";
import { CodecError, type Table } from "./codec";
import type { Call } from "./contract";
import type { Split } from "./dataset";
import { isClosed, payments, resultVote } from "./duties";
import { dataOf, signedBy } from "./entries";
import { CallReverted, CryptoFault, MarketError, ShoalError, StorageError } from "./errors";
import { type DocumentInfo, type Gateway, type GraphQuote, type Info, type Wish } from "./gateway";
import { type Address, type TaskId, digestOf, taskId, taskOf } from "./ids";
import type { Keys } from "./keys";
import type { Landed, Ledger } from "./ledger";
import { manifestHash, parseManifest } from "./manifest";
import { pause } from "./mirror";
import { type Outlook, outlook } from "./outlook";
import { type Plan, escrow, planOf } from "./plan";
import { checkedBytes, makeManifest, makePieces, uploadsOf } from "./prepare";
import { Kept, type TaskRecord } from "./record";
import { encryptDeterministic, seal } from "./seal";
import type { Store } from "./store";
import { SECOND_NS, type State, active } from "./task";
import { TaskLog, mustFind } from "./tasklog";
import { type Progress, forgetFiles, keepFile, readUrl, sendAll } from "./upload";
import { WalletRefused } from "./wallet";

/** What an entry that has consensus and that the log does not show waits for, before it is sent once more. */
const LOST_NS = 30n * SECOND_NS;
const POLL_MS = 700;
const LONGEST_PAUSE_MS = 15_000;
const DEFAULT_TRAINERS = 4;

/** All that a client works with. */
export interface Desk {
  readonly store: Store;
  readonly gateway: Gateway;
  readonly ledger: Ledger;
  readonly keys: Keys;
  readonly info: Info;
}

/** What the ML user wants. */
export interface Order {
  /** Public. */
  readonly name: string;
  readonly document: DocumentInfo;
  /** Initial weights in clear (safetensors), with their promised hash. */
  readonly weights: Bytes;
  readonly weightsSha256: string;
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly split: Split;
  /** How many there are; 0 where numbers are predicted. */
  readonly classes: number;
  readonly rounds?: number;
  readonly trainers?: number;
  readonly chunks?: number;
  readonly budgetTinybar?: number;
  readonly bidS?: number;
}

/** What is told while a client works. */
export interface Told {
  readonly outlook: Outlook;
  readonly state: State | null;
  readonly upload?: Progress;
  /** What stands in the way at present; it is tried again. */
  readonly problem?: ShoalError;
}

export interface RunOptions {
  readonly signal?: AbortSignal;
  readonly onChange?: (told: Told) => void;
}

/** What a training would cost at most; nothing is spent. */
export async function quoteOf(gateway: Gateway, order: Order): Promise<GraphQuote> {
  return await gateway.quote(wishOf(order));
}

/**
 * Encrypt and keep everything; nothing is sent or paid.
 *
 * @param agreed the quote that the user said yes to: never more is locked or paid.
 */
export async function prepareTask(
  desk: Desk,
  order: Order,
  agreed: GraphQuote,
  onProgress?: (done: number, total: number) => void,
): Promise<TaskClient> {
  await checkedBytes(order.weights, order.weightsSha256, "model's weights");
  const plan = planOf(agreed.plan);
  const seed = BigInt(Number(agreed.recipe["seed"] ?? 0));
  const options = { chunks: plan.chunks, seed, ...(onProgress ? { onProgress } : {}) };
  const pieces = await makePieces(desk.store, order.split, order.weights, options);
  const { name, document, classes } = order;
  const manifest = makeManifest({ info: desk.info, name, document, pieces, quote: agreed, classes });
  const record: TaskRecord = {
    task: taskId(desk.ledger.address, manifestHash(parseManifest(manifest))),
    name,
    madeAt: Date.now(),
    account: desk.ledger.wallet.accountId,
    client: desk.ledger.address,
    network: desk.info.network,
    contract: desk.info.contract_id,
    wish: { ...wishOf(order), chunks: plan.chunks, upload_bytes: uploadsOf(pieces).reduce((sum, each) => sum + each.bytes, 0) },
    document,
    pieces,
    manifest,
    agreedEscrow: escrow(plan),
    agreedStorage: BigInt(agreed.storage_fee_tinybar),
    test: chunkFile(order.split.test),
    uploaded: false,
    topic: null,
    created: false,
    award: null,
    outbox: [],
    resent: {},
    over: false,
  };
  return new TaskClient(desk, await Kept.make(desk.store, record));
}

/** A task that this browser has prepared, now or before a reload. */
export async function resumeTask(desk: Desk, task: TaskId): Promise<TaskClient> {
  const kept = await Kept.load(desk.store, task);
  if (kept.now.client !== desk.ledger.address) {
    throw new MarketError(`account ${kept.now.account} bought this task`, { code: "SHOAL-U08", hint: "connect that account" });
  }
  return new TaskClient(desk, kept);
}

export class TaskClient {
  #log: TaskLog | null = null;
  readonly #openings = new Map<Address, Bid>();

  constructor(
    private readonly desk: Desk,
    private readonly kept: Kept,
  ) {}

  get record(): TaskRecord {
    return this.kept.now;
  }

  get state(): State | null {
    return this.#log?.state ?? null;
  }

  /**
   * Until the tab may be closed, or the task is over. Stopped by `signal` at any moment, it goes on when it is called
   * again. Throws WalletRefused when the user says no, and MarketError when it would cost more than was agreed.
   */
  async run(options: RunOptions = {}): Promise<State> {
    return await this.#alone(async () => {
      await this.#send(options);
      await this.#create(options);
      return await this.#drive(options, (state) => state.phase !== "open" && state.phase !== "awarded");
    });
  }

  /** From the start to the end: vote where too few trainers are left, settle, claim for the absent, withdraw. */
  async finish(options: RunOptions = {}): Promise<State> {
    return await this.#alone(async () => {
      this.#log ??= await mustFind(this.desk.ledger, this.record.task);
      const state = await this.#drive(options, isClosed);
      await this.withdraw();
      await this.kept.change({ over: true });
      await this.desk.ledger.forget(`${this.record.task}/`);
      return state;
    });
  }

  /** Follow the log without doing anything. */
  async look(): Promise<State> {
    this.#log ??= await mustFind(this.desk.ledger, this.record.task);
    return await this.#log.catchUp();
  }

  /** Give the task up before it starts: all comes back, less a compensation for each trainer that has accepted. */
  async cancel(): Promise<Landed> {
    return await this.#call({ name: "cancel", task: this.record.task });
  }

  /** Take what the contract holds for this account; null when that is nothing. */
  async withdraw(): Promise<Landed | null> {
    const { balance } = await this.desk.ledger.accountState(this.record.client);
    if (!balance) return null;
    const landed = await this.desk.ledger.call(`${this.record.task}/withdraw`, { name: "withdraw" });
    await this.desk.ledger.forget(`${this.record.task}/withdraw`);
    return landed;
  }

  // ------------------------------------------------------------ before the task exists

  async #send({ signal, onChange }: RunOptions): Promise<void> {
    if (this.record.uploaded || this.record.created) return;
    const { gateway, store, ledger } = this.desk;
    const uploads = uploadsOf(this.record.pieces);
    const onProgress = (upload: Progress): void => onChange?.({ outlook: this.#outlook(), state: null, upload });
    await sendAll(store, gateway, uploads, { onProgress, ...(signal ? { signal } : {}) });
    const taken = await gateway.takeManifest(this.record.manifest, `0x${ledger.address}`);
    if (taskOf(taken.task_id) !== this.record.task) {
      throw new MarketError("the node counts on another task than this browser", { code: "SHOAL-T08", money: "nothing was spent" });
    }
    const fee = BigInt(taken.storage_fee_tinybar) - BigInt(taken.storage_credit_tinybar);
    if (fee > this.record.agreedStorage) throw dearer("storage");
    if (fee > 0n) {
      await ledger.transfer(`${this.record.task}/storage`, taken.storage_account, fee, taken.storage_memo);
    }
    await this.kept.change({ uploaded: true });
    await forgetFiles(store, uploads);
  }

  async #create({ signal, onChange }: RunOptions): Promise<void> {
    const { gateway, keys, ledger } = this.desk;
    const { task, manifest } = this.record;
    onChange?.({ outlook: this.#outlook(), state: null });
    signal?.throwIfAborted();
    if (!this.record.created && !(await TaskLog.find(ledger, task))) {
      const topic = this.record.topic ?? (await ledger.createTopic(`${task}/topic`, `shoal task ${task.slice(0, 16)}`));
      await this.kept.change({ topic });
      signal?.throwIfAborted();
      const plan = await this.#freshPlan();
      const { signingKey, recipient } = keys;
      const call: Call = { name: "createTask", manifestHash: manifestHash(parseManifest(manifest)), topic, signingKey, recipient, plan };
      await ledger.call(`${task}/createTask`, call, escrow(plan)).catch((error: unknown) => {
        if (!(error instanceof CallReverted && error.reason === "TaskExists")) throw error;
      });
    }
    await this.kept.change({ created: true });
    while (!this.#log) {
      this.#log = await TaskLog.find(ledger, task);
      if (!this.#log) await pause(POLL_MS);
    }
    for (let wait = POLL_MS; ; wait = Math.min(2 * wait, LONGEST_PAUSE_MS)) {
      const problem = await gateway.announce(task).then(() => null, ours);
      if (!problem) return;
      if (wait === LONGEST_PAUSE_MS) throw problem;
      await pause(wait); // its mirror may be behind ours
    }
  }

  /** The quote once more, since its deadlines count from now. */
  async #freshPlan(): Promise<Plan> {
    const quote = await this.desk.gateway.quote(this.record.wish);
    const plan = planOf(quote.plan);
    if (escrow(plan) > this.record.agreedEscrow) throw dearer("the training");
    if (plan.chunks !== this.record.pieces.chunks.length || escrow(plan) !== BigInt(quote.escrow_tinybar)) {
      throw new MarketError("the node's plan does not fit this task", { code: "SHOAL-T03", money: "nothing was spent by this" });
    }
    return plan;
  }

  // ------------------------------------------------------------ driven by the log

  async #drive({ signal, onChange }: RunOptions, done: (state: State) => boolean): Promise<State> {
    const log = this.#log!;
    for (let wait = POLL_MS; ; ) {
      signal?.throwIfAborted();
      try {
        const state = await log.catchUp();
        onChange?.({ outlook: this.#outlook(), state });
        await this.#sendOutbox(state);
        if (done(state)) return state;
        await this.#step(state);
        wait = POLL_MS;
      } catch (error) {
        const problem = ours(error);
        if (problem instanceof WalletRefused || problem instanceof MarketError) throw problem;
        onChange?.({ outlook: this.#outlook(), state: log.state, problem });
        wait = Math.min(2 * wait, LONGEST_PAUSE_MS);
      }
      await pause(wait);
    }
  }

  /** The next thing that the log asks of the client. */
  async #step(state: State): Promise<void> {
    for (const payment of payments(state)) await this.#call(payment);
    if (state.phase === "open") await this.#open(state);
    else if (state.phase === "awarded") await this.#assemble(state);
    else if (state.phase === "finished" && active(state).length < state.quorum) {
      const vote = resultVote(state);
      if (vote) await this.#call(vote);
    }
  }

  async #open(state: State): Promise<void> {
    const { task, manifest } = this.record;
    if (!state.manifest) return await this.#post(state, "manifest", { manifest });
    const deadline = BigInt(state.plan.bidUntil) * SECOND_NS;
    if (state.nowNs <= deadline) return;
    await this.#takeOpenings();
    const bids = this.#log!.bids;
    const allOpen = [...bids.keys()].every((trainer) => this.#openings.has(trainer));
    const grace = BigInt(this.desk.info.opening_grace_s) * SECOND_NS;
    if (!allOpen && state.nowNs <= deadline + grace && !this.record.award) return;
    const award = this.record.award ? decodeAward(this.record.award) : await this.#clear(state);
    if (!award) {
      await this.#call({ name: "cancel", task });
      return;
    }
    await this.kept.change({ award: encodeAward(award) });
    await this.#call({ name: "award", task, root: awardRoot(award, task), unitPrice: award.unitPrice, primaries: primaries(award) });
  }

  /** Opened bids as the node took them. It can hide one; it cannot make one, since each was sealed and signed. */
  async #takeOpenings(): Promise<void> {
    const { task } = this.record;
    for (const payload of await this.desk.gateway.openings(task)) {
      try {
        const [of, bid] = parseOpening(payload);
        if (of === task && !this.#openings.has(bid.trainer) && (await this.#wasSealed(bid))) {
          this.#openings.set(bid.trainer, bid);
        }
      } catch (error) {
        if (!(error instanceof CodecError)) throw error;
      }
    }
  }

  /** Whether it is the first bid on the topic in time that its trainer's registered key has signed. */
  async #wasSealed(bid: Bid): Promise<boolean> {
    const sealed = this.#log!.bids.get(bid.trainer) ?? [];
    const { signingKey } = await this.desk.ledger.accountState(bid.trainer);
    return sealed.find((each) => signedBy(signingKey, each))?.commitment === commitment(this.record.task, bid);
  }

  async #clear(state: State): Promise<ReturnType<typeof clear>> {
    const { plan } = state;
    const good: Bid[] = [];
    for (const bid of this.#openings.values()) {
      const { freeStake } = await this.desk.ledger.accountState(bid.trainer);
      if (freeStake >= plan.stakePerSeat) good.push(bid);
    }
    return clear(good, {
      task: this.record.task,
      chunks: plan.chunks,
      seats: plan.seats,
      minTrainers: plan.minTrainers,
      ceiling: plan.maxUnitPrice,
      nowS: Number(state.nowNs / SECOND_NS),
    });
  }

  async #assemble(state: State): Promise<void> {
    const { plan } = state;
    const nowS = Number(state.nowNs / SECOND_NS);
    if (!state.award.length) {
      if (!this.record.award) return; // another browser awarded it, and has the leaves
      const leaves = decodeAward(this.record.award).leaves;
      const rows = leaves.map((leaf) => [fromHex(leaf.trainer), BigInt(leaf.units), BigInt(leaf.rank)]);
      return await this.#post(state, "award", { leaves: rows });
    }
    if (!state.holders.length) {
      const wanted = state.award.filter((leaf) => leaf.rank === 0).length;
      const until = state.award.length > wanted ? plan.standbyUntil : plan.acceptUntil;
      const settled = state.seats.length >= wanted || nowS > until;
      if (!settled || state.seats.length < plan.minTrainers) return;
      const number = (index: number | null): bigint | null => (index === null ? null : BigInt(index));
      const holders = assign(state.seats, plan.chunks).map((each) => [number(each.primary), number(each.backup)]);
      return await this.#post(state, "assign", { holders });
    }
    await this.#handOut(state);
    const busy = new Set(state.holders.flatMap((each) => [each.primary, each.backup]));
    const expected = state.seats.filter((_, index) => busy.has(index));
    const ready = expected.filter((seat) => seat.ready).length;
    const late = nowS > Math.floor((plan.standbyUntil + plan.startUntil) / 2);
    if (ready === expected.length || (late && ready >= plan.minTrainers)) {
      await this.#call({ name: "start", task: this.record.task });
    }
  }

  /** An envelope for each seat that has none: bundles are uploaded first, then what points to them is posted. */
  async #handOut(state: State): Promise<void> {
    const todo = [...state.seats.entries()].filter(
      ([, seat]) => !state.envelopes.has(seat.trainer) && !this.kept.hasSigned("envelope", seat.trainer),
    );
    if (!todo.length) return;
    const { gateway } = this.desk;
    const slots = [];
    for (const index of state.seats.keys()) slots.push(await gateway.slots(this.record.task, index));
    const get: Record<string, string> = Object.assign({}, ...slots.map((each) => each.get));
    const { secret } = this.record.pieces.secrets;
    const shared = await this.#place(encryptDeterministic(secret, SHARED_LABEL, sharedBytes(get)).cipher);
    for (const [index, seat] of todo) {
      const bundle = bundleBytes(await this.#bundle(state, index, slots[index]!.put, shared));
      let sealed: Bytes;
      try {
        const pointer = await this.#place(await seal(bundle, seat.recipient));
        sealed = await seal(pointerBytes(pointer), seat.recipient);
      } catch (error) {
        if (error instanceof CryptoFault) continue; // nobody can hold the identity of such a recipient
        throw error;
      }
      await this.#post(this.#log!.state, "envelope", { to: fromHex(seat.trainer), sealed });
    }
  }

  async #bundle(state: State, seat: number, put: Readonly<Record<string, string>>, shared: Pointer): Promise<Bundle> {
    const { chunks, validation, initialBlob, secrets } = this.record.pieces;
    const url = (sha256: string): Promise<string> => readUrl(this.desk.store, this.desk.gateway, digestOf(sha256));
    const held = new Map<number, readonly [string, string]>();
    for (const chunk of heldBy(state.holders, seat)) {
      held.set(chunk, [await url(chunks[chunk]!.blob.sha256), secrets.chunkKeys[chunk]!]);
    }
    return {
      secret: secrets.secret,
      chunks: held,
      validation: [await url(validation.blob.sha256), secrets.validationKey],
      initial: await url(initialBlob.sha256),
      put,
      shared,
    };
  }

  /** Upload an object that has just been made. */
  async #place(data: Bytes): Promise<Pointer> {
    const { store, gateway } = this.desk;
    const upload = await keepFile(store, data);
    await sendAll(store, gateway, [upload]);
    await forgetFiles(store, [upload]);
    return { url: await readUrl(store, gateway, upload.sha256), sha256: upload.sha256, sizeBytes: upload.bytes };
  }

  // ------------------------------------------------------------ entries and calls

  async #post(state: State, kind: string, body: Table): Promise<void> {
    const to = body["to"];
    const signed = to instanceof Uint8Array ? this.kept.hasSigned(kind, toHex(to)) : this.kept.hasSigned(kind);
    if (!signed) await this.kept.sign(this.desk.keys, state, kind, body);
    await this.#sendOutbox(state);
  }

  /** In order, each after the one before has consensus, since that is the order of the chain. */
  async #sendOutbox(state: State): Promise<void> {
    const { gateway, ledger } = this.desk;
    const next = state.authors.get(state.client)?.sequence ?? 0n;
    for (const entry of this.kept.entries()) {
      if (entry.sequence < next) continue;
      const again = this.record.resent[String(entry.sequence)] ?? 0;
      const name = `${this.record.task}/entry/${entry.sequence}/${again}`;
      const landed = await ledger.resume(name);
      if (landed) {
        // Of a message in chunks perhaps only the first has consensus: then no log will ever show it.
        if (state.nowNs > landed.timeNs + LOST_NS) {
          await this.kept.change({ resent: { ...this.record.resent, [String(entry.sequence)]: again + 1 } });
        }
        continue;
      }
      const data = dataOf(entry);
      await gateway.gossip(this.record.task, data).catch(() => null); // only faster
      await ledger.submit(name, state.topic, data);
    }
  }

  /** A call of this task. What somebody did already, or comes too late, is no error: the log shows what is true. */
  async #call(call: Call): Promise<Landed> {
    const whose = "trainer" in call ? `/${call.trainer}` : "validator" in call ? `/${call.validator}` : "";
    const which = "dispute" in call ? `/${call.dispute}` : "";
    const since = "since" in call ? `/${call.since}` : "";
    return await this.desk.ledger.call(`${this.record.task}/${call.name}${whose}${which}${since}`, call);
  }

  #outlook(): Outlook {
    return outlook(this.record, this.state);
  }

  /** One tab at a time drives a task. */
  async #alone<Result>(work: () => Promise<Result>): Promise<Result> {
    const { locks } = globalThis.navigator ?? {};
    if (!locks) return await work();
    return (await locks.request(`shoal/task/${this.record.task}`, { ifAvailable: true }, async (lock) => {
      if (lock) return await work();
      throw new MarketError("another tab is at work on this task", { code: "SHOAL-U08", hint: "go on there, or close it" });
    })) as Result;
  }
}

function wishOf(order: Order): Wish {
  const recipeTrainers = order.recipe["trainers"];
  const trainers = order.trainers ?? (typeof recipeTrainers === "number" ? recipeTrainers : DEFAULT_TRAINERS);
  return {
    document_sha256: order.document.document_sha256,
    recipe: order.recipe,
    rows: order.split.train.x.shape[0] ?? 0,
    trainers,
    chunks: order.chunks ?? Math.max(trainers, fewestChunks(order.split.train)),
    ...(order.rounds === undefined ? {} : { rounds: order.rounds }),
    ...(order.budgetTinybar === undefined ? {} : { budget_tinybar: order.budgetTinybar }),
    ...(order.bidS === undefined ? {} : { bid_s: order.bidS }),
  };
}

const dearer = (what: string): MarketError =>
  new MarketError(`${what} costs more now than you agreed to`, {
    code: "SHOAL-T01",
    hint: "look at a new quote",
    money: "nothing was spent by this",
  });

/** Errors that people are told; anything else is a mistake of the program and goes on as it is. */
function ours(error: unknown): ShoalError {
  if (error instanceof ShoalError) return error;
  if (error instanceof TypeError && /fetch|network/i.test(error.message)) {
    return new StorageError("the node cannot be reached", { code: "SHOAL-S01", hint: "is it running?" });
  }
  throw error;
}
