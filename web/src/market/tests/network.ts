// A whole local network for a test: `shoal up` in a child process, and how a page gets into it.

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";

const PATIENCE_MS = 180_000;

export interface Network {
  readonly url: string;
  readonly clientDir: string;
  /** A code as the node prints one for its user. */
  code(): Promise<string>;
  /** The development account of `shoal up`. */
  readonly account: { readonly accountId: string; readonly key: string };
  stop(): Promise<void>;
}

/** SHOAL_PYTHON and SHOAL_SRC name the interpreter and the sources; by default those of this tree. */
export async function upNetwork(trainers: number, sources?: string): Promise<Network> {
  const home = mkdtempSync(join(tmpdir(), "shoal-web-"));
  const source = sources ?? process.env["SHOAL_SRC"] ?? resolve(import.meta.dirname, "../../../../src");
  const free = "127.0.0.1:0";
  const command = ["-m", "shoal", "up", "--dir", join(home, "net"), "--trainers", String(trainers)];
  const child = spawn(process.env["SHOAL_PYTHON"] ?? "python", [...command, "--listen", free, "--command-listen", free, "--json"], {
    env: { ...process.env, PYTHONPATH: source },
    cwd: home,
    stdio: ["ignore", "pipe", "pipe"],
  });
  const { url, client_dir: clientDir } = await where(child);
  const toml = readFileSync(join(clientDir, "shoal.toml"), "utf8");
  const setting = (name: string): string => new RegExp(`^${name}\\s*=\\s*"([^"]*)"`, "m").exec(toml)?.[1] ?? "";
  return {
    url,
    clientDir,
    account: { accountId: setting("operator_id"), key: setting("operator_key") },
    async code() {
      const token = readFileSync(join(clientDir, "api-token"), "utf8").trim();
      const answer = await fetch(`${url}/api/v1/pairing`, { method: "POST", headers: { authorization: `Bearer ${token}` } });
      return ((await answer.json()) as { code: string }).code;
    },
    async stop() {
      const ended = new Promise((done) => child.once("exit", done));
      child.kill("SIGTERM");
      await ended;
      rmSync(home, { recursive: true, force: true });
    },
  };
}

async function where(child: ChildProcess): Promise<{ url: string; client_dir: string }> {
  let [shown, problems] = ["", ""];
  child.stderr!.on("data", (data: Buffer) => (problems += data.toString()));
  return await new Promise((done, fail) => {
    const late = setTimeout(() => fail(new Error(`the network is not up in time: ${problems}`)), PATIENCE_MS);
    child.once("exit", (code) => fail(new Error(`shoal up ended with ${code}: ${problems}`)));
    child.stdout!.on("data", (data: Buffer) => {
      shown += data.toString();
      for (const line of shown.split("\n").slice(0, -1)) {
        if (!line.startsWith("{")) continue;
        const said = JSON.parse(line) as { event?: string; url?: string; client_dir?: string };
        if (said.event === "up" && said.url && said.client_dir) {
          clearTimeout(late);
          done({ url: said.url, client_dir: said.client_dir });
        }
      }
    });
  });
}
