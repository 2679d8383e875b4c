// The whole way of a tab: it buys a training of a ready model with a CSV, is reloaded on the way, and opens the result.

import "fake-indexeddb/auto";

import { afterAll, beforeAll, expect, it, vi } from "vitest";

import {
  type Desk, type Order, type Told, type Wallet, Gateway, Ledger, LedgerError, TaskLog, createKeys, escrow, fetchResult,
  findKeys, goalOf, listTasks, openDevWallet, openStore, planOf, prepareTask, quoteOf, readData, readHeader, resumeTask, split,
} from "../index";
import { checkedBytes } from "../prepare";
import { type Network, upNetwork } from "./network";

let network: Network;
beforeAll(async () => {
  vi.stubGlobal("navigator", {}); // a tab that dies lets go of its locks; here it would hold them
  network = await upNetwork(2);
});
afterAll(async () => await network?.stop());

/** Three classes that two of four columns tell apart. */
function csv(rows: number): File {
  const lines = ["a,b,c,d,kind"];
  for (let row = 0; row < rows; row++) {
    const kind = row % 3;
    const noise = (salt: number): number => Math.sin(row * 12.9898 + salt * 78.233) * 0.4;
    lines.push([kind + noise(1), 2 - kind + noise(2), noise(3), noise(4), ["red", "green", "blue"][kind]].join());
  }
  return new File([lines.join("\n")], "colours.csv");
}

/** A tab: everything new but what IndexedDB keeps, and the session token. */
async function openTab(token: string, wrap: (wallet: Wallet) => Wallet = (wallet) => wallet): Promise<Desk> {
  const store = await openStore("tab");
  const gateway = new Gateway(network.url, token);
  const info = await gateway.info();
  const nodeUrl = info.node.grpc_web!;
  const wallet = await openDevWallet({ ...network.account, network: info.network, nodeUrl, nodeAccount: info.node.account });
  const settings = { network: info.network, contractId: info.contract_id, mirrorRest: info.mirror.rest };
  const ledger = await Ledger.open(settings, wrap(wallet), store);
  const found = await findKeys(store);
  const keys = found.state === "ready" ? found.keys : await createKeys(store, "five random words here");
  return { store, gateway, ledger, keys, info };
}

/** A tab that dies with its first transaction: it is sent, and nobody hears of it. `death` tells the test. */
function mortal(): { wrap: (wallet: Wallet) => Wallet; death: Promise<string> } {
  let die: (what: string) => void;
  const death = new Promise<string>((resolve) => (die = resolve));
  const wrap = (wallet: Wallet): Wallet => ({
    kind: wallet.kind,
    accountId: wallet.accountId,
    network: wallet.network,
    validS: wallet.validS,
    signMessage: (text) => wallet.signMessage(text),
    close: () => wallet.close(),
    async execute(transaction) {
      await wallet.execute(transaction);
      die(transaction.constructor.name);
      await new Promise(() => undefined);
    },
  });
  return { wrap, death };
}

