/** Starting what a test needs, and ending it again: servers of the built app, and a whole local network. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const WEB = join(dirname(fileURLToPath(import.meta.url)), "..");

export interface Served {
  url: string;
  stop: () => Promise<void>;
}

/** The built app with its policy: of recorded data, or before a node. */
export async function preview(kind: "fake" | "real", node?: string): Promise<Served> {
  const port = await freePort();
  const mode = kind === "fake" ? ["--mode", "fake"] : [];
  const child = spawn(process.execPath, [join(WEB, "node_modules/vite/bin/vite.js"), "preview", "--port", port.toString(), "--strictPort", ...mode], {
    cwd: WEB,
    env: { ...process.env, ...(node ? { SHOAL_NODE: node } : {}) },
  });
  const url = `http://127.0.0.1:${port}`;
  await until(async () => (await fetch(url)).ok, child);
  return { url, stop: () => end(child) };
}

export interface Network extends Served {
  token: string;
  /** Play money of the network's own user. */
  account: { id: string; key: string };
}

/** `shoal up` in a directory of its own. */
export async function network(): Promise<Network> {
  const dir = mkdtempSync(join(tmpdir(), "shoal-web-"));
  const python = process.env["PYTHON"] ?? join(WEB, "../.venv/bin/python");
  const child = spawn(python, ["-m", "shoal", "up", "--json", "--dir", dir, "--listen", "127.0.0.1:0", "--command-listen", "127.0.0.1:0"], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, PYTHONPATH: join(WEB, "../src") },
  });
  let talk = "";
  child.stderr!.on("data", (piece: Buffer) => (talk = (talk + piece.toString()).slice(-4000)));
  const line = await new Promise<string>((resolve, reject) => {
    let text = "";
    child.stdout!.on("data", (piece: Buffer) => {
      text += piece.toString();
      const found = text.split("\n").find((each) => each.includes('"event": "up"') || each.includes('"event":"up"'));
      if (found) resolve(found);
    });
    child.once("exit", (code) => reject(new Error(`shoal up ended with ${code}: ${talk}`)));
  });
  const { url, client_dir } = JSON.parse(line) as { url: string; client_dir: string };
  const stop = async () => {
    await end(child);
    rmSync(dir, { recursive: true, force: true });
  };
  const toml = readFileSync(join(client_dir, "shoal.toml"), "utf8");
  const setting = (name: string) => new RegExp(`^${name}\\s*=\\s*"([^"]*)"`, "m").exec(toml)?.[1] ?? "";
  return { url, account: { id: setting("operator_id"), key: setting("operator_key") }, token: readFileSync(join(client_dir, "api-token"), "utf8").trim(), stop };
}

function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null) return Promise.resolve();
  return new Promise((resolve) => {
    child.once("exit", () => resolve());
    child.kill("SIGTERM");
  });
}

async function until(holds: () => Promise<boolean>, child: ChildProcess): Promise<void> {
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the server ended with ${child.exitCode}`);
    if (await holds().catch(() => false)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer();
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
