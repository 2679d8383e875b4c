/** Who this tab is: a token of the node, kept for as long as the tab lives and never in an address that is sent. */

import { useSyncExternalStore } from "react";

const KEY = "shoal-token";
const CODE = /^[A-Z0-9]{4}-?[A-Z0-9]{4}$/i;
const listeners = new Set<() => void>();

export function token(): string | null {
  return sessionStorage.getItem(KEY);
}

export function setToken(value: string | null): void {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  for (const each of listeners) each();
}

/** Whether this tab may spend and control. */
export function useHasToken(): boolean {
  return useSyncExternalStore(subscribe, () => token() !== null);
}

/** Whether a text is a pairing code, as the node prints it, and no token. */
export function isCode(text: string): boolean {
  return CODE.test(text.trim());
}

/** Exchange a pairing code, which works once and for two minutes, for a token. */
export async function pair(code: string): Promise<void> {
  const { send } = await import("./transport");
  const body = JSON.stringify({ code: code.trim().toUpperCase() });
  const request = new Request(new URL("/api/v1/session", location.origin), { method: "POST", body, headers: { "Content-Type": "application/json" } });
  const found = (await (await send(request)).json()) as { token: string };
  setToken(found.token);
}

/** A code in the fragment of the address, which browsers send to nobody; it is gone from the address at once. */
export async function takePairingCode(): Promise<void> {
  const code = /^#pair=([A-Z0-9-]{8,9})$/i.exec(location.hash)?.[1];
  if (!code) return;
  history.replaceState(null, "", location.pathname + location.search);
  await pair(code).catch(() => undefined); // an old code: the page asks for another where one is needed
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
