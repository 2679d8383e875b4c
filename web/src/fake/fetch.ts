/** Answers as a node gives them, from a recording: every state of every page without a node. */

import type { TaskRecord } from "../api/client";
import { earningsIn } from "./earnings";
import { type State, stateNow } from "./states";

type Recorded = Record<string, unknown>;

const files = import.meta.glob<{ default: Recorded }>("../recorded/*.json");

async function recorded<T>(name: string): Promise<T> {
  const load = files[`../recorded/${name}.json`];
  if (!load) throw new Error(`${name} was not recorded`);
  return structuredClone((await load()).default) as T;
}

/** As `fetch`, or it throws as `fetch` does where nobody answers. */
export async function fakeFetch(request: Request): Promise<Response> {
  const state = stateNow();
  const { pathname, searchParams } = new URL(request.url);
  if (state === "offline") throw new TypeError("Failed to fetch");
  if (state === "loading") return new Promise(() => undefined);
  if (pathname.endsWith("/info")) return json(await recorded("info"));
  if (state === "locked" && (request.method === "POST" || pathname.endsWith("/result") || pathname.endsWith("/earnings") || pathname.includes("/quotes"))) return problem(401, LOCKED);
  if (state === "error") return problem(503, AWAY);
  if (pathname.endsWith("/events")) return stream(state);
  return answer(request, pathname, searchParams, state);
}

async function answer(request: Request, path: string, query: URLSearchParams, state: State): Promise<Response> {
  const list = (name: string) => listOf(name, state, query);
  if (path === "/api/v1/tasks" && request.method === "POST") return json(await record("open"));
  if (path === "/api/v1/tasks") return json(await list("tasks"));
  if (path === "/api/v1/quotes" || path.startsWith("/api/v1/quotes/")) {
    const quote = await recorded<Recorded>("quote");
    return json({ ...quote, task_id: null, expires_at: Date.now() / 1000 + 840 }, request.method === "POST" ? 201 : 200);
  }
  if (path === "/api/v1/peers") return json(await list("peers"));
  if (path === "/api/v1/mesh") return json(state === "empty" ? { ...(await recorded<Recorded>("mesh")), connected: 0, known: 0, roles: {} } : await recorded("mesh"));
  if (path === "/api/v1/trainers") return json(await list("trainers"));
  if (path === "/api/v1/ledger/movements") return json(await list("movements"));
  if (path === "/api/v1/session") return json(await recorded("session"));
  if (path === "/api/v1/ledger/contract-events") {
    const found = (await list("contract-events")) as { items: { task_id: string | null }[] };
    const mine = (await recorded<TaskRecord>("task-settled")).task_id;
    return json(query.has("task") ? { ...found, items: found.items.filter((each) => each.task_id === mine) } : found);
  }
  if (path === "/api/v1/earnings") return json(state === "earning" || state === "paused" ? earningsIn(state) : null);
  if (path === "/readyz") return json(await recorded("readyz"));
  if (path.endsWith("/cancel")) return json(await recorded("cancel"));
  if (path.endsWith("/bids")) return json(state === "open" ? null : await recorded("bids"));
  if (path.endsWith("/log")) {
    const found = (await list("log")) as { items: { at: number }[] };
    const by = (await record(state)).created_at - (await recorded<TaskRecord>("task-settled")).created_at;
    for (const each of found.items) each.at += by;
    return json(found);
  }
  if (/^\/api\/v1\/tasks\/[^/]+$/.test(path)) return json(await record(state));
  return problem(404, { ...AWAY, title: "The request cannot be carried out", code: "SHOAL-U61", detail: "there is no such resource", money: "" });
}

async function record(state: State): Promise<TaskRecord> {
  const phase = ["open", "awarded", "running", "settling", "cancelled"].includes(state) ? state : ["trouble", "broken", "many"].includes(state) ? "running" : state === "expired" ? "awarded" : "settled";
  const found = await recorded<TaskRecord>(`task-${phase}`);
  if (["open", "awarded", "running", "settling"].includes(found.phase)) settle(found);
  if (state === "expired") return { ...found, phase: "expired", money: { ...found.money, refunded_tinybar: found.money.escrow_tinybar } };
  if (state === "trouble") return { ...found, trouble: { code: AWAY.code, message: AWAY.detail, hint: AWAY.hint, money: AWAY.money } };
  return found;
}

/** A recording is of the past: its clock is set such that its deadlines are ahead. */
function settle(found: TaskRecord): void {
  const by = Math.floor(Date.now() / 1000 - found.now);
  found.now += by;
  found.created_at += by;
  if (found.current) found.current.since += by;
  for (const each of found.deadlines) each.at += by;
}

async function listOf(name: string, state: State, query: URLSearchParams): Promise<Recorded> {
  const found = await recorded<{ items: Recorded[]; next?: string | null }>(name);
  if (state === "empty") return { items: [], next: null };
  if (query.get("cursor")) return { items: [], next: null };
  const mine = name === "tasks" && query.get("all") !== "true" ? found.items.filter((each) => each["mine"]) : found.items;
  if (state !== "many") return { items: mine, next: null };
  return { items: Array.from({ length: 5000 }, (_, index) => numbered(mine[index % mine.length]!, index)), next: null };
}

/** A copy that differs in what must be unique. */
function numbered(item: Recorded, index: number): Recorded {
  const copy = { ...item };
  for (const key of ["task_id", "peer_id", "transaction", "address"]) {
    if (typeof copy[key] === "string") copy[key] = `${index.toString(16).padStart(4, "0")}${(copy[key] as string).slice(4)}`;
  }
  if (typeof copy["sequence_number"] === "number") copy["sequence_number"] = index + 1;
  return copy;
}

async function stream(state: State): Promise<Response> {
  if (state === "broken") return problem(503, AWAY);
  const all = await recorded<Recorded[]>("events");
  const last = { open: 1, awarded: 4, running: 16, trouble: 16, cancelled: 1, expired: 4 }[state as string] ?? all.length;
  const told = state === "many" ? Array.from({ length: 5000 }, (_, index) => all[index % all.length]!) : all.slice(0, last);
  const text = told.map((each, index) => `id: ${index}\nevent: ${String(each["event"])}\ndata: ${JSON.stringify(each)}\n\n`).join("");
  const over = ["normal", "cancelled", "expired"].includes(state);
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(new TextEncoder().encode(text + (over ? "event: end\ndata: {}\n\n" : "")));
      if (over) controller.close();
    },
  });
  return new Response(body, { headers: { "Content-Type": "text/event-stream" } });
}

function json(value: unknown, status = 200): Response {
  return value === null ? problem(404, { ...AWAY, code: "SHOAL-U61" }) : Response.json(value, { status });
}

const AWAY = {
  title: "The ledger refused or cannot be reached",
  code: "SHOAL-L02",
  detail: "no consensus node of devnet answers",
  hint: "wait a minute; the node tries again by itself",
  money: "nothing was spent; what is in escrow stays in the contract",
};
const LOCKED = { title: "The request cannot be carried out", code: "SHOAL-U50", detail: "this needs the node's token", hint: "", money: "" };

function problem(status: number, body: typeof AWAY): Response {
  return Response.json({ ...body, status, type: `urn:shoal:error:${body.code}`, error: body.detail }, { status, headers: { "Content-Type": "application/problem+json" } });
}
