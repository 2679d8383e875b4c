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

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}
