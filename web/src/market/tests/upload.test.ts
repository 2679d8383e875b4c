import "fake-indexeddb/auto";

import { type IncomingMessage, type Server, type ServerResponse, createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { afterEach, beforeEach, expect, it } from "vitest";

import { random, toHex } from "../bytes";
import { StorageError } from "../errors";
import { Gateway } from "../gateway";
import { digestOf } from "../ids";
import { type Store, openStore } from "../store";
import { type Upload, forgetFiles, keepFile, readUrl, sendAll } from "../upload";

const PART = 1_000;

/** A node and its storage, as far as uploads go; `refuse` makes the next PUTs fail. */
class Storage {
  readonly puts: string[] = [];
  readonly parts = new Map<string, Map<number, Buffer>>();
  refuse: number[] = [];
  complete = new Set<string>();
  #server: Server = createServer((request, response) => void this.#serve(request, response));

  async start(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body: Buffer[] = [];
    for await (const piece of request) body.push(piece as Buffer);
    const data = Buffer.concat(body);
    const path = request.url!;
    const say = (status: number, value: unknown): void => void response.writeHead(status).end(JSON.stringify(value));
    if (request.method === "PUT") {
      this.puts.push(path);
      const status = this.refuse.shift() ?? 200;
      const [, , id, number] = path.split("/");
      if (status === 200) this.parts.get(id!)!.set(Number(number), data);
      return say(status, {});
    }
    const wish = data.length ? (JSON.parse(data.toString()) as { sha256?: string; bytes?: number }) : {};
    const id = path === "/api/v1/chunks" ? `${wish.sha256!.slice(0, 20)}-${wish.bytes}` : path.split("/")[4]!;
    if (path === "/api/v1/chunks" && !this.parts.has(id)) this.parts.set(id, new Map());
    const parts = this.parts.get(id);
    if (!parts) return say(404, { code: "SHOAL-U92", detail: "there is no such upload" });
    const size = Number(id.split("-")[1]);
    const pieces = size > PART ? Math.ceil(size / PART) : 1;
    if (path.endsWith("/complete") && parts.size === pieces) this.complete.add(id);
    const url = (number: number): string => `http://${request.headers.host}/put/${id}/${number}`;
    const list = Array.from({ length: pieces }, (_, at) => ({
      number: at + 1,
      offset: at * PART,
      bytes: Math.min(PART, size - at * PART),
      done: parts.has(at + 1),
      put_url: url(at + 1),
    }));
    say(200, {
      upload_id: id,
      sha256: "",
      bytes: size,
      state: this.complete.has(id) ? "complete" : "open",
      put_url: size > PART ? null : url(1),
      headers: {},
      parts: size > PART ? list : [],
      get_url: `http://storage/${id}?fresh`,
    });
  }
}

let storage: Storage;
let gateway: Gateway;
let store: Store;
let count = 0;
beforeEach(async () => {
  storage = new Storage();
  gateway = new Gateway(await storage.start(), "token");
  store = await openStore(`uploads-${count++}`);
});
afterEach(() => storage.stop());

const stored = (): Buffer[] =>
  [...storage.parts.values()].map((parts) => Buffer.concat([...parts].sort(([a], [b]) => a - b).map(([, data]) => data)));

it("sends objects in one piece or in parts, says how far it is, and sends nothing twice", async () => {
  const data = [random(400), random(2_500)];
  const uploads = await Promise.all(data.map((each) => keepFile(store, each)));
  const seen: number[] = [];
  await sendAll(store, gateway, uploads, { onProgress: ({ done, total }) => seen.push(done / total) });
  expect(stored().map(toHex)).toEqual(data.map(toHex));
  expect(seen.at(-1)).toBe(1);
  expect(seen).toEqual([...seen].sort((a, b) => a - b));
  expect(await readUrl(store, gateway, uploads[1]!.sha256)).toMatch(/fresh$/);
  await forgetFiles(store, uploads);
  expect(await store.keys("files")).toEqual([]);
  await sendAll(store, gateway, uploads);
  expect(storage.puts).toHaveLength(4);
});

it("is paused, and goes on after a reload with the parts that are missing", async () => {
  const data = random(3_000);
  const upload = await keepFile(store, data);
  const stop = new AbortController();
  const paused = sendAll(store, gateway, [upload], {
    signal: stop.signal,
    onProgress: ({ done }) => done >= 1_000 && stop.abort(new Error("paused")),
  });
  await expect(paused).rejects.toThrow("paused");
  expect(storage.puts).toHaveLength(1);
  const reloaded = await openStore(`uploads-${count - 1}`);
  await sendAll(reloaded, gateway, [upload]);
  expect(storage.puts.map((path) => path.at(-1))).toEqual(["1", "2", "3"]);
  expect(stored().map(toHex)).toEqual([toHex(data)]);
});

it("tries again where storage is busy, and says so where it refuses", async () => {
  const [one, other] = [await keepFile(store, random(10)), await keepFile(store, random(11))];
  storage.refuse = [503];
  await sendAll(store, gateway, [one]);
  expect(storage.puts).toHaveLength(2);
  storage.refuse = [403];
  await expect(sendAll(store, gateway, [other])).rejects.toMatchObject({ code: "SHOAL-S03" });
  expect(storage.puts).toHaveLength(3);
  await expect(readUrl(store, gateway, other.sha256)).rejects.toThrow(StorageError);
});

it("begins anew what the node has removed, and misses bytes that are nowhere", async () => {
  const upload = await keepFile(store, random(10));
  await store.put("uploads", upload.sha256, { uploadId: "gone", complete: false });
  await sendAll(store, gateway, [upload]);
  expect(stored()).toHaveLength(1);
  const lost: Upload = { sha256: digestOf(random(32)), bytes: 9 };
  await expect(sendAll(store, gateway, [lost])).rejects.toMatchObject({ code: "SHOAL-S05" });
});
