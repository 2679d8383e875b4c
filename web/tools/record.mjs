// Record a real network for `npm run dev:fake` and the example: buys two trainings from a running `shoal up`, one of which it
// cancels, and keeps what the node answered on the way.
//
//   node tools/record.mjs http://127.0.0.1:8420 TOKEN_FILE
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const [base, tokenFile] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${readFileSync(tokenFile, "utf8").trim()}` };
const place = join(dirname(fileURLToPath(import.meta.url)), "..", "src", "recorded");
const keep = (name, value) => writeFileSync(join(place, `${name}.json`), `${JSON.stringify(value)}\n`);
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function ask(path, init = {}) {
  const answer = await fetch(base + path, { ...init, headers: { ...headers, ...init.headers } });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer.json();
}

const MODEL = `from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(6), nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)
`;
const RECIPE = { loss: "cross_entropy", metric: "accuracy", optimizer: { name: "adam", lr: 0.002 }, batch_size: 32, local_steps: 30, rounds: 12, trainers: 4, seed: 1 };

/** Three kinds of clouds in six columns, near enough to each other that it takes some rounds to tell them apart. */
function rows() {
  let seed = 7;
  const random = () => (seed = (seed * 16_807) % 2_147_483_647) / 2_147_483_647;
  const gauss = () => random() + random() + random() + random() - 2;
  const lines = ["petal,stem,weight,age,light,water,kind"];
  for (let i = 0; i < 1200; i += 1) {
    const kind = i % 3;
    const cells = Array.from({ length: 6 }, (_, column) => (((kind + column) % 3) * 0.55 + gauss()).toFixed(4));
    lines.push([...cells, ["reed", "kelp", "moss"][kind]].join(","));
  }
  return lines.join("\n");
}

async function quote(name) {
  const form = new FormData();
  form.set("model", new Blob([MODEL]), "model.py");
  form.set("recipe", new Blob([JSON.stringify(RECIPE)]), "recipe.json");
  form.set("data", new Blob([rows()]), "plants.csv");
  form.set("name", name);
  return ask("/api/v1/quotes", { method: "POST", body: form });
}

async function create(made) {
  const body = JSON.stringify({ quote_id: made.quote_id, confirm: true });
  return ask("/api/v1/tasks", { method: "POST", body, headers: { "Content-Type": "application/json" } });
}

async function events(task) {
  const answer = await fetch(`${base}/api/v1/tasks/${task}/events`, { headers });
  const found = [];
  for (const block of (await answer.text()).split("\n\n")) {
    const data = /^data: (.*)$/m.exec(block)?.[1];
    if (data && /^id: /m.test(block)) found.push(JSON.parse(data));
  }
  return found;
}

async function optional(path) {
  return ask(path).catch(() => null);
}

const made = await quote("plants");
keep("quote", made);
const { task_id: task } = await create(made);
const seen = new Set();
for (;;) {
  const record = await ask(`/api/v1/tasks/${task}`);
  const key = record.phase === "running" && record.checkpoints.length >= 5 ? "running-later" : record.phase;
  // A phase is kept from its second look on, when there is more to see; the last look of it counts.
  if (record.phase !== "running" || !seen.has("running-later")) keep(`task-${record.phase}`, record);
  seen.add(key);
  if (record.phase === "settled" && record.seats.every((seat) => seat.paid_tinybar !== null)) {
    keep("task-settled", record);
    break;
  }
  await wait(300);
}
keep("events", await events(task));
keep("bids", await optional(`/api/v1/tasks/${task}/bids`));
keep("log", await ask(`/api/v1/tasks/${task}/log?limit=200`));

const second = await create(await quote("plants-again"));
await wait(1500);
keep("cancel", await ask(`/api/v1/tasks/${second.task_id}/cancel`, { method: "POST" }));
keep("task-cancelled", await ask(`/api/v1/tasks/${second.task_id}`));
await wait(4000);
keep("tasks", await ask("/api/v1/tasks?all=true"));
keep("movements", await ask("/api/v1/ledger/movements?limit=200"));
for (const [name, path] of [["peers", "/api/v1/peers"], ["mesh", "/api/v1/mesh"], ["trainers", "/api/v1/trainers"], ["readyz", "/readyz"]]) keep(name, await ask(path));
keep("contract-events", await optional("/api/v1/ledger/contract-events?limit=200"));
keep("info", await optional("/api/v1/info"));
keep("session", await optional("/api/v1/session"));
