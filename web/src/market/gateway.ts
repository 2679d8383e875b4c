// The node that lends a tab its storage and its place among peers: the requests of docs/browser-client.md.
//
// It never gets a key, a plaintext or the weights. What it says about money is compared with the ledger.

import type { Bytes } from "./bytes";
import { MarketError, ShoalError } from "./errors";
import { fromBase64, toBase64 } from "./mirror";

/** `GET /api/v1/info`. */
export interface Info {
  readonly version: string;
  readonly network: string;
  readonly contract_id: string;
  readonly account: string;
  readonly mirror: { readonly rest: string; readonly grpc_web: string | null };
  readonly node: { readonly grpc_web: string | null; readonly account: string };
  readonly signing_key: string;
  readonly gateway: boolean;
  readonly walletconnect_project_id: string | null;
  readonly limits: Readonly<Record<string, number>>;
  readonly opening_grace_s: number;
}

export interface Session {
  readonly token: string;
  readonly account: string;
  readonly address: string;
  readonly role: "operator" | "user";
  readonly expires_at: number;
}

export interface DocumentInfo {
  readonly document_sha256: string;
  readonly bytes: number;
  readonly input: { readonly dtype: string; readonly shape: readonly number[] };
  readonly output: { readonly dtype: string; readonly shape: readonly number[] };
  readonly parameters: number;
  readonly weights_bytes: number;
  readonly slot_bytes: number;
  readonly tensors: readonly { readonly name: string; readonly dtype: string; readonly shape: readonly number[] }[];
  readonly url: string;
}

/** A model of the zoo. */
export interface ReadyModel extends DocumentInfo {
  readonly weights_sha256: string;
  readonly weights_url: string;
  readonly recipe: Readonly<Record<string, unknown>>;
}

export interface Template {
  readonly name: string;
  readonly title: string;
  readonly about: string;
  readonly ranks: readonly number[];
  readonly recipe: Readonly<Record<string, unknown>>;
}

/** What one asks the price of. */
export interface Wish {
  readonly document_sha256: string;
  readonly recipe: Readonly<Record<string, unknown>>;
  /** For training. */
  readonly rows: number;
  readonly upload_bytes?: number;
  readonly chunks?: number;
  readonly rounds?: number;
  readonly trainers?: number;
  readonly budget_tinybar?: number;
  readonly round_timeout_s?: number;
  readonly bid_s?: number;
}

export interface GraphQuote {
  readonly plan: Readonly<Record<string, number>>;
  readonly escrow_tinybar: number;
  readonly units: number;
  readonly rules: readonly [number, number, number];
  readonly slot_bytes: number;
  readonly recipe: Readonly<Record<string, unknown>>;
  readonly now: number;
  readonly fees_usd: number;
  readonly fees_tinybar: number;
  readonly expected_paid_tinybar: number | null;
  readonly expected_back_tinybar: number | null;
  readonly pays_enough: boolean | null;
  readonly storage_fee_tinybar: number;
  readonly storage_account: string;
  readonly trainer_in_sight: boolean;
}

export interface UploadPart {
  readonly number: number;
  readonly offset: number;
  readonly bytes: number;
  readonly done: boolean;
  readonly put_url: string | null;
}

export interface UploadRecord {
  readonly upload_id: string;
  readonly sha256: string;
  readonly bytes: number;
  readonly state: "open" | "complete";
  readonly put_url: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly parts: readonly UploadPart[];
  readonly get_url: string;
}

export interface ManifestTaken {
  readonly manifest_hash: string;
  readonly task_id: string;
  readonly storage_fee_tinybar: number;
  readonly storage_credit_tinybar: number;
  readonly storage_account: string;
  readonly storage_memo: string;
}

export interface Slots {
  readonly put: Readonly<Record<string, string>>;
  readonly get: Readonly<Record<string, string>>;
}

/** A refusal of the node: a problem document (RFC 9457). */
export class ApiError extends ShoalError {
  constructor(
    readonly status: number,
    problem: Readonly<Record<string, unknown>>,
  ) {
    const text = (name: string): string => (typeof problem[name] === "string" ? problem[name] : "");
    super(text("detail") || text("title") || `the node answered with HTTP ${status}`, {
      code: text("code") || "SHOAL-X00",
      hint: text("hint"),
      money: text("money"),
    });
  }
}

/** One node and one session on it. The token stays in memory; the page keeps it in sessionStorage. */
export class Gateway {
  readonly #origin: string;
  readonly #ask: (request: Request) => Promise<Response>;
  token: string | null;

