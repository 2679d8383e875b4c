import { fileURLToPath } from "node:url";

import { defineConfig } from "vitest/config";

// The SDK's browser build, which speaks grpc-web, as a page has it.
const sdk = fileURLToPath(new URL("node_modules/@hiero-ledger/sdk/lib/browser.js", import.meta.url));

export default defineConfig({
  resolve: { alias: { "@hiero-ledger/sdk": sdk } },
  test: { include: ["src/**/*.e2e.ts"], hookTimeout: 240_000, fileParallelism: false },
});
