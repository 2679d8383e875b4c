/** What the build must keep to: its size, and that nothing of it comes from elsewhere. */

import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { expect, test } from "@playwright/test";

const DIST = join(dirname(fileURLToPath(import.meta.url)), "../../src/shoal/web/dist");
const MOST = 300_000;

interface Chunk {
  file: string;
  imports?: string[];
  isEntry?: boolean;
}

test("the first load is under 300 kB of JavaScript", () => {
  const manifest = JSON.parse(readFileSync(join(DIST, ".vite/manifest.json"), "utf8")) as Record<string, Chunk>;
  const first = new Set<string>();
  const visit = (name: string) => {
    const chunk = manifest[name]!;
    if (first.has(chunk.file)) return;
    first.add(chunk.file);
    chunk.imports?.forEach(visit);
  };
  for (const [name, chunk] of Object.entries(manifest)) if (chunk.isEntry) visit(name);
  const bytes = [...first].reduce((sum, file) => sum + gzipSync(readFileSync(join(DIST, file))).length, 0);
  console.log(`first load: ${bytes} bytes of JavaScript, gzipped`);
  expect(first.size).toBeGreaterThan(0);
  expect(bytes).toBeLessThan(MOST);
});

test("the page has no inline script or style, and loads only its own files", () => {
  const page = readFileSync(join(DIST, "index.html"), "utf8");
  expect(page).not.toMatch(/<script(?![^>]*\bsrc=)[^>]*>/);
  expect(page).not.toMatch(/<style|\sstyle=|\son\w+=/);
  for (const [, address] of page.matchAll(/(?:src|href)="([^"]+)"/g)) expect(address).toMatch(/^\/[^/]/);
  for (const name of walk(DIST).filter((each) => each.endsWith(".css"))) {
    expect(readFileSync(name, "utf8"), name).not.toMatch(/url\(["']?(https?:)?\/\/|@import/);
  }
});

test("it can be installed", () => {
  const manifest = JSON.parse(readFileSync(join(DIST, "manifest.webmanifest"), "utf8")) as { name: string; icons: { src: string }[]; display: string };
  expect(manifest.display).toBe("standalone");
  for (const { src } of manifest.icons) expect(statSync(join(DIST, src)).size).toBeGreaterThan(0);
  const worker = readFileSync(join(DIST, "sw.js"), "utf8");
  expect(worker).toContain("index.html");
  expect(worker).not.toMatch(/https?:\/\/(?!localhost)/);
});

function walk(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((each) => (each.isDirectory() ? walk(join(folder, each.name)) : [join(folder, each.name)]));
}
