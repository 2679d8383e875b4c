// The ledger as a tab uses it: reads from the mirror, transactions through the wallet, each of them once.
//
// A transaction's id is chosen and kept in IndexedDB before the wallet sees it. After a reload, or a lost answer, the
// mirror tells what became of that id; a second transaction of the same name is made only when the first has failed, or
// its time is over without it. So a reload never pays twice.

import type { Transaction } from "@hiero-ledger/sdk";

import { type Bytes, toHex } from "./bytes";
import { type AccountState, type Call, decodeAccount, decodeEvent, decodeRevert, encodeAccountView, encodeCall } from "./contract";
import { CallReverted, LedgerError } from "./errors";
import type { TaskEvent } from "./events";
import { CALL_GAS, LARGE_GAS, type Kind, type Rate, feeCap } from "./fees";
import { type Address, type TaskId, address } from "./ids";
import * as limits from "./limits";
import { type Message, Mirror, parseTime, pause, readTopic } from "./mirror";
import type { Tinybar } from "./money";
import type { Store } from "./store";
import { SECOND_NS } from "./task";
import { SentOtherwise, type Wallet, WalletRefused } from "./wallet";

type Sdk = typeof import("@hiero-ledger/sdk");
const load = (): Promise<Sdk> => import("@hiero-ledger/sdk");

const BACKDATE_NS = 5n * SECOND_NS;
const JITTER_NS = 3_000_000_000;
/** How far past the end of a transaction the mirror must be before it counts as one that never happened. */
const LAG_NS = 10n * SECOND_NS;
const POLL_MS = 500;
const DENIALS = 3;
const LARGE: ReadonlySet<Call["name"]> = new Set(["createTask", "draw", "drawJury", "resolve"]);

export interface LedgerSettings {
  readonly network: string;
  /** `0.0.N` of the market. */
  readonly contractId: string;
  readonly mirrorRest: string;
}

/** An event of the contract in its place. */
export interface LoggedEvent {
  readonly timeNs: bigint;
  readonly index: number;
  readonly event: TaskEvent;
  readonly transaction: string;
}

/** A transaction that has consensus and succeeded. */
export interface Landed {
  /** `0.0.x-seconds-nanoseconds`, as the mirror writes it. */
  readonly transaction: string;
  /** The number of what it created. */
  readonly entity: bigint | null;
  readonly timeNs: bigint;
  readonly feeTinybar: Tinybar;
}

/** What is kept of a transaction before it is sent. */
interface Journal {
  readonly transaction: string;
  readonly untilNs: bigint;
  readonly landed: Landed | null;
}

/** Reading needs no wallet. Every read goes by consensus time: after < time <= until. */
export class LedgerReader {
  readonly mirror: Mirror;
  #contract: string | null = null;

  constructor(readonly settings: LedgerSettings) {
    this.mirror = new Mirror(settings.mirrorRest);
  }

  async watermark(): Promise<bigint> {
    // A public mirror may be several machines, of which one is behind: its newest seconds are left to settle.
    const margin = this.settings.network === "devnet" ? 0n : 2n * SECOND_NS;
    const newest = (await this.mirror.watermark()) - margin;
    return newest > 0n ? newest : 0n;
  }

  async events(afterNs: bigint, untilNs: bigint, task?: TaskId): Promise<LoggedEvent[]> {
    if (untilNs <= afterNs) return [];
    const found: LoggedEvent[] = [];
    const path = `/contracts/${this.settings.contractId}/results/logs`;
    let last: [bigint, number] = [afterNs, Infinity];
    for await (const row of this.mirror.rows(path, "logs", afterNs, untilNs)) {
      const [timeNs, index] = [parseTime(String(row["timestamp"])), Number(row["index"])];
      if (timeNs < last[0] || (timeNs === last[0] && index <= last[1]) || timeNs > untilNs) continue;
      last = [timeNs, index];
      const event = decodeEvent(row["topics"] as string[], String(row["data"]));
      if (event && (!task || event.taskId === task)) {
        found.push({ timeNs, index, event, transaction: String(row["transaction_hash"]) });
      }
    }
    return found;
  }

  async messages(topic: bigint, afterNs: bigint, untilNs: bigint): Promise<Message[]> {
    return untilNs <= afterNs ? [] : await readTopic(this.mirror, topic, afterNs, untilNs);
  }

  /** The address by which the contract knows an account: never computed, always asked for. */
  async addressOf(account: string): Promise<Address> {
    return address(String((await this.mirror.need(`/accounts/${account}`))["evm_address"]));
  }

  async balanceOf(account: string): Promise<Tinybar> {
    const row = await this.mirror.need(`/accounts/${account}`);
    return BigInt((row["balance"] as { balance: number }).balance);
  }

  /** What the contract holds of an account. */
  async accountState(who: Address): Promise<AccountState> {
    const { status, body } = await this.simulate(encodeAccountView(who), "0".repeat(40) as Address, limits.CALL_GAS, 0n);
    if (status !== 200) throw new LedgerError("the contract does not tell of an account", { code: "SHOAL-L06" });
    return decodeAccount(String(body["result"]));
  }

