// Measures which branches of the market the tests of single functions take; exits 1 if they leave one out.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const contracts = join(dirname(fileURLToPath(import.meta.url)), "..");
const report = join("foundry", "out", "lcov.info");
// --ir-minimum: without the optimiser, which would merge branches, but with the pipeline that the sources need.
const tests = ["--no-match-contract", "Invariant", "--no-match-test", "theCodeTested"];
const options = ["--ir-minimum", ...tests, "--report", "lcov", "--report-file", report];
execFileSync("npx", ["forge", "coverage", ...options], { cwd: contracts, stdio: ["ignore", "ignore", "inherit"] });

let missed = 0;
for (const record of readFileSync(join(contracts, report), "utf8").split("end_of_record\n")) {
  const source = /^SF:(.*)$/m.exec(record)?.[1];
  if (source === undefined || source.includes("/")) continue; // only the market's own files lie at the top
  const [branches, taken] = ["BRF", "BRH"].map((field) => Number(new RegExp(`^${field}:(\\d+)$`, "m").exec(record)[1]));
  const lines = [...record.matchAll(/^BRDA:(\d+),.*,(?:0|-)$/gm)].map((match) => match[1]);
  missed += lines.length;
  console.log(`${source}: ${taken} of ${branches} branches${lines.length ? `, not those of lines ${lines}` : ""}`);
}
process.exit(missed === 0 ? 0 : 1);
