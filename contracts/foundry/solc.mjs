#!/usr/bin/env node
// What forge and slither call as `solc`: the pinned solc-js behind the few options of the native compiler that they use.
import { readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const args = process.argv.slice(2);
if (args.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (args.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8")));
} else {
  console.error(`solc.mjs knows --version and --standard-json, not ${args.join(" ")}`);
  process.exit(2);
}