  /** @param ask how requests leave; a page with a way of its own gives that. */
  constructor(origin: string, token: string | null = null, ask: (request: Request) => Promise<Response> = (request) => fetch(request)) {
    this.#origin = origin.replace(/\/+$/, "");
    this.#ask = ask;
    this.token = token;
  }

  info = (): Promise<Info> => this.#get("/info");

  /** Exchange a pairing code for a session of the node's own user. */
  async pair(code: string): Promise<Session> {
    return await this.#open(await this.#post<Session>("/session", { code }));
  }

  /** A session of whoever holds a wallet's account; `sign` asks the wallet. */
  async signIn(account: string, sign: (message: string) => Promise<Readonly<Record<string, string>>>): Promise<Session> {
    const { nonce, message } = await this.#post<{ nonce: string; message: string }>("/sign-in/nonce", { account });
    return await this.#open(await this.#post<Session>("/sign-in", { account, nonce, ...(await sign(message)) }));
  }

  async signOut(): Promise<void> {
    await this.#post("/sign-out", {});
    this.token = null;
  }

  templates = async (): Promise<readonly Template[]> => (await this.#get<{ items: Template[] }>("/zoo")).items;

  model(name: string, shape: readonly number[], classes: number, seed = 1): Promise<ReadyModel> {
    const query = new URLSearchParams({ shape: shape.join(), classes: String(classes), seed: String(seed) });
    return this.#get(`/zoo/${encodeURIComponent(name)}?${query}`);
  }

  addDocument = (document: Bytes): Promise<DocumentInfo> => this.#send("POST", "/documents", document);
  document = (sha256: string): Promise<Bytes> => this.#bytes(`/documents/${sha256}`);
  weights = (sha256: string): Promise<Bytes> => this.#bytes(`/weights/${sha256}`);
  quote = (wish: Wish): Promise<GraphQuote> => this.#post("/quotes/graph", wish);

  beginUpload = (sha256: string, bytes: number): Promise<UploadRecord> => this.#post("/chunks", { sha256, bytes });
  upload = (id: string): Promise<UploadRecord> => this.#get(`/chunks/${id}`);
  completeUpload = (id: string): Promise<UploadRecord> => this.#post(`/chunks/${id}/complete`, {});

  /** @param client whose task it will be, as `0x...`; only the node's own user may name another than itself. */
  takeManifest(manifest: Bytes, client: string | null): Promise<ManifestTaken> {
    return this.#post("/manifests", { manifest_b64: toBase64(manifest), ...(client ? { client } : {}) });
  }

  announce = (task: string): Promise<unknown> => this.#post(`/tasks/${task}/announce`, {});
  gossip = (task: string, entry: Bytes): Promise<unknown> =>
    this.#post(`/tasks/${task}/entries`, { data_b64: toBase64(entry) });

  /** What trainers sent to open their bids, as they sent it. */
  async openings(task: string): Promise<Bytes[]> {
    const { opened } = await this.#get<{ opened: { opening_b64: string }[] | null }>(`/tasks/${task}/bids`);
    if (!opened) {
      throw new MarketError("the node does not show this session the task's opened bids", {
        code: "SHOAL-T41",
        hint: "sign in with the account that created the task",
      });
    }
    return opened.map((each) => fromBase64(each.opening_b64));
  }

  slots = (task: string, seat: number): Promise<Slots> => this.#post("/slots", { task_id: task, seat });

  async #open(session: Session): Promise<Session> {
    this.token = session.token;
    return session;
  }

  #get = <Answer>(path: string): Promise<Answer> => this.#send("GET", path);
  #post = <Answer>(path: string, body: object): Promise<Answer> => this.#send("POST", path, JSON.stringify(body));

  async #send<Answer>(method: string, path: string, body?: string | Bytes): Promise<Answer> {
    const response = await this.#fetch(method, path, body);
    const text = await response.text();
    const answer: unknown = text ? JSON.parse(text) : {};
    return answer as Answer;
  }

  async #bytes(path: string): Promise<Bytes> {
    return new Uint8Array(await (await this.#fetch("GET", path)).arrayBuffer());
  }

  async #fetch(method: string, path: string, body?: string | Bytes): Promise<Response> {
    const headers: Record<string, string> = body === undefined ? {} : { "content-type": "application/json" };
    if (this.token) headers["authorization"] = `Bearer ${this.token}`;
    const request = new Request(`${this.#origin}/api/v1${path}`, { method, headers, ...(body === undefined ? {} : { body }) });
    const response = await this.#ask(request);
    if (response.ok) return response;
    const problem: unknown = await response.json().catch(() => ({}));
    throw new ApiError(response.status, problem as Record<string, unknown>);
  }
}
