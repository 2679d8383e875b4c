#!/usr/bin/env node
// What forge and slither call as `solc`: the pinned solc-js, behind the few options of the native one that they use.
import { readFileSync } from "node:fs";
import solc from "solc";

// Of sources that are named only, as the native compiler does: from the folder in which it was called.
function read(path) {
  try {
    return { contents: readFileSync(path, "utf8") };
  } catch (error) {
    return { error: String(error) };
  }
}

const args = process.argv.slice(2);
if (args.includes("--version")) {
  console.log(`solc, the solidity compiler commandline interface\nVersion: ${solc.version()}`);
} else if (args.includes("--standard-json")) {
  process.stdout.write(solc.compile(readFileSync(0, "utf8"), { import: read }));
} else {
  console.error(`solc.mjs knows --version and --standard-json, not ${args.join(" ")}`);
  process.exit(2);
}