it("buys a training and opens its result, though every tab dies with its first transaction", { timeout: 400_000 }, async () => {
  const { token } = await new Gateway(network.url).pair(await network.code());
  let desk = await openTab(token);
  const { dataset, description } = await readData(csv(240), { label: null, target: "classes" });
  expect(description).toMatchObject({ rows: 240, shape: [4], classCount: 3, label: "kind" });
  const model = await desk.gateway.model("mlp", description.shape, description.classCount);
  const order: Order = {
    name: "colours",
    document: model,
    weights: await desk.gateway.weights(model.weights_sha256),
    weightsSha256: model.weights_sha256,
    recipe: { ...model.recipe, local_steps: 20 },
    split: split(dataset, 0),
    classes: 3,
    rounds: 2,
    trainers: 2,
  };
  await checkedBytes(await desk.gateway.document(model.document_sha256), model.document_sha256, "document");
  const quote = await quoteOf(desk.gateway, order);
  const before = await desk.ledger.balanceOf(network.account.accountId);
  const { task } = (await prepareTask(desk, order, quote)).record;

  const steps = new Set<string>();
  const notes: Told[] = [];
  const onChange = (told: Told): void => {
    notes.push(told);
    steps.add(told.outlook.step);
  };
  // First it is stopped by hand, then every tab dies with its first transaction, until one has nothing more to send.
  const stop = new AbortController();
  const stopped = (await resumeTask(desk, task)).run({ signal: stop.signal, onChange: () => stop.abort(new Error("paused")) });
  await expect(stopped).rejects.toThrow("paused");
  let tabs = 0;
  for (let done = false; !done; tabs++) {
    const { wrap, death } = mortal();
    desk = await openTab(token, wrap);
    const started = (await resumeTask(desk, task)).run({ onChange }).then(() => "started");
    done = (await Promise.race([started, death])) === "started";
  }
  // A topic, createTask, award and start, and as messages manifest, award, assignment and two envelopes: nine deaths.
  expect(tabs).toBe(10);
  expect([...steps]).toEqual(expect.arrayContaining(["uploading", "paying", "bidding"]));
  expect(notes.at(-1)!.outlook).toMatchObject({ mayClose: true, confirmationsLeft: 0, openUntil: null });
  expect(notes.some(({ outlook }) => !outlook.mayClose && outlook.openUntil !== null && outlook.confirmationsLeft > 0)).toBe(true);

  desk = await openTab(token); // the tab was closed, and comes back for the result
  const client = await resumeTask(desk, (await listTasks(desk.store))[0]!.task);
  const state = await client.finish();
  expect(state.phase).toBe("settled");
  const result = await fetchResult(state, { keys: desk.keys, gateway: desk.gateway, secret: null });
  expect(result.round).toBe(2);
  expect(goalOf(state)!.object).toBe(state.confirmed!.result);
  const tensors = Object.entries(readHeader(result.weights)).map(([name, { shape }]) => ({ name, shape }));
  expect(tensors).toEqual(model.tensors.map(({ name, shape }) => ({ name, shape: [...shape] })));
  const own = await fetchResult(
    { ...state, notes: new Map([...state.notes].map(([key, note]) => [key, { ...note, envelope: new Uint8Array(9) }])) },
    { keys: desk.keys, gateway: desk.gateway, secret: client.record.pieces.secrets.secret },
  );
  expect(own.sha256).toBe(result.sha256);

  // Once each, however often the tab was reloaded: on the ledger, not by our own books.
  const until = await desk.ledger.watermark();
  const events = await desk.ledger.events(0n, until, task);
  for (const name of ["TaskCreated", "Awarded", "Started", "Settled"]) {
    expect(events.filter(({ event }) => event.name === name)).toHaveLength(1);
  }
  const messages = await desk.ledger.messages(state.topic, 0n, until);
  expect(new Set(messages.map(({ data }) => Buffer.from(data).toString("hex"))).size).toBe(messages.length);
  const locked = escrow(planOf(quote.plan));
  const paid = [...state.claims.values()].reduce((sum, claim) => sum + claim.paid, 0n);
  expect(state.refunded + paid).toBe(locked);
  const spent = before - (await desk.ledger.balanceOf(network.account.accountId));
  const rows = await transactions(desk, network.account.accountId);
  expect(spent).toBe(paid + rows.filter(({ at }) => at > state.createdNs - 120_000_000_000n).reduce((sum, { fee }) => sum + fee, 0n));
  expect(await TaskLog.find(desk.ledger, task)).not.toBeNull();
});

it("gives a task up, and all of it comes back", { timeout: 120_000 }, async () => {
  const { token } = await new Gateway(network.url).pair(await network.code());
  const desk = await openTab(token);
  const { dataset } = await readData(csv(90), { label: "kind", target: "classes" });
  const model = await desk.gateway.model("linear", [4], 3);
  const weights = await desk.gateway.weights(model.weights_sha256);
  const order: Order = {
    name: "given up", document: model, weights, weightsSha256: model.weights_sha256, recipe: model.recipe,
    split: split(dataset, 0), classes: 3, rounds: 1, trainers: 1,
  };
  const client = await prepareTask(desk, order, await quoteOf(desk.gateway, order));
  const stop = new AbortController();
  const stopped = client.run({ signal: stop.signal, onChange: ({ state }) => state && stop.abort(new Error("no more")) });
  await expect(stopped).rejects.toThrow("no more");
  await client.cancel();
  const state = await client.finish();
  expect([state.phase, state.refunded]).toEqual(["cancelled", escrow(state.plan)]);
  expect((await desk.ledger.accountState(desk.ledger.address)).balance).toBe(0n);
});

it("keeps the development wallet to the development ledger", async () => {
  const { accountId, key } = network.account;
  const real = { accountId, key, nodeAccount: "0.0.3" };
  await expect(openDevWallet({ ...real, network: "testnet", nodeUrl: "http://127.0.0.1:1" })).rejects.toThrow(LedgerError);
  await expect(openDevWallet({ ...real, network: "devnet", nodeUrl: "https://ledger.example:443" })).rejects.toThrow(LedgerError);
});

async function transactions(desk: Desk, account: string): Promise<{ at: bigint; fee: bigint }[]> {
  const found: { at: bigint; fee: bigint }[] = [];
  for await (const row of desk.ledger.mirror.rows(`/transactions`, "transactions", 0n, await desk.ledger.watermark())) {
    if (!String(row["transaction_id"]).startsWith(`${account}-`)) continue;
    const [seconds, nanos] = String(row["consensus_timestamp"]).split(".");
    found.push({ at: BigInt(seconds! + nanos!), fee: BigInt(row["charged_tx_fee"] as number) });
  }
  return found;
}
