// A Hedera mirror node's REST: everything that is read of the ledger, without a key and without a fee.

import { type Bytes, concat } from "./bytes";
import { LedgerError } from "./errors";
import { LOG_ENTRY_BYTES, TOPIC_CHUNKS } from "./limits";
import { SECOND_NS } from "./task";

type Row = Record<string, unknown>;
/** A whole message of a topic: its time is that of its last chunk. */
export interface Message {
  readonly timeNs: bigint;
  readonly number: number;
  readonly payer: string;
  readonly data: Bytes;
}

const CHUNK_WINDOW_NS = 300n * SECOND_NS;
const OPEN_OF_PAYER = 8;
const OPEN_OF_TOPIC = 1_024;
const MAX_PAGES = 10_000;
const PATIENCE_MS = 30_000;

/** `1234567890.000000001` as nanoseconds. */
export function parseTime(text: string): bigint {
  const match = /^([0-9]+)\.([0-9]{1,9})$/.exec(text);
  if (!match) throw new LedgerError(`"${text}" is not a time of the mirror node`, { code: "SHOAL-L00" });
  return BigInt(match[1]!) * SECOND_NS + BigInt(match[2]!.padEnd(9, "0"));
}

export const timeText = (timeNs: bigint): string =>
  `${timeNs / SECOND_NS}.${(timeNs % SECOND_NS).toString().padStart(9, "0")}`;

export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** One mirror node. Requests are repeated while it is busy or away, for half a minute. */
export class Mirror {
  readonly #origin: string;

  /** @param url of its REST, without `/api/v1`. */
  constructor(url: string) {
    this.#origin = url.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
  }

  /** The JSON object at a path below /api/v1; null when the mirror does not have it. */
  async get(path: string, params: Readonly<Record<string, string>> | readonly (readonly [string, string])[] = {}): Promise<Row | null> {
    const list = Array.isArray(params) ? (params as [string, string][]) : Object.entries(params as Record<string, string>);
    const query = new URLSearchParams(list).toString();
    const { status, body } = await this.#request(`/api/v1${path}${query && `?${query}`}`);
    if (status === 404) return null;
    if (status !== 200) throw this.#refused(path, status);
    return body;
  }

  async need(path: string, params: Readonly<Record<string, string>> = {}): Promise<Row> {
    const body = await this.get(path, params);
    if (!body) throw this.#refused(path, 404);
    return body;
  }

  /** Status and JSON of a POST that changes nothing. */
  async post(path: string, body: Row): Promise<{ status: number; body: Row }> {
    return await this.#request(`/api/v1${path}`, JSON.stringify(body));
  }

  /** All rows of all pages; nothing when the mirror does not have the path. */
  async *rows(path: string, name: string, afterNs: bigint, untilNs: bigint): AsyncGenerator<Row> {
    const query = new URLSearchParams([
      ["limit", "100"],
      ["order", "asc"],
      ["timestamp", `gt:${timeText(afterNs)}`],
      ["timestamp", `lte:${timeText(untilNs)}`],
    ]);
    let target = `/api/v1${path}?${query.toString()}`;
    for (let page = 0; page < MAX_PAGES; page++) {
      const { status, body } = await this.#request(target);
      if (status === 404) return;
      if (status !== 200) throw this.#refused(path, status);
      yield* (body[name] as Row[] | undefined) ?? [];
      const next = (body["links"] as { next?: string | null } | undefined)?.next;
      if (!next) return;
      const url = new URL(next, this.#origin);
      if (!url.pathname.startsWith("/api/v1/")) throw this.#refused(path, status);
      target = url.pathname + url.search;
    }
    throw this.#refused(path, 200);
  }

  /** Consensus time up to which everything can be read: a mirror commits whole blocks, in order. */
  async watermark(): Promise<bigint> {
    const newest = { limit: "1", order: "desc" };
    const blocks = (await this.need("/blocks", newest))["blocks"] as { timestamp: { to: string | null } }[];
    const transactions = (await this.need("/transactions", newest))["transactions"] as { consensus_timestamp: string }[];
    const times = [
      ...blocks.flatMap((block) => (block.timestamp.to ? [parseTime(block.timestamp.to)] : [])),
      ...transactions.map((row) => parseTime(row.consensus_timestamp)),
    ];
    return times.reduce((most, each) => (each > most ? each : most), 0n);
  }

  /** What an id (`0.0.x-seconds-nanoseconds`) did; null while the mirror does not know it. */
  async transaction(id: string): Promise<Row | null> {
    const body = await this.get(`/transactions/${id}`);
    const rows = ((body?.["transactions"] as Row[] | undefined) ?? []).filter(
      (row) => !row["nonce"] && !row["scheduled"] && row["result"] !== "DUPLICATE_TRANSACTION",
    );
    return rows.find((row) => row["result"] === "SUCCESS") ?? rows[0] ?? null;
  }

  async #request(target: string, content?: string): Promise<{ status: number; body: Row }> {
    const until = Date.now() + PATIENCE_MS;
    let problem = "no answer";
    for (let wait = 200; ; wait = Math.min(2 * wait, 4_000)) {
      try {
        const init = content === undefined ? {} : { method: "POST", body: content, headers: { "content-type": "application/json" } };
        const response = await fetch(this.#origin + target, init);
        if (response.status !== 429 && response.status < 500) {
          const body: unknown = await response.json();
          return { status: response.status, body: body as Row };
        }
        problem = `HTTP ${response.status}`;
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
      }
      if (Date.now() + wait > until) break;
      await pause(wait);
    }
    throw new LedgerError(`the mirror node at ${this.#origin} cannot be reached: ${problem}`, {
      code: "SHOAL-L01",
      hint: "check the network",
      money: "this was only a question; nothing was spent",
    });
  }

  #refused(path: string, status: number): LedgerError {
    return new LedgerError(`the mirror node at ${this.#origin} answered ${path} with HTTP ${status}`, {
      code: "SHOAL-L00",
      hint: "is this the mirror node of the network?",
    });
  }
}

