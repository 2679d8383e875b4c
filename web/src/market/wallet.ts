// Wallets: whoever signs and sends transactions for the ML user. Nothing here sees the keys of a real wallet.

import type { Client, PrivateKey, Transaction } from "@hiero-ledger/sdk";

import { concat, toHex, utf8 } from "./bytes";
import { LedgerError } from "./errors";
import type { Store } from "./store";

/** A signature of a sign-in message, in one of the forms that a node takes. */
export type SignedMessage = { readonly signature: string } | { readonly signature_map_b64: string };

export interface Wallet {
  readonly kind: "development" | "walletconnect";
  /** `0.0.N` */
  readonly accountId: string;
  readonly network: string;
  /** Seconds for which its transactions are valid: people take longer than programs. */
  readonly validS: number;
  /**
   * Sign and send a transaction that has its id already, and wait for the network's answer. Throws `WalletRefused` when
   * it certainly was not sent; after any other error it may have happened, and the mirror tells.
   */
  execute(transaction: Transaction): Promise<void>;
  /** Sign text for a sign-in, under Hedera's prefix for messages. */
  signMessage(text: string): Promise<SignedMessage>;
  close(): Promise<void>;
}

/** The user, or the wallet, said no: nothing was sent. */
export class WalletRefused extends LedgerError {
  constructor(what: string) {
    super(`the wallet did not sign: ${what}`, { code: "SHOAL-L04", hint: "try again", money: "nothing was spent by this" });
  }
}

/** The wallet has sent the transaction under an id of its own: that one is to be asked for. */
export class SentOtherwise extends LedgerError {
  /** As the mirror writes it. */
  readonly transaction: string;

  /** @param id as the SDK writes it: `0.0.x@seconds.nanoseconds`. */
  constructor(id: string) {
    super(`the wallet has sent the transaction as ${id}`, { code: "SHOAL-L04", money: "the transaction may have happened" });
    const [account, time = ""] = id.split("@");
    const [seconds, nanos = ""] = time.split(".");
    this.transaction = `${account}-${seconds}-${nanos.padStart(9, "0")}`;
  }
}

/** What is signed for a message, so that no message can be a transaction. */
export function prefixed(text: string): Uint8Array {
  return concat(utf8(`\x19Hedera Signed Message:\n${[...text].length}`), utf8(text));
}

export interface DevSettings {
  readonly network: string;
  /** URL of the development ledger's grpc-web, which `GET /api/v1/info` names. */
  readonly nodeUrl: string;
  readonly nodeAccount: string;
  readonly accountId: string;
  /** A private key as text: play money's, never a real one. */
  readonly key: string;
}

const LOOPBACK = new Set(["127.0.0.1", "localhost", "[::1]"]);
const NAME = "development-wallet";

/**
 * A key in the browser, for the development ledger on this machine only.
 *
 * Throws LedgerError SHOAL-L04 for any other ledger: a key that holds real money has no place in a page.
 */
export async function openDevWallet(settings: DevSettings): Promise<Wallet> {
  const url = new URL(settings.nodeUrl);
  if (settings.network !== "devnet" || !LOOPBACK.has(url.hostname)) {
    throw new LedgerError(`the development wallet is for a devnet on this machine, not for ${settings.network} at ${url.host}`, {
      code: "SHOAL-L04",
      hint: "connect a wallet with WalletConnect",
      money: "nothing was spent by this",
    });
  }
  const sdk = await import("@hiero-ledger/sdk");
  const account = sdk.AccountId.fromString(settings.accountId);
  const key = parseKey(sdk.PrivateKey, settings.key);
  const client = sdk.Client.forNetwork({ [url.host]: sdk.AccountId.fromString(settings.nodeAccount) });
  client.setOperator(account, key);
  client.setMaxAttempts(3);
  return new DevWallet(settings, client, key);
}

/** Remember the development wallet in this browser, so that a reload goes on with it. */
export const saveDevWallet = (store: Store, settings: DevSettings): Promise<void> => store.put("keys", NAME, settings);
export const savedDevWallet = (store: Store): Promise<DevSettings | undefined> => store.get<DevSettings>("keys", NAME);
export const forgetDevWallet = (store: Store): Promise<void> => store.delete("keys", NAME);

/** As `shoal` writes keys: `ed25519:` or `ecdsa:` and hexadecimal, or DER. */
function parseKey(kind: typeof PrivateKey, text: string): PrivateKey {
  const [, curve, digits] = /^(?:(ed25519|ecdsa):)?(?:0x)?([0-9a-f]+)$/i.exec(text.trim()) ?? [];
  try {
    if (curve === "ecdsa") return kind.fromStringECDSA(digits!);
    if (curve === "ed25519") return kind.fromStringED25519(digits!);
    return kind.fromStringDer(digits!);
  } catch {
    throw new LedgerError("this is no private key of the development ledger", {
      code: "SHOAL-L04",
      hint: "`shoal devnet` and `shoal up` have keys of accounts with play money",
    });
  }
}

class DevWallet implements Wallet {
  readonly kind = "development";
  readonly validS = 120;
  readonly accountId: string;
  readonly network: string;
  readonly #client: Client;
  readonly #key: PrivateKey;

  constructor(settings: DevSettings, client: Client, key: PrivateKey) {
    this.accountId = settings.accountId;
    this.network = settings.network;
    this.#client = client;
    this.#key = key;
  }

  async execute(transaction: Transaction): Promise<void> {
    const signed = await transaction.setRegenerateTransactionId(false).freezeWith(this.#client).sign(this.#key);
    await (await signed.execute(this.#client)).getReceipt(this.#client);
  }

  async signMessage(text: string): Promise<SignedMessage> {
    return { signature: toHex(this.#key.sign(prefixed(text))) };
  }

  async close(): Promise<void> {
    this.#client.close();
  }
}
