// Draw the icons for installed apps from the one drawing, with the browser that the tests use.
//
//   node tools/icons.mjs
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "@playwright/test";

const place = join(dirname(fileURLToPath(import.meta.url)), "..", "public", "icons");
const drawing = readFileSync(join(place, "shoal.svg"), "utf8");
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox"] });
// A maskable icon keeps what matters inside the middle four fifths, since any shape may be cut out of it.
for (const [name, size, share, ground] of [
  ["shoal-192", 192, 0.86, "transparent"],
  ["shoal-512", 512, 0.86, "transparent"],
  ["shoal-maskable-512", 512, 0.6, "#e3f1f3"],
]) {
  const page = await browser.newPage({ viewport: { width: size, height: size } });
  await page.setContent(`<body style="margin:0;display:grid;place-items:center;height:100vh;background:${ground}"><div style="width:${share * 100}%">${drawing}</div>`);
  await page.screenshot({ path: join(place, `${name}.png`), omitBackground: true });
}
await browser.close();
