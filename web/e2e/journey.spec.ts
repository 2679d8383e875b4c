/** A newcomer's way on a real network: from a table to verified weights, paid for; and a training that is cancelled. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { expect, type Page, test } from "@playwright/test";

import { type Network, network, preview, type Served } from "./serve";

let net: Network;
let served: Served;
test.beforeAll(async () => {
  test.setTimeout(180_000);
  net = await network();
  // A node that serves the app itself is what users meet; before that there is a preview with the same policy.
  const page = await (await fetch(net.url)).text();
  served = page.includes('id="root"') ? { url: net.url, stop: () => Promise.resolve() } : await preview("real", net.url);
});
test.afterAll(async () => {
  await served?.stop();
  await net?.stop();
});

function table(): string {
  const lines = Array.from({ length: 400 }, (_, i) => [Math.sin(i) + (i % 2), Math.cos(i * 1.7) - (i % 2), i % 7, i % 2 ? "yes" : "no"].join(","));
  return ["a,b,c,answer", ...lines].join("\n");
}

async function untilPrice(page: Page, name: string): Promise<void> {
  await page.goto(`${served.url}/train`);
  const code = page.getByLabel("Pairing code or token");
  await code.or(page.getByRole("radio", { name: /^My own node/ })).first().waitFor();
  if (await code.isVisible()) {
    await code.fill(net.token);
    await page.getByRole("button", { name: "Connect" }).click();
  }
  await page.getByRole("radio", { name: /^My own node/ }).check();
  await page.getByRole("radio", { name: /^Linear model/ }).check();
  await page.getByRole("button", { name: "Next: data" }).click();
  await page.getByLabel("Data file").setInputFiles({ name: "answers.csv", mimeType: "text/csv", buffer: Buffer.from(table()) });
  await expect(page.getByText("Columns to learn from")).toBeVisible();
  await page.getByRole("button", { name: "Next: plan" }).click();
  await page.getByLabel("Name", { exact: true }).fill(name);
  await page.getByLabel("Rounds").fill("3");
  await page.getByRole("button", { name: "See the price" }).click();
  await expect(page.getByRole("heading", { name: "Price", exact: true })).toBeVisible({ timeout: 60_000 });
}

test("buys a training, watches it, and downloads verified weights", async ({ page }) => {
  test.setTimeout(240_000);
  const wrong: string[] = [];
  page.on("console", (message) => /Content Security Policy/i.test(message.text()) && wrong.push(message.text()));
  await untilPrice(page, "answers");
  await page.reload(); // a quote survives it
  await expect(page.getByText("on chain").or(page.getByRole("heading", { name: "Price", exact: true })).first()).toBeVisible();
  const backup = page.getByLabel("I have a back-up of my node's keys");
  if (await backup.isVisible()) await backup.check();
  await page.getByRole("button", { name: /^Lock .* and begin$/ }).click();
  await expect(page).toHaveURL(/\/tasks\/[0-9a-f]{64}$/, { timeout: 60_000 });
  await page.reload(); // and so does the training
  await expect(page.getByRole("heading", { name: "answers" })).toBeVisible();
  await expect(page.locator(".page-head").getByText("Completed")).toBeVisible({ timeout: 150_000 });
  await expect(page.getByText("3 of 3", { exact: true })).toBeVisible();

  await page.getByRole("link", { name: "Result", exact: true }).click();
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Download and verify" }).click();
  const file = await (await saved).path();
  await expect(page.getByText("equal to what the trainers confirmed on chain")).toBeVisible();
  const onChain = (await (await fetch(`${net.url}/api/v1/tasks/${/tasks\/([0-9a-f]+)/.exec(page.url())![1]}`)).json()) as { result_sha256: string };
  expect(createHash("sha256").update(readFileSync(file)).digest("hex")).toBe(onChain.result_sha256);

  await page.goto(`${served.url}/tasks`);
  await expect(page.getByText("3 of 3 rounds")).toBeVisible();
  await page.goto(`${served.url}/payments`);
  await expect(page.getByText("Balance by these lines")).toBeVisible();
  expect(wrong).toEqual([]);
  expect(page.url()).not.toContain(net.token);
  expect(await page.evaluate(() => Object.values(localStorage).join())).not.toContain(net.token);
});

test("cancels before the start, and is told what comes back", async ({ page }) => {
  test.setTimeout(120_000);
  await untilPrice(page, "second-thoughts");
  const backup = page.getByLabel("I have a back-up of my node's keys");
  if (await backup.isVisible()) await backup.check();
  await page.getByRole("button", { name: /^Lock .* and begin$/ }).click();
  await page.getByRole("button", { name: "Cancel training" }).click({ timeout: 60_000 });
  await page.getByRole("dialog").getByRole("button", { name: "Cancel training" }).click();
  await expect(page.getByRole("dialog").getByRole("heading", { name: "Cancelled" })).toBeVisible({ timeout: 30_000 });
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
  await expect(page.getByText("This training was cancelled")).toBeVisible({ timeout: 30_000 });
});
