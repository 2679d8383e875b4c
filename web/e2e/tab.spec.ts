/** The browser as the client, on a real network: paired by a code, paid by its wallet, opened with its own key, which is in no request. */

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

import { Decrypter, armor } from "age-encryption";
import { expect, test } from "@playwright/test";

import { type Network, network } from "./serve";

const PASSPHRASE = "correct horse battery staple shoal";

let net: Network;
test.beforeAll(async () => {
  test.setTimeout(180_000);
  net = await network();
});
test.afterAll(() => net?.stop());

function table(): string {
  const lines = Array.from({ length: 240 }, (_, i) => [Math.sin(i) + (i % 2), Math.cos(i * 1.7) - (i % 2), i % 7, i % 2 ? "yes" : "no"].join(","));
  return ["a,b,c,answer", ...lines].join("\n");
}

async function code(): Promise<string> {
  const answer = await fetch(`${net.url}/api/v1/pairing`, { method: "POST", headers: { authorization: `Bearer ${net.token}` } });
  return ((await answer.json()) as { code: string }).code;
}

test("pairs by a code in the fragment, which is gone at once and works once", async ({ page, context }) => {
  const pairing = await code();
  await page.goto(`${net.url}/train#pair=${pairing}`);
  await expect(page.getByRole("radio", { name: /^This browser/ })).toBeVisible();
  expect(page.url()).not.toContain("pair");
  const other = await context.newPage();
  await other.goto(`${net.url}/train#pair=${pairing}`);
  await expect(other.getByLabel("Pairing code or token")).toBeVisible();
});

test("buys a training from the browser and opens its result; no key leaves", async ({ page }) => {
  test.setTimeout(230_000);
  const sent: string[] = [];
  const wrong: string[] = [];
  page.on("request", (request) => sent.push(`${request.url()} ${JSON.stringify(request.headers())} ${request.postDataBuffer()?.toString("latin1") ?? ""}`));
  page.on("console", (message) => /Content Security Policy/i.test(message.text()) && wrong.push(message.text()));
  page.on("pageerror", (error) => wrong.push(error.message));
  await page.goto(`${net.url}/train#pair=${await code()}`);
  await page.getByRole("radio", { name: /^(Logistic|Linear)/ }).check();
  await page.getByRole("button", { name: "Next: data" }).click();
  await page.getByLabel("Data file").setInputFiles({ name: "answers.csv", mimeType: "text/csv", buffer: Buffer.from(table().replace("answer", "label")) });
  await expect(page.getByText("yes: 120")).toBeVisible();
  await page.getByRole("button", { name: "Next: plan" }).click();
  await page.getByLabel("Name", { exact: true }).fill("from-the-tab");
  await page.getByLabel("Rounds").fill("2");
  await page.getByLabel("Trainers").fill("2");
  await page.getByRole("button", { name: "See the price" }).click();
  await expect(page.getByText("Still missing: a wallet, keys.")).toBeVisible();
  await page.getByLabel("Account", { exact: true }).fill(net.account.id);
  await page.getByLabel("Private key", { exact: true }).fill(net.account.key);
  await page.getByRole("button", { name: "Use this wallet" }).click();
  await page.getByLabel("Passphrase", { exact: true }).fill(PASSPHRASE);
  await page.getByLabel("Passphrase once more", { exact: true }).fill(PASSPHRASE);
  await page.getByRole("button", { name: "Make keys" }).click();
  const pay = page.getByRole("button", { name: /^Lock .* and begin$/ });
  await expect(page.getByText("Still missing: a back-up of the keys.")).toBeVisible();
  await expect(pay).toBeDisabled();
  const backup = page.waitForEvent("download");
  await page.getByRole("button", { name: "Save the back-up file" }).click();
  const backupText = readFileSync(await (await backup).path(), "utf8");
  await page.getByLabel("I have the file and know its passphrase").click();
  await pay.click();
  await expect(page).toHaveURL(/\/tasks\/[0-9a-f]{64}$/, { timeout: 60_000 });
  await expect(page.getByText("Trainers bid; nothing is to be done")).toBeVisible({ timeout: 60_000 });
  await page.reload(); // it goes on by itself
  await expect(page.getByText("You may close this tab").or(page.locator(".page-head").getByText("Completed"))).toBeVisible({ timeout: 120_000 });
  await expect(page.locator(".page-head").getByText("Completed")).toBeVisible({ timeout: 120_000 });
  const task = /tasks\/([0-9a-f]+)/.exec(page.url())![1];
  await page.getByRole("link", { name: "Result", exact: true }).click();
  const saved = page.waitForEvent("download");
  await page.getByRole("button", { name: "Open, verify and save" }).click();
  const file = await (await saved).path();
  await expect(page.getByText("are equal to what the trainers confirmed on chain")).toBeVisible();
  const onChain = (await (await fetch(`${net.url}/api/v1/tasks/${task}`)).json()) as { result_sha256: string };
  expect(createHash("sha256").update(readFileSync(file)).digest("hex")).toBe(onChain.result_sha256);
  for (const secret of await secretsOf(backupText)) for (const each of sent) expect(each.toLowerCase().includes(secret.toLowerCase())).toBe(false);
  expect(wrong).toEqual([]);
});

/** Everything that must be in no request: the wallet's key, the passphrase, and both keys of the browser in each form. */
async function secretsOf(backup: string): Promise<string[]> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(PASSPHRASE);
  const files = JSON.parse(await decrypter.decrypt(armor.decode(backup), "text")) as Record<string, string>;
  const body = /KEY-----\s*([A-Za-z0-9+/=]+)\s*-----END/.exec(files["node.key"]!)![1]!;
  const seed = Buffer.from(body, "base64").subarray(-32);
  const forms = [files["age.key"]!.trim(), body, seed.toString("hex"), seed.toString("latin1"), seed.toString("base64"), PASSPHRASE];
  return [...forms, net.account.key.replace(/^\w+:/, "")];
}
