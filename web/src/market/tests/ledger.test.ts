import "fake-indexeddb/auto";

import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import type { Transaction } from "@hiero-ledger/sdk";

import { concat, random, toHex } from "../bytes";
import { LedgerError } from "../errors";
import { feeCap } from "../fees";
import { Ledger } from "../ledger";
import { Mirror, Reassembly, fromBase64, parseTime, timeText, toBase64 } from "../mirror";
import { type Store, openStore } from "../store";
import { SentOtherwise, type Wallet, WalletRefused, prefixed } from "../wallet";
import { vectors } from "./vectors";

/** A mirror that shows what a test has put there: transactions by id, and the newest consensus time. */
class FakeMirror {
  readonly known = new Map<string, object>();
  nowS = Math.floor(Date.now() / 1000);
  #server: Server = createServer((request, response) => {
    const path = request.url!.split("?")[0]!.replace("/api/v1", "");
    const id = /^\/transactions\/(.+)$/.exec(path)?.[1];
    const body = id
      ? this.known.has(id) && { transactions: [this.known.get(id)] }
      : {
          "/accounts/0.0.7": { evm_address: `0x${"0".repeat(39)}7`, balance: { balance: 5 } },
          "/network/exchangerate": { current_rate: { cent_equivalent: 12, hbar_equivalent: 1 } },
          "/blocks": { blocks: [{ timestamp: { to: `${this.nowS}.000000000` } }] },
          "/transactions": { transactions: [] },
        }[path];
    response.writeHead(body ? 200 : 404).end(JSON.stringify(body || {}));
  });

  async start(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let mirror: FakeMirror;
let store: Store;
let sent: string[];
let count = 0;
/** What the wallet does with a transaction of this id. */
let behave: (id: string) => void;

async function ledger(): Promise<Ledger> {
  const wallet: Wallet = {
    kind: "walletconnect",
    accountId: "0.0.7",
    network: "devnet",
    validS: 120,
    async execute(transaction: Transaction) {
      const [account, time] = transaction.transactionId!.toString().split("@");
      const [seconds, nanos] = time!.split(".");
      const id = `${account}-${seconds}-${nanos!.padStart(9, "0")}`;
      sent.push(id);
      behave(id);
    },
    signMessage: async () => ({ signature: "" }),
    close: async () => undefined,
  };
  return await Ledger.open({ network: "devnet", contractId: "0.0.9", mirrorRest: url }, wallet, store);
}
let url: string;
beforeEach(async () => {
  mirror = new FakeMirror();
  url = await mirror.start();
  store = await openStore(`ledger-${count++}`);
  sent = [];
  behave = (id) => land(id);
});
afterEach(() => mirror.stop());

const land = (id: string, result = "SUCCESS"): void =>
  void mirror.known.set(id, {
    result,
    entity_id: "0.0.55",
    consensus_timestamp: "1700000000.000000001",
    charged_tx_fee: 3,
    nonce: 0,
  });

describe("a transaction of one name", () => {
  it("is sent once, whoever asks how often", async () => {
    expect(await (await ledger()).createTopic("a/topic", "memo")).toBe(55n);
    expect(await (await ledger()).createTopic("a/topic", "memo")).toBe(55n);
    expect(sent).toHaveLength(1);
  });

  it("is kept before it leaves", async () => {
    let kept: unknown;
    behave = (id) => {
      kept = store.get("transactions", "b/topic");
      land(id);
    };
    await (await ledger()).createTopic("b/topic", "memo");
    expect(await kept).toMatchObject({ transaction: sent[0], landed: null });
  });

  it("has happened though the answer was lost, and is found after a reload", async () => {
    behave = (id) => {
      land(id);
      throw new Error("the connection broke");
    };
    expect(await (await ledger()).createTopic("c/topic", "memo")).toBe(55n);
    const transaction = "0.0.7-1700000000-000000001"; // as a tab left it that was closed while the wallet was open
    await store.put("transactions", "d/topic", { transaction, untilNs: BigInt(mirror.nowS + 60) * 10n ** 9n, landed: null });
    const reloaded = await ledger();
    setTimeout(() => land(transaction), 700);
    expect(await reloaded.createTopic("d/topic", "memo")).toBe(55n);
    expect(sent).toHaveLength(1);
  });

  it("is asked for under the id that the wallet gave it", async () => {
    behave = () => {
      land("0.0.7-1700000000-000000007");
      throw new SentOtherwise("0.0.7@1700000000.000000007");
    };
    expect(await (await ledger()).createTopic("g/topic", "memo")).toBe(55n);
    expect(await (await ledger()).createTopic("g/topic", "memo")).toBe(55n);
    expect(sent).toHaveLength(1);
  });

  it("is made anew only once the first can never happen", async () => {
    const transaction = "0.0.7-1700000000-000000001";
    await store.put("transactions", "e/topic", { transaction, untilNs: 1_700_000_120n * 10n ** 9n, landed: null });
    expect(await (await ledger()).createTopic("e/topic", "memo")).toBe(55n);
    expect(sent).toHaveLength(1);
    expect(sent[0]).not.toBe(transaction);
  });

  it("is forgotten when the user says no, or it failed at consensus", async () => {
    behave = () => {
      throw new WalletRefused("not today");
    };
    await expect((await ledger()).createTopic("f/topic", "memo")).rejects.toThrow(WalletRefused);
    behave = (id) => land(id, "INSUFFICIENT_PAYER_BALANCE");
    await expect((await ledger()).createTopic("f/topic", "memo")).rejects.toThrow(LedgerError);
    expect(await store.keys("transactions")).toEqual([]);
    behave = (id) => land(id);
    expect(await (await ledger()).createTopic("f/topic", "memo")).toBe(55n);
    expect(sent).toHaveLength(3);
  });
});

describe("the mirror's answers", () => {
  it("have times and bytes", () => {
    expect(parseTime("1700000000.5")).toBe(1_700_000_000_500_000_000n);
    expect(timeText(1_700_000_000_000_000_001n)).toBe("1700000000.000000001");
    expect(() => parseTime("now")).toThrow(LedgerError);
    const data = random(20_000);
    expect(toHex(fromBase64(toBase64(data)))).toBe(toHex(data));
  });

  it("put messages in chunks together, and nobody else's", () => {
    const data = random(2_500);
    const row = (number: number, payer: string, part: Uint8Array, at: number): Record<string, unknown> => ({
      consensus_timestamp: `1700000010.${String(at).padStart(9, "0")}`,
      message: toBase64(part),
      payer_account_id: payer,
      sequence_number: at,
      chunk_info: { number, total: 3, initial_transaction_id: { account_id: "0.0.7", transaction_valid_start: "1700000000.0" } },
    });
    const reassembly = new Reassembly();
    const parts = [0, 1, 2].map((index) => data.subarray(index * 1_000, (index + 1) * 1_000));
    expect(reassembly.feed(row(1, "0.0.7", parts[0]!, 1))).toBeNull();
    expect(reassembly.feed(row(2, "0.0.8", random(9), 2))).toBeNull();
    expect(reassembly.feed(row(3, "0.0.7", parts[2]!, 3))).toBeNull(); // out of order
    expect(reassembly.feed(row(2, "0.0.7", parts[1]!, 4))).toBeNull();
    expect(reassembly.feed(row(3, "0.0.7", parts[2]!, 5))!.data).toEqual(concat(...parts));
    expect(reassembly.feed({ message: "%%%" })).toBeNull();
  });

  it("are refused when they come from somewhere else", async () => {
    await expect(new Mirror(url).need("/nowhere")).rejects.toMatchObject({ code: "SHOAL-L00" });
  });
});

it("caps fees above what is expected, and signs messages that are no transactions", () => {
  const rate = { cents: 12n, hbars: 1n };
  expect(feeCap({ gas: 300_000 }, rate)).toBe((3n * 300_000n * 852n) / 12n);
  expect(feeCap("topic", rate)).toBe(25_000_000n);
  const { message, prefixed: expected } = vectors("sign_in");
  expect(toHex(prefixed(message))).toBe(expected);
});
