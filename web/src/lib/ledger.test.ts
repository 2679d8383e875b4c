import { expect, it } from "vitest";

import type { Info } from "../api/info";
import { ledgerLink, mirrorId } from "./ledger";

const info = (network: string): Info => ({
  version: "0",
  network,
  contract_id: "0.0.9",
  mirror: { rest: "http://127.0.0.1:5551/api/v1/", grpc_web: null },
  peer_id: "",
  roles: [],
  gateway: false,
  walletconnect_project_id: null,
});

it("links to HashScan on public networks, and to the node's mirror elsewhere", () => {
  expect(ledgerLink(info("testnet"), "topic", "0.0.5")).toBe("https://hashscan.io/testnet/topic/0.0.5");
  expect(ledgerLink(info("devnet"), "transaction", "0.0.2@17.5")).toBe("http://127.0.0.1:5551/api/v1/transactions/0.0.2-17-5");
  expect(ledgerLink(info("devnet"), "contract", "0.0.9")).toBe("http://127.0.0.1:5551/api/v1/contracts/0.0.9");
  expect(ledgerLink(null, "topic", "0.0.5")).toBeNull();
});

it("leaves a mirror's own writing as it is", () => {
  expect(mirrorId("0.0.2-17-5")).toBe("0.0.2-17-5");
});