interface Open {
  readonly payer: string;
  readonly startNs: bigint;
  readonly total: number;
  readonly parts: Bytes[];
}

/** Feeds on one topic's rows in consensus order and gives whole messages; foreign junk gives nothing. */
export class Reassembly {
  readonly #open = new Map<string, Open>();

  feed(row: Row): Message | null {
    try {
      const timeNs = parseTime(String(row["consensus_timestamp"]));
      const data = fromBase64(String(row["message"]));
      const payer = String(row["payer_account_id"]);
      const chunk = row["chunk_info"] as Row | null | undefined;
      const whole = !chunk || chunk["total"] === 1 ? data : this.#continue(chunk, payer, timeNs, data);
      if (!whole || whole.length > LOG_ENTRY_BYTES) return null;
      return { timeNs, number: Number(row["sequence_number"]), payer, data: whole };
    } catch {
      return null;
    }
  }

  #continue(chunk: Row, payer: string, timeNs: bigint, data: Bytes): Bytes | null {
    const first = chunk["initial_transaction_id"] as { account_id: string; transaction_valid_start: string };
    const startNs = parseTime(first.transaction_valid_start);
    const [total, number] = [Number(chunk["total"]), Number(chunk["number"])];
    this.#expire(timeNs);
    if (first.account_id !== payer || !(total >= 2 && total <= TOPIC_CHUNKS)) return null;
    if (timeNs < startNs || timeNs > startNs + CHUNK_WINDOW_NS) return null;
    const key = `${payer}@${startNs}`;
    if (number === 1 && !this.#open.has(key)) this.#begin(key, { payer, startNs, total, parts: [] });
    const current = this.#open.get(key);
    if (!current || current.total !== total || number !== current.parts.length + 1) return null;
    current.parts.push(data);
    if (current.parts.reduce((sum, part) => sum + part.length, 0) > LOG_ENTRY_BYTES) {
      this.#open.delete(key);
      return null;
    }
    if (number < total) return null;
    this.#open.delete(key);
    return concat(...current.parts);
  }

  #begin(key: string, opened: Open): void {
    const same = [...this.#open].filter(([, value]) => value.payer === opened.payer);
    if (same.length >= OPEN_OF_PAYER) this.#open.delete(same[0]![0]);
    if (this.#open.size >= OPEN_OF_TOPIC) this.#open.delete(this.#open.keys().next().value!);
    this.#open.set(key, opened);
  }

  #expire(timeNs: bigint): void {
    for (const [key, value] of this.#open) {
      if (timeNs <= value.startNs + CHUNK_WINDOW_NS) return;
      this.#open.delete(key);
    }
  }
}

/** Whole messages of a topic with after < time <= until. Throws SHOAL-L01: the mirror left something out. */
export async function readTopic(mirror: Mirror, topic: bigint, afterNs: bigint, untilNs: bigint): Promise<Message[]> {
  const from = afterNs > CHUNK_WINDOW_NS ? afterNs - CHUNK_WINDOW_NS : 0n;
  const reassembly = new Reassembly();
  const found: Message[] = [];
  let last: number | null = null;
  for await (const row of mirror.rows(`/topics/0.0.${topic}/messages`, "messages", from, untilNs)) {
    const number = Number(row["sequence_number"]);
    if ((last !== null && number <= last) || parseTime(String(row["consensus_timestamp"])) > untilNs) continue;
    if (last !== null && number !== last + 1) {
      throw new LedgerError(`the mirror node left messages of topic 0.0.${topic} out`, {
        code: "SHOAL-L01",
        hint: "it is asked again; if this stays, use another mirror node",
      });
    }
    last = number;
    const message = reassembly.feed(row);
    if (message && message.timeNs > afterNs) found.push(message);
  }
  return found;
}

export function fromBase64(text: string): Bytes {
  const binary = atob(text);
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

export function toBase64(data: Uint8Array): string {
  let binary = "";
  for (let at = 0; at < data.length; at += 8_192) binary += String.fromCharCode(...data.subarray(at, at + 8_192));
  return btoa(binary);
}
