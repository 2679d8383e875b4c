/** Networks and what lies on their ledgers: how serious a network is, and where a thing on it can be seen. */

import type { Info } from "../api/info";

/** Networks whose money is worth something, or whose ledger others see, are told apart by colour. */
export function networkTone(network: string | undefined): string {
  if (network === "mainnet") return "bad";
  if (network === "testnet" || network === "previewnet") return "warn";
  return network ? "good" : "";
}

export function networkMeaning(network: string | undefined): string {
  if (network === "mainnet") return "Real money: every payment here is final.";
  if (network === "testnet" || network === "previewnet") return "A public test network: its HBAR is worth nothing.";
  if (network) return "A network on this machine: its HBAR is play money.";
  return "This node does not say which network it uses.";
}

const EXPLORERS = new Set(["mainnet", "testnet", "previewnet"]);

/** Where a transaction, topic, contract or account can be seen by anyone; off the public networks, the node's own mirror. */
export function ledgerLink(info: Info | null, kind: "transaction" | "topic" | "contract" | "account", id: string): string | null {
  if (!info) return null;
  if (EXPLORERS.has(info.network)) return `https://hashscan.io/${info.network}/${kind}/${encodeURIComponent(id)}`;
  const rest = info.mirror.rest.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
  if (kind === "transaction" && id.startsWith("0x")) return `${rest}/api/v1/contracts/results/${id}`;
  if (kind === "transaction") return `${rest}/api/v1/transactions/${mirrorId(id)}`;
  if (kind === "topic") return `${rest}/api/v1/topics/${id}/messages`;
  return `${rest}/api/v1/${kind}s/${id}`;
}

/** An account's number, where its address tells it: Hedera writes it into the last bytes of an address that is mostly zeros. */
export function accountText(address: string): string {
  const found = /^0x0{24}([0-9a-f]{16})$/i.exec(address);
  return found ? `0.0.${BigInt(`0x${found[1]!}`)}` : `${address.slice(0, 6)}…${address.slice(-4)}`;
}

/** An id or hash, as short as can still be told apart. */
export function shortTransaction(id: string): string {
  if (id.startsWith("0x")) return `${id.slice(0, 8)}…${id.slice(-6)}`;
  const [account = "", time = ""] = id.split(/[@-](.*)/);
  return time ? `${account} · ${time.slice(-9)}` : id;
}

/** A mirror node writes `0.0.2@17.5` as `0.0.2-17-5`. */
export function mirrorId(transaction: string): string {
  const [account, time] = transaction.split("@");
  return time === undefined ? transaction : `${account}-${time.replace(".", "-")}`;
}
