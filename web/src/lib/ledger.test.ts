import { expect, it } from "vitest";

import type { Info } from "../api/info";
import { accountText, ledgerLink, mirrorId, shortTransaction } from "./ledger";

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

it("finds a contract call by its hash", () => {
  expect(ledgerLink(info("devnet"), "transaction", "0xab")).toBe("http://127.0.0.1:5551/api/v1/contracts/results/0xab");
  expect(ledgerLink(info("mainnet"), "transaction", "0xab")).toBe("https://hashscan.io/mainnet/transaction/0xab");
});

it("shortens what is long", () => {
  expect(shortTransaction("0.0.1008-1795606227-345999549")).toBe("0.0.1008 · 345999549");
  expect(shortTransaction(`0x${"ab".repeat(32)}`)).toBe("0xababab…ababab");
});

it("reads an account out of its address, where it is there", () => {
  expect(accountText("0x00000000000000000000000000000000000003ef")).toBe("0.0.1007");
  expect(accountText("0x7f5c764cbc14f9669b88837ca1490cca17c31607")).toBe("0x7f5c…1607");
});

it("leaves a mirror's own writing as it is", () => {
  expect(mirrorId("0.0.2-17-5")).toBe("0.0.2-17-5");
});
