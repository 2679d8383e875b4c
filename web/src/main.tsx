/** The page: palette, data, routes. */

import "@mantine/core/styles.css";
import "./styles/theme.css";
import "./styles/base.css";
import "./styles/shell.css";
import "./styles/parts.css";

import { createTheme, defaultVariantColorsResolver, MantineProvider, Modal } from "@mantine/core";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { takePairingCode } from "./api/pairing";
import { router } from "./router";

const theme = createTheme({
  fontFamily: "Inter, system-ui, sans-serif",
  defaultRadius: "md",
  variantColorResolver: (input) => {
    const found = defaultVariantColorsResolver(input);
    return input.variant === "filled" ? { ...found, color: input.color === "red" ? "var(--on-bad)" : "var(--on-accent)" } : found;
  },
  // Locking the page's scroll would insert a style element, which the policy forbids.
  components: { Modal: Modal.extend({ defaultProps: { lockScroll: false } }) },
});

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // A problem is told at once; pages ask again by themselves in their own time.
      retry: false,
      refetchOnWindowFocus: true,
      staleTime: 1000,
      networkMode: "always", // the node may be on this machine, where being offline does not matter
    },
    mutations: { networkMode: "always" },
  },
});

void takePairingCode().finally(() => {
  createRoot(document.getElementById("root")!).render(
    <StrictMode>
      <MantineProvider theme={theme} defaultColorScheme="auto" withCssVariables={false} withGlobalClasses={false}>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
        </QueryClientProvider>
      </MantineProvider>
    </StrictMode>,
  );
});

if (!__FAKE__ && import.meta.env.PROD && "serviceWorker" in navigator) void navigator.serviceWorker.register("/sw.js");
