/** The browser as a client: what pages share of it. The library is loaded when somebody first needs it. */

import type { Desk, Gateway, Info, Keys, Store } from "../market";
import { token } from "../api/session";
import { raw } from "../api/transport";
import { walletNow } from "./wallet";

type Market = typeof import("../market");
export const market = (): Promise<Market> => import("../market");

let opened: Promise<Store> | null = null;
export function store(): Promise<Store> {
  opened ??= market().then(({ openStore }) => openStore());
  return opened;
}

export async function gateway(): Promise<Gateway> {
  const { Gateway } = await market();
  return new Gateway(location.origin, token(), raw);
}

/** Keys that were unlocked by passphrase; they are gone with the tab. */
let unlocked: Keys | null = null;
export function keepUnlocked(keys: Keys): void {
  unlocked = keys;
}

/** The tab's keys. Throws SHOAL-K04 where there are none, or where the passphrase is still to be given. */
export async function keys(): Promise<Keys> {
  if (unlocked) return unlocked;
  const { CryptoFault, findKeys } = await market();
  const found = await findKeys(await store());
  if (found.state === "ready") return found.keys;
  const what = found.state === "none" ? "there are no keys in this browser" : "the keys in this browser are locked";
  throw new CryptoFault(what, { code: "SHOAL-K04", hint: "the wallet page makes, unlocks and restores them", money: "nothing was spent by this" });
}

/** Where the ledger is read; no wallet is needed for that. */
export const ledgerOf = (info: Pick<Info, "network" | "contract_id" | "mirror">) => ({ network: info.network, contractId: info.contract_id, mirrorRest: info.mirror.rest });

/** Everything that a client works with. Throws a ShoalError that says what is missing. */
export async function desk(): Promise<Desk> {
  const { Ledger, LedgerError } = await market();
  const here = await gateway();
  const [kept, info, wallet] = [await store(), await here.info(), walletNow()];
  if (!wallet) throw new LedgerError("no wallet is connected", { code: "SHOAL-L04", hint: "connect one on the wallet page", money: "nothing was spent by this" });
  return { store: kept, gateway: here, info, keys: await keys(), ledger: await Ledger.open(ledgerOf(info), wallet, kept) };
}
