/** Becoming a session: a pairing code, as the node prints it, exchanged for a token. */

import { setToken } from "./session";
import { send } from "./transport";

/** Exchange a pairing code, which works once and for two minutes, for a token. */
export async function pair(code: string): Promise<void> {
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