  async rate(): Promise<Rate> {
    const row = (await this.mirror.need("/network/exchangerate"))["current_rate"] as Record<string, number>;
    return { cents: BigInt(row["cent_equivalent"]!), hbars: BigInt(row["hbar_equivalent"]!) };
  }

  protected async simulate(data: Bytes, from: Address, gas: number, value: Tinybar): Promise<{ status: number; body: Record<string, unknown> }> {
    this.#contract ??= String((await this.mirror.need(`/contracts/${this.settings.contractId}`))["evm_address"]);
    const call = { from: `0x${from}`, to: this.#contract, data: `0x${toHex(data)}`, gas, value: Number(value), block: "latest" };
    return await this.mirror.post("/contracts/call", call);
  }
}

/** A ledger with the user's wallet. Names of transactions are the caller's: one name, one transaction. */
export class Ledger extends LedgerReader {
  private constructor(
    settings: LedgerSettings,
    readonly wallet: Wallet,
    readonly address: Address,
    private readonly store: Store,
  ) {
    super(settings);
  }

  static async open(settings: LedgerSettings, wallet: Wallet, store: Store): Promise<Ledger> {
    if (wallet.network !== settings.network) {
      throw new LedgerError(`the wallet is on ${wallet.network}, the node on ${settings.network}`, {
        code: "SHOAL-L04",
        hint: "switch the wallet to the node's network",
      });
    }
    const found = await new LedgerReader(settings).addressOf(wallet.accountId);
    return new Ledger(settings, wallet, found, store);
  }

  /** A topic that nobody owns: no admin key, no submit key. */
  async createTopic(name: string, memo: string): Promise<bigint> {
    const landed = await this.#once(name, "topic", (sdk) => new sdk.TopicCreateTransaction().setTopicMemo(memo));
    if (landed.entity === null) throw new LedgerError("the topic has no number", { code: "SHOAL-L04" });
    return landed.entity;
  }

  /** One message; in several chunks where it is larger than 1,024 bytes. */
  async submit(name: string, topic: bigint, data: Bytes): Promise<Landed> {
    return await this.#once(name, "message", (sdk) =>
      new sdk.TopicMessageSubmitTransaction()
        .setTopicId(`0.0.${topic}`)
        .setMessage(data)
        .setChunkSize(limits.TOPIC_MESSAGE_BYTES)
        .setMaxChunks(limits.TOPIC_CHUNKS),
    );
  }

