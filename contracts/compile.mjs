// Compiles TrainingMarket.sol into the artefact that ships with the Python package; `--check` only compares.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const artefact = join(here, "..", "src", "shoal", "contracts", "TrainingMarket.json");
const NAME = "TrainingMarket";
const COURT = "Court"; // its code runs on the market's books, and so its functions are the market's
const SOURCES = ["Court.sol", "MarketBooks.sol", "MarketTypes.sol", "PlanRules.sol", "TrainingMarket.sol", "Validators.sol"];
const EVM_VERSION = "cancun";
const OPTIMIZER_RUNS = 200;
const MAX_RUNTIME_BYTES = 24_576; // EIP-170
const TRANSIENT_STORAGE_USED = "2394"; // a general caution, raised by OpenZeppelin's reentrancy guard, which clears its slot
const FUTURE_KEYWORD = "6335"; // OpenZeppelin's checkpoints have a function `at`

const read = (...path) => readFileSync(join(here, ...path), "utf8");
const version = (name) => JSON.parse(read("node_modules", name, "package.json")).version;

function compile(sources) {
  const input = {
    language: "Solidity",
    sources,
    settings: {
      evmVersion: EVM_VERSION,
      optimizer: { enabled: true, runs: OPTIMIZER_RUNS },
      viaIR: true, // a quarter less code, and calls with eight arguments
      // A metadata hash would cover file paths: without it the bytecode depends on the source alone.
      metadata: { bytecodeHash: "none" },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode"] } },
    },
  };
  const findImports = (path) => {
    try {
      return { contents: read("node_modules", path) };
    } catch (error) {
      return { error: String(error) };
    }
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: findImports }));
  const expected = [TRANSIENT_STORAGE_USED, FUTURE_KEYWORD];
  const complaints = (output.errors ?? []).filter((one) => !expected.includes(one.errorCode));
  if (complaints.length > 0) {
    throw new Error(complaints.map((one) => one.formattedMessage).join("\n"));
  }
  return [NAME, COURT].map((name) => output.contracts[`${name}.sol`][name]);
}

function render() {
  const sources = Object.fromEntries(SOURCES.map((path) => [path, { content: read(path) }]));
  const both = compile(sources);
  const runtimeBytes = both.map((one) => one.evm.deployedBytecode.object.length / 2);
  if (Math.max(...runtimeBytes) > MAX_RUNTIME_BYTES) {
    throw new Error(`${runtimeBytes} bytes of code, at most ${MAX_RUNTIME_BYTES} each can be deployed`);
  }
  const [contract, court] = both;
  const known = new Set(contract.abi.map((item) => JSON.stringify(item)));
  const abi = [...contract.abi, ...court.abi.filter((item) => !known.has(JSON.stringify(item)))];
  const text = JSON.stringify(
    {
      abi,
      bytecode: contract.evm.bytecode.object,
      runtime: contract.evm.deployedBytecode.object,
      court_places: Object.values(contract.evm.deployedBytecode.immutableReferences)
        .flat()
        .map(({ start }) => start), // where creation writes the court's address, a word each
      court_runtime: court.evm.deployedBytecode.object,
      source_sha256: createHash("sha256").update(SOURCES.map((path) => read(path)).join("")).digest("hex"),
      compiler: `solc ${solc.semver()}, evm ${EVM_VERSION}, optimizer ${OPTIMIZER_RUNS} runs via IR, openzeppelin ${version("@openzeppelin/contracts")}`,
    },
    null,
    1,
  );
  return { text: text + "\n", runtimeBytes };
}

const mode = process.argv[2];
if (process.argv.length > 3 || (mode !== undefined && mode !== "--check")) {
  console.error("usage: node compile.mjs [--check]");
  process.exit(2);
}
const { text, runtimeBytes } = render();
if (mode === "--check") {
  let committed = "";
  try {
    committed = readFileSync(artefact, "utf8");
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  if (committed !== text) {
    console.error("TrainingMarket.json differs from what TrainingMarket.sol compiles to: run `node compile.mjs`");
    process.exit(1);
  }
  console.error(`TrainingMarket.json is up to date (${runtimeBytes.join(" and ")} bytes of code)`);
} else {
  mkdirSync(dirname(artefact), { recursive: true });
  writeFileSync(artefact, text);
  console.error(`wrote TrainingMarket.json (${runtimeBytes.join(" and ")} bytes of code)`);
}
