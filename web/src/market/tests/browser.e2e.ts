// The library as a page has it: built, served by the node under its strict policy, in Chromium. Uploads go from the page
// straight to storage, transactions by grpc-web to the ledger, and the page is reloaded on the way.

import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { type Browser, chromium } from "playwright-core";
import { afterAll, beforeAll, expect, it } from "vitest";
import { build } from "vite";

import { type Network, upNetwork } from "./network";

const sdk = fileURLToPath(new URL("../../../node_modules/@hiero-ledger/sdk/lib/browser.js", import.meta.url));
let home: string;
let network: Network;
let browser: Browser;

beforeAll(async () => {
  home = mkdtempSync(join(tmpdir(), "shoal-page-"));
  const source = process.env["SHOAL_SRC"] ?? resolve(import.meta.dirname, "../../../../src");
  cpSync(source, join(home, "src"), { recursive: true });
  await build({
    configFile: false,
    root: join(import.meta.dirname, "page"),
    logLevel: "warn",
    resolve: { alias: { "@hiero-ledger/sdk": sdk } },
    build: { outDir: join(home, "src/shoal/web/dist"), emptyOutDir: true, target: "es2022" },
    worker: { format: "es" },
  });
  network = await upNetwork(2, join(home, "src"));
  browser = await chromium.launch({ executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
});
afterAll(async () => {
  await browser?.close();
  await network?.stop();
  if (home) rmSync(home, { recursive: true, force: true });
});

function csv(rows: number): string {
  const lines = ["a,b,c,d,kind"];
  for (let row = 0; row < rows; row++) {
    const noise = (salt: number): number => Math.sin(row * 12.9898 + salt * 78.233) * 0.4;
    lines.push([(row % 3) + noise(1), 2 - (row % 3) + noise(2), noise(3), noise(4), ["red", "green", "blue"][row % 3]].join());
  }
  return lines.join("\n");
}

it("buys a training from a page, and opens its result", { timeout: 300_000 }, async () => {
  const page = await browser.newPage();
  const problems: string[] = [];
  page.on("pageerror", (error) => problems.push(error.message));
  // What the mirror does not know yet is a 404, which the console tells too; what counts is what the policy refused.
  page.on("console", (said) => /Content Security Policy|CORS/.test(said.text()) && problems.push(said.text()));
  const open = async (): Promise<void> => {
    await page.goto(network.url);
    await expect.poll(() => page.evaluate(() => "steps" in window)).toBe(true);
  };
  const { account } = network;
  await open();
  await page.evaluate((code) => window.steps.pair(code), await network.code());
  const made = await page.evaluate(([who, text]) => window.steps.prepare(who, text), [account, csv(240)] as const);
  expect(made.description).toMatchObject({ rows: 240, shape: [4], classCount: 3, label: "kind" });
  expect(await page.evaluate(() => window.steps.keysAreSealed())).toBe(true);
  expect(await page.evaluate((text) => window.steps.refusal(text), "a,b,label\n1,2,x\n3,,y\n")).toMatch(/SHOAL-D03 .*"b", row 2/);
  expect(await page.evaluate(([who, task]) => window.steps.runUntil(who, task, "bidding"), [account, made.task] as const)).toContain("bidding");
  await open(); // reloaded
  const seen = await page.evaluate(([who, task]) => window.steps.runUntil(who, task, "never"), [account, made.task] as const);
  expect(seen.at(-1)).toBe("training");
  await open(); // closed, and back for the result
  const result = await page.evaluate(([who, task]) => window.steps.collect(who, task), [account, made.task] as const);
  expect(result.phase).toBe("settled");
  expect(result.sha256).toMatch(/^[0-9a-f]{64}$/);
  expect(result.tensors.length).toBeGreaterThan(1);
  expect(problems).toEqual([]);
});
