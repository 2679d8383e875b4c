import { fileURLToPath } from "node:url";

import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";
import { VitePWA } from "vite-plugin-pwa";

/** What the page may load and do: the node sends the same. Mantine needs no inline style, since its variables are in a file. */
export const CSP = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "base-uri 'none'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join("; ");

/** The SDK's build for browsers, which speaks grpc-web. Unit tests run in Node, and take the other. */
const SDK = fileURLToPath(new URL("node_modules/@hiero-ledger/sdk/lib/browser.js", import.meta.url));
/** What only whoever pays from the browser needs, and wallets much of it never: it is not kept for offline use. */
const FAR = /node_modules\/(@hiero-ledger|@hashgraph|@reown|@walletconnect|@lit|lit|viem|ox|abitype|@phosphor-icons|@base-org|@coinbase|@safe-global|multiformats|protobufjs)\b/;

const NODE = process.env["SHOAL_NODE"] ?? "http://127.0.0.1:8420";
const proxy = Object.fromEntries(["/api", "/healthz", "/readyz"].map((path) => [path, { target: NODE, changeOrigin: true }]));

export default defineConfig(({ mode }) => {
  const fake = mode === "fake";
  return {
    resolve: process.env["VITEST"] ? {} : { alias: { "@hiero-ledger/sdk": SDK } },
    worker: { format: "es" as const },
    plugins: [
      react(),
      VitePWA({
        disable: fake,
        injectRegister: null, // its snippet would be an inline script
        registerType: "autoUpdate",
        manifest: {
          name: "shoal",
          short_name: "shoal",
          description: "Train a model on other people's computers, and pay them for it.",
          start_url: "/",
          display: "standalone",
          background_color: "#f6f8f8",
          theme_color: "#0b7285",
          icons: [
            { src: "/icons/shoal-192.png", sizes: "192x192", type: "image/png" },
            { src: "/icons/shoal-512.png", sizes: "512x512", type: "image/png" },
            { src: "/icons/shoal-maskable-512.png", sizes: "512x512", type: "image/png", purpose: "maskable" },
            { src: "/icons/shoal.svg", sizes: "any", type: "image/svg+xml" },
          ],
        },
        workbox: {
          globPatterns: ["**/*.{js,css,html,woff2,svg}"],
          globIgnores: ["assets/far-*"],
          navigateFallback: "/index.html",
          navigateFallbackDenylist: [/^\/api\//, /^\/healthz/, /^\/readyz/], // answers of the node are never kept
        },
      }),
    ],
    define: { __FAKE__: JSON.stringify(fake) },
    build: {
      outDir: fake ? "dist-fake" : "../src/shoal/web/dist",
      emptyOutDir: true,
      assetsInlineLimit: 0, // the policy allows no data: fonts
      chunkSizeWarningLimit: 400,
      manifest: !fake,
      rollupOptions: {
        output: { chunkFileNames: ({ moduleIds }) => (moduleIds.some((id) => FAR.test(id)) ? "assets/far-[name]-[hash].js" : "assets/[name]-[hash].js") },
      },
    },
    server: { host: "127.0.0.1", proxy: fake ? {} : proxy },
    preview: { host: "127.0.0.1", headers: { "Content-Security-Policy": CSP }, proxy: fake ? {} : proxy },
    test: { include: ["src/**/*.test.ts"], environment: "node", testTimeout: 60_000 },
  };
});
