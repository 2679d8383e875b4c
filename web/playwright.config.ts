import { defineConfig } from "@playwright/test";

export default defineConfig({
  testDir: "e2e",
  workers: 1,
  timeout: 120_000,
  reporter: [["list"]],
  use: {
    actionTimeout: 30_000,
    launchOptions: {
      // A system's browser, since a browser of Playwright's own is fetched from elsewhere.
      executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
      args: ["--no-sandbox"],
    },
  },
});
