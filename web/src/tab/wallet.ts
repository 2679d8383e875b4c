/** The wallet that this tab is connected to: one at a time, and a development wallet comes back after a reload. */

import { useSyncExternalStore } from "react";

import type { Info } from "../api/info";
import { setToken } from "../api/session";
import type { DevSettings, Wallet } from "../market";
import { gateway, store } from "./desk";

/** Set where a development wallet is kept in this browser, so that others need not load the library to find out. */
const HINT = "shoal-development-wallet";
const listeners = new Set<() => void>();
let wallet: Wallet | null = null;

export const walletNow = (): Wallet | null => wallet;
export function useWallet(): Wallet | null {
  return useSyncExternalStore(
    (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    () => wallet,
  );
}

function set(now: Wallet | null): void {
  wallet = now;
  for (const each of listeners) each();
}

/** A key of play money, for a ledger on this machine. */
export async function connectDevelopment(info: Info, accountId: string, key: string): Promise<void> {
  const { openDevWallet, saveDevWallet } = await import("../market");
  const settings: DevSettings = { network: info.network, nodeUrl: info.node?.grpc_web ?? "", nodeAccount: info.node?.account ?? "", accountId, key };
  const opened = await openDevWallet(settings);
  await saveDevWallet(await store(), settings);
  localStorage.setItem(HINT, "yes");
  set(opened);
}

export async function connectPublic(info: Info): Promise<void> {
  const { openWalletConnect } = await import("../market/walletconnect");
  const page = { name: "shoal", url: location.origin, icon: `${location.origin}/icons/shoal-192.png` };
  set(await openWalletConnect({ projectId: info.walletconnect_project_id ?? "", network: info.network, ...page }));
}

/** The development wallet of before; its ledger may have another port by now. */
export async function reconnect(info: Info): Promise<void> {
  if (wallet || !localStorage.getItem(HINT)) return;
  const { openDevWallet, savedDevWallet } = await import("../market");
  const saved = await savedDevWallet(await store());
  if (!saved || saved.network !== info.network) return;
  const opened = await openDevWallet({ ...saved, nodeUrl: info.node?.grpc_web ?? saved.nodeUrl, nodeAccount: info.node?.account ?? saved.nodeAccount });
  if (!wallet) set(opened);
}

export async function disconnect(): Promise<void> {
  const { forgetDevWallet } = await import("../market");
  await forgetDevWallet(await store());
  localStorage.removeItem(HINT);
  const old = wallet;
  set(null);
  await old?.close();
}

/** A session of whoever holds the wallet's account: it signs a text, no transaction. */
export async function signIn(): Promise<void> {
  const held = wallet!;
  const { token } = await (await gateway()).signIn(held.accountId, async (message) => ({ ...(await held.signMessage(message)) }));
  setToken(token);
}
