// Uploads of ciphertext straight to storage, which can be paused and go on after a reload.
//
// The bytes lie in IndexedDB under their hash until the task no longer needs them, so that nothing is read or
// encrypted twice; what storage has of them, storage tells.

import type { Bytes } from "./bytes";
import { StorageError } from "./errors";
import { ApiError, type Gateway, type UploadRecord } from "./gateway";
import { type Digest, short } from "./ids";
import { pause } from "./mirror";
import { sha256Of } from "./seal";
import type { Store } from "./store";

const ATTEMPTS = 4;

/** An object that waits to be sent, or has been. */
export interface Upload {
  readonly sha256: Digest;
  readonly bytes: number;
}

export interface Progress {
  /** Bytes that have arrived, of all. */
  readonly done: number;
  readonly total: number;
  /** Which object is under way, from 1, and how many there are. */
  readonly object: number;
  readonly objects: number;
}

interface Kept {
  readonly uploadId: string;
  readonly complete: boolean;
}

/** Keep bytes for sending; their name. */
export async function keepFile(store: Store, data: Bytes): Promise<Upload> {
  const sha256 = await sha256Of(data);
  await store.put("files", sha256, data);
  return { sha256, bytes: data.length };
}

/** Send objects one after the other. Throws the signal's reason when it is paused; call it again to go on. */
export async function sendAll(
  store: Store,
  gateway: Gateway,
  uploads: readonly Upload[],
  told: { readonly signal?: AbortSignal; readonly onProgress?: (progress: Progress) => void } = {},
): Promise<void> {
  const total = uploads.reduce((sum, each) => sum + each.bytes, 0);
  let before = 0;
  for (const [index, upload] of uploads.entries()) {
    const place = { object: index + 1, objects: uploads.length };
    const say = (sent: number): void => told.onProgress?.({ done: before + sent, total, ...place });
    await send(store, gateway, upload, say, told.signal);
    before += upload.bytes;
    say(0);
  }
}

/** Where an object can be read for as long as the task may live: asked for at the moment it is needed. */
export async function readUrl(store: Store, gateway: Gateway, sha256: Digest): Promise<string> {
  const kept = await store.get<Kept>("uploads", sha256);
  if (!kept?.complete) throw missing(sha256);
  return (await gateway.upload(kept.uploadId)).get_url;
}

/** Free the room that objects take in this browser. */
export async function forgetFiles(store: Store, uploads: readonly Upload[]): Promise<void> {
  for (const { sha256 } of uploads) await store.delete("files", sha256);
}

async function send(
  store: Store,
  gateway: Gateway,
  upload: Upload,
  say: (sent: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const kept = await store.get<Kept>("uploads", upload.sha256);
  if (kept?.complete) return;
  signal?.throwIfAborted();
  let record = await begin(gateway, upload, kept);
  await store.put("uploads", upload.sha256, { uploadId: record.upload_id, complete: false } satisfies Kept);
  if (record.state !== "complete") {
    const data = await store.get<Bytes>("files", upload.sha256);
    if (!data) throw missing(upload.sha256);
    await sendPieces(record, data, say, signal);
    record = await gateway.completeUpload(record.upload_id);
  }
  if (record.state !== "complete") throw missing(upload.sha256);
  await store.put("uploads", upload.sha256, { uploadId: record.upload_id, complete: true } satisfies Kept);
}

async function begin(gateway: Gateway, upload: Upload, kept: Kept | undefined): Promise<UploadRecord> {
  if (kept) {
    try {
      return await gateway.upload(kept.uploadId);
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 404) throw error; // else it was removed: begin anew
    }
  }
  return await gateway.beginUpload(upload.sha256, upload.bytes);
}

async function sendPieces(
  record: UploadRecord,
  data: Bytes,
  say: (sent: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  const whole = { number: 1, offset: 0, bytes: data.length, done: false, put_url: record.put_url };
  const pieces = record.parts.length ? record.parts : [whole];
  let sent = pieces.filter((piece) => piece.done).reduce((sum, piece) => sum + piece.bytes, 0);
  for (const piece of pieces) {
    if (piece.done || !piece.put_url) continue;
    signal?.throwIfAborted();
    const body = data.subarray(piece.offset, piece.offset + piece.bytes);
    await putPatiently(piece.put_url, record.headers, body, (now) => say(sent + now), signal);
    sent += piece.bytes;
    say(sent);
  }
}

/** Send once more where the connection broke: PUT of the same bytes is harmless. */
async function putPatiently(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: Bytes,
  say: (sent: number) => void,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const status = await put(url, headers, body, say, signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      return error instanceof Error ? error.message : String(error);
    });
    if (typeof status === "number" && status >= 200 && status < 300) return;
    const final = typeof status === "number" && status < 500 && status !== 408 && status !== 429;
    if (final || attempt === ATTEMPTS) {
      throw new StorageError(`storage did not take an object: ${status}`, {
        code: final ? "SHOAL-S03" : "SHOAL-S01",
        hint: "go on later: what has arrived is not sent again",
        money: "nothing was spent by this",
      });
    }
    await pause(500 * 2 ** attempt);
  }
}

/** A PUT with progress where the browser tells it (XMLHttpRequest), else without. Answers the status. */
async function put(
  url: string,
  headers: Readonly<Record<string, string>>,
  body: Bytes,
  say: (sent: number) => void,
  signal: AbortSignal | undefined,
): Promise<number> {
  if (typeof XMLHttpRequest === "undefined") {
    return (await fetch(url, { method: "PUT", headers, body, signal: signal ?? null })).status;
  }
  return await new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = (): void => request.abort();
    request.open("PUT", url);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.upload.onprogress = ({ loaded }) => say(loaded);
    request.onload = () => resolve(request.status);
    request.onerror = () => reject(new Error("the connection broke"));
    request.onabort = () => reject(new DOMException("paused", "AbortError"));
    request.onloadend = () => signal?.removeEventListener("abort", stop);
    signal?.addEventListener("abort", stop);
    request.send(body);
  });
}

const missing = (sha256: Digest): StorageError =>
  new StorageError(`object ${short(sha256)} is neither in this browser nor in storage`, {
    code: "SHOAL-S05",
    hint: "prepare the data again",
    money: "nothing was spent by this",
  });
