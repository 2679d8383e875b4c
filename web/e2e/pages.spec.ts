/** Every state of every page on recorded data: readable by everyone, in light and dark, wide and narrow, under a strict policy. */

import { mkdirSync } from "node:fs";
import { join } from "node:path";

import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";

import { statesOf } from "../src/fake/states";
import { preview, type Served } from "./serve";

const TASK = "/tasks/7d1f";
const PATHS = ["/", "/example", "/train", "/tasks", TASK, `${TASK}/result`, "/payments", "/wallet", "/earn", "/network", "/operator", "/settings", "/nowhere"];
const SIZES = { wide: { width: 1280, height: 900 }, phone: { width: 390, height: 844 } };
/** Where pictures are put, if they are asked for; the states that are worth one. */
const PICTURES = process.env["PICTURES"];

let served: Served;
test.beforeAll(async () => {
  served = await preview("fake");
});
test.afterAll(() => served.stop());

for (const path of PATHS) {
  for (const state of statesOf(path)) {
    test(`${path} ${state}`, async ({ page }) => {
      const broken: string[] = [];
      page.on("pageerror", (error) => broken.push(error.message));
      page.on("console", (message) => /Content Security Policy/i.test(message.text()) && broken.push(message.text()));
      if (state !== "locked") await page.addInitScript(() => sessionStorage.setItem("shoal-token", "recorded"));
      for (const scheme of ["light", "dark"] as const) {
        await page.emulateMedia({ colorScheme: scheme, reducedMotion: "reduce" });
        for (const [name, size] of Object.entries(SIZES)) {
          // A page's usual state in all four; of the others the two that differ most.
          if (state !== "normal" && (scheme === "light") !== (name === "wide")) continue;
          await page.setViewportSize(size);
          await page.goto(`${served.url}${path}?state=${state}&quiet`);
          await expect(page.locator("h1")).toBeVisible();
          // What went wrong is told, wherever something is asked for.
          if (["error", "offline"].includes(state) && /^\/(tasks|payments|wallet|network|operator|earn)/.test(path)) await expect(page.getByRole("alert").first()).toBeVisible();
          await page.waitForTimeout(250);
          expect(await cutOff(page), `${scheme} ${name}`).toEqual([]);
          // Thousands of rows, and no more of them in the page than a reader can see.
          if (state === "many") for (const list of await page.locator(".list-inner").all()) expect(await list.locator(".list-item").count()).toBeLessThan(60);
          expect(await serious(page), `${scheme} ${name}`).toEqual([]);
          if (PICTURES) {
            mkdirSync(PICTURES, { recursive: true });
            const file = `${path === "/" ? "home" : path.slice(1).replace(TASK.slice(1), "task").replaceAll("/", "-")}-${state}-${scheme}-${name}.png`;
            await page.screenshot({ path: join(PICTURES, file), fullPage: true });
          }
        }
      }
      expect(broken).toEqual([]);
    });
  }
}

test("the steps of a new training", async ({ page }) => {
  await page.addInitScript(() => sessionStorage.setItem("shoal-token", "recorded"));
  await page.setViewportSize(SIZES.phone);
  await page.goto(`${served.url}/train?quiet`);
  await page.getByRole("button", { name: "Next: data" }).click();
  const rows = Array.from({ length: 40 }, (_, i) => `${i},${i % 3},${i % 2 ? "yes" : ""}`);
  await page.getByLabel("Data file").setInputFiles({ name: "rows.csv", mimeType: "text/csv", buffer: Buffer.from(["a,b,label", ...rows].join("\n")) });
  await expect(page.getByText("label: 20 cells are empty, the first in row 1.")).toBeVisible();
  await expect(page.getByRole("button", { name: "Next: plan" })).toBeDisabled();
  await page.getByLabel("Data file").setInputFiles({ name: "rows.csv", mimeType: "text/csv", buffer: Buffer.from(["a,b,label", ...rows.map((row) => `${row}no`)].join("\n")) });
  expect([...(await cutOff(page)), ...(await serious(page))]).toEqual([]);
  await page.getByRole("button", { name: "Next: plan" }).click();
  expect([...(await cutOff(page)), ...(await serious(page))]).toEqual([]);
  await page.getByRole("button", { name: "See the price" }).click();
  await expect(page.getByRole("heading", { name: "Pay and begin" })).toBeVisible();
  expect([...(await cutOff(page)), ...(await serious(page))]).toEqual([]);
  if (PICTURES) await page.screenshot({ path: join(PICTURES, "train-price-normal-light-phone.png"), fullPage: true });
});

/** What axe finds that shuts somebody out. */
async function serious(page: Page): Promise<string[]> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  return violations
    .filter((each) => each.impact === "serious" || each.impact === "critical")
    .map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(" | ")}`);
}

/** What does not fit: a page that scrolls sideways, or words that are cut at the edge of their box. */
function cutOff(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const found: string[] = [];
    if (document.documentElement.scrollWidth > innerWidth + 1) found.push(`the page is ${document.documentElement.scrollWidth} wide`);
    for (const element of document.querySelectorAll<HTMLElement>("h1, h2, h3, p, span, a, button, td, th, dt, dd, label, li")) {
      const style = getComputedStyle(element);
      const hides = style.overflowX === "hidden" || style.overflowX === "clip";
      if (hides && style.clipPath === "none" && element.clientWidth > 0 && element.scrollWidth > element.clientWidth + 1 && element.innerText.trim()) {
        found.push(`${element.tagName}.${element.className}: ${element.innerText.slice(0, 60)}`);
      }
    }
    return found;
  });
}
