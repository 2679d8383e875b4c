// The library in a page of its own, driven by browser.e2e.ts: a tab that buys a training and is reloaded on the way.

import * as shoal from "../../index";

export interface Account {
  readonly accountId: string;
  readonly key: string;
}

/** A session begins with a code, and lives in sessionStorage. */
async function pair(code: string): Promise<void> {
  const { token } = await new shoal.Gateway(location.origin).pair(code);
  sessionStorage.setItem("token", token);
}

async function desk(account: Account): Promise<shoal.Desk> {
  const store = await shoal.openStore();
  const gateway = new shoal.Gateway(location.origin, sessionStorage.getItem("token"));
  const info = await gateway.info();
  const node = { nodeUrl: info.node.grpc_web!, nodeAccount: info.node.account };
  const wallet = await shoal.openDevWallet({ ...account, ...node, network: info.network });
  const settings = { network: info.network, contractId: info.contract_id, mirrorRest: info.mirror.rest };
  const ledger = await shoal.Ledger.open(settings, wallet, store);
  const found = await shoal.findKeys(store);
  const keys = found.state === "ready" ? found.keys : await shoal.createKeys(store, "five random words here");
  return { store, gateway, ledger, keys, info };
}

/** Read a file in the worker, and prepare a task on it; its id, and what was found. */
async function prepare(account: Account, csv: string): Promise<{ task: string; description: shoal.Description }> {
  const here = await desk(account);
  const file = new File([csv], "colours.csv");
  const { dataset, description } = await shoal.readData(file, { label: null, target: "classes" });
  const model = await here.gateway.model("mlp", description.shape, description.classCount);
  const order: shoal.Order = {
    name: "colours",
    document: model,
    weights: await here.gateway.weights(model.weights_sha256),
    weightsSha256: model.weights_sha256,
    recipe: { ...model.recipe, local_steps: 20 },
    split: shoal.split(dataset, 0),
    classes: description.classCount,
    rounds: 2,
    trainers: 2,
  };
  const client = await shoal.prepareTask(here, order, await shoal.quoteOf(here.gateway, order));
  return { task: client.record.task, description };
}

/** What went wrong with a file, as the worker tells it. */
async function refusal(csv: string): Promise<string> {
  const wrong = await shoal.readData(new File([csv], "bad.csv"), { label: null, target: "classes" }).catch((error: unknown) => error);
  return wrong instanceof shoal.DataError ? `${wrong.code} ${wrong.message}` : String(wrong);
}

/** Go on until a step begins, and stop there; the steps that were seen. */
async function runUntil(account: Account, task: string, step: string): Promise<string[]> {
  const client = await shoal.resumeTask(await desk(account), shoal.taskOf(task));
  const stop = new AbortController();
  const seen: string[] = [];
  const onChange = ({ outlook }: shoal.Told): void => {
    if (seen.at(-1) !== outlook.step) seen.push(outlook.step);
    if (outlook.step === step) stop.abort(new DOMException("enough", "AbortError"));
  };
  await client.run({ signal: stop.signal, onChange }).catch((error: unknown) => {
    if (!(error instanceof DOMException)) throw error;
  });
  return seen;
}

async function collect(account: Account, task: string): Promise<{ phase: string; sha256: string; tensors: string[] }> {
  const here = await desk(account);
  const state = await (await shoal.resumeTask(here, shoal.taskOf(task))).finish();
  const { weights, sha256 } = await shoal.fetchResult(state, { ...here, secret: null });
  return { phase: state.phase, sha256, tensors: Object.keys(shoal.readHeader(weights)) };
}

/** Whether any script could read the secrets that this browser keeps. */
async function keysAreSealed(): Promise<boolean> {
  const kept = await (await shoal.openStore()).get<{ signer: CryptoKey | null; opener: CryptoKey | null }>("keys", "client");
  return Boolean(kept?.signer && kept.opener) && !kept!.signer!.extractable && !kept!.opener!.extractable;
}

const steps = { pair, prepare, refusal, runUntil, collect, keysAreSealed };
declare global {
  interface Window {
    steps: typeof steps;
  }
}
window.steps = steps;