  /** Pay somebody, with a memo that says what for. */
  async transfer(name: string, to: string, amount: Tinybar, memo: string): Promise<Landed> {
    return await this.#once(name, "transfer", (sdk) =>
      new sdk.TransferTransaction()
        .addHbarTransfer(this.wallet.accountId, sdk.Hbar.fromTinybars((-amount).toString()))
        .addHbarTransfer(to, sdk.Hbar.fromTinybars(amount.toString()))
        .setTransactionMemo(memo),
    );
  }

  /** A function of the contract, after a free simulation that catches most refusals before they cost a fee. */
  async call(name: string, call: Call, value: Tinybar = 0n): Promise<Landed> {
    const data = encodeCall(call);
    const gas = LARGE.has(call.name) ? LARGE_GAS : CALL_GAS;
    const before = async (): Promise<void> => {
      const { status, body } = await this.simulate(data, this.address, gas, value);
      if (status === 200) return;
      const messages = (body["_status"] as { messages?: { data?: string }[] } | undefined)?.messages ?? [];
      const { reason, text } = decodeRevert(messages.map((each) => each.data ?? "").find((each) => each.length > 2) ?? "");
      // Of what it cannot simulate the network itself will tell.
      if (reason !== "Unknown") throw new CallReverted(`${call.name}: ${text}`, reason);
    };
    const make = (sdk: Sdk): Transaction =>
      new sdk.ContractExecuteTransaction()
        .setContractId(this.settings.contractId)
        .setGas(gas)
        .setPayableAmount(sdk.Hbar.fromTinybars(value.toString()))
        .setFunctionParameters(data);
    return await this.#once(name, { gas }, make, before);
  }

  /** What became of a transaction that was sent under a name; null if there is none that happened or may happen. */
  async resume(name: string): Promise<Landed | null> {
    const kept = await this.store.get<Journal>("transactions", name);
    if (!kept) return null;
    if (kept.landed) return kept.landed;
    const landed = await this.#outcome(name, kept);
    if (landed) await this.store.put("transactions", name, { ...kept, landed } satisfies Journal);
    else await this.store.delete("transactions", name);
    return landed;
  }

  /** Forget the transactions of something that is over. */
  async forget(prefix: string): Promise<void> {
    for (const name of await this.store.keys("transactions")) {
      if (name.startsWith(prefix)) await this.store.delete("transactions", name);
    }
  }

  async #once(name: string, kind: Kind, make: (sdk: Sdk) => Transaction, before?: () => Promise<void>): Promise<Landed> {
    return await alone(`shoal/${name}`, async () => {
      const earlier = await this.resume(name);
      if (earlier) return earlier;
      await before?.();
      const sdk = await load();
      const startNs = BigInt(Date.now()) * 1_000_000n - BACKDATE_NS - BigInt(Math.floor(Math.random() * JITTER_NS));
      const [seconds, nanos] = [startNs / SECOND_NS, startNs % SECOND_NS];
      const start = new sdk.Timestamp(Number(seconds), Number(nanos));
      const cap = feeCap(kind, await this.rate());
      const transaction = make(sdk)
        .setTransactionId(sdk.TransactionId.withValidStart(sdk.AccountId.fromString(this.wallet.accountId), start))
        .setTransactionValidDuration(this.wallet.validS)
        .setMaxTransactionFee(sdk.Hbar.fromTinybars(cap.toString()));
      const journal: Journal = {
        transaction: `${this.wallet.accountId}-${seconds}-${nanos.toString().padStart(9, "0")}`,
        untilNs: startNs + BigInt(this.wallet.validS) * SECOND_NS,
        landed: null,
      };
      await this.store.put("transactions", name, journal);
      const problem = await this.wallet.execute(transaction).then(() => null, asError);
      if (problem instanceof WalletRefused || certainlyNot(problem)) {
        await this.store.delete("transactions", name);
        throw problem instanceof WalletRefused ? problem : refused(name, String(problem?.message));
      }
      const { transaction: other } = problem instanceof SentOtherwise ? problem : journal;
      if (other !== journal.transaction) await this.store.put("transactions", name, { ...journal, transaction: other });
      const landed = await this.#landed(name, other);
      if (landed) return landed;
      throw new LedgerError(`${name} did not happen in time`, {
        code: "SHOAL-L01",
        hint: "try again",
        money: "nothing was spent by this",
      });
    });
  }

  async #landed(name: string, transaction: string): Promise<Landed | null> {
    try {
      return await this.resume(name);
    } catch (error) {
      // It failed at consensus, for good: the next attempt is a new transaction.
      if (error instanceof FailedAtConsensus) await this.store.delete("transactions", name);
      if (error instanceof FailedAtConsensus && error.status === "CONTRACT_REVERT_EXECUTED") {
        const row = await this.mirror.get(`/contracts/results/${transaction}`);
        const { reason, text } = decodeRevert(String(row?.["error_message"] ?? ""));
        throw new CallReverted(`${name}: ${text}`, reason);
      }
      throw error;
    }
  }

  /** Ask the mirror until it knows; null once it is certain that the transaction never happened. */
  async #outcome(name: string, kept: Journal): Promise<Landed | null> {
    for (let denials = 0; ; await pause(POLL_MS)) {
      const row = await this.mirror.transaction(kept.transaction);
      if (row) {
        if (row["result"] !== "SUCCESS") {
          await this.store.delete("transactions", name);
          throw new FailedAtConsensus(name, kept.transaction, String(row["result"]));
        }
        const entity = row["entity_id"] === null ? null : String(row["entity_id"]).split(".").at(-1)!;
        return {
          transaction: kept.transaction,
          entity: entity === null ? null : BigInt(entity),
          timeNs: parseTime(String(row["consensus_timestamp"])),
          feeTinybar: BigInt(row["charged_tx_fee"] as number),
        };
      }
      if ((await this.mirror.watermark()) > kept.untilNs + LAG_NS && ++denials >= DENIALS) return null;
    }
  }
}

/** It has consensus and did not succeed: its fee is spent, nothing else. */
class FailedAtConsensus extends LedgerError {
  constructor(
    what: string,
    readonly transaction: string,
    readonly status: string,
  ) {
    super(`Hedera refused ${what} (${transaction}): ${status}`, {
      code: "SHOAL-L04",
      hint: "the status is one of Hedera's response codes; their documentation explains it",
      money: "the transaction failed; its fee was spent",
    });
  }
}

/** One at a time in all tabs of this browser, where it has locks. */
async function alone<Result>(name: string, work: () => Promise<Result>): Promise<Result> {
  const { locks } = globalThis.navigator ?? {};
  return locks ? ((await locks.request(name, work)) as Result) : await work();
}

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)));

/** A node refused to take it before consensus: the SDK's precheck error. */
function certainlyNot(problem: Error | null): boolean {
  return problem?.name === "StatusError" && /failed precheck/.test(problem.message) && !/DUPLICATE_TRANSACTION/.test(problem.message);
}

function refused(what: string, status: string): LedgerError {
  const poor = /INSUFFICIENT_(PAYER|ACCOUNT)_BALANCE/.test(status);
  return new LedgerError(`Hedera did not take ${what}: ${status}`, {
    code: poor ? "SHOAL-L03" : "SHOAL-L04",
    hint: poor ? "top the account up with HBAR" : "the status is one of Hedera's response codes",
    money: "nothing was spent by this",
  });
}
