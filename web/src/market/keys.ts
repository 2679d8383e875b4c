// The tab's secrets: its Ed25519 signing key and its age identity, made here, kept in IndexedDB, never sent anywhere.
//
// Where WebCrypto knows the curves the keys are kept as CryptoKeys that no script can read out, and a back-up encrypted
// under the user's passphrase is kept beside them. Elsewhere only that back-up is kept, and each visit unlocks it.

import { ed25519 } from "@noble/curves/ed25519.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { base64, base64urlnopad } from "@scure/base";
import { Decrypter, Encrypter, armor } from "age-encryption";

import { type Bytes, concat, equal, fromHex, plain, random, toHex } from "./bytes";
import type { Signer } from "./entries";
import { CryptoFault } from "./errors";
import { type Identity, identityBytes, identityText, open } from "./seal";
import type { Store } from "./store";

/** Shorter passphrases are guessed by whoever finds the back-up. */
export const PASSPHRASE_CHARACTERS = 12;
const NAME = "client";
/** As `shoal keys backup` writes it, and `shoal keys import` reads it. */
const FORMAT = "shoal/keys/1";

/** What the library asks of keys; nothing here gives the secrets away. */
export interface Keys extends Signer {
  /** Public halves, 32 bytes each. */
  readonly signingKey: Bytes;
  readonly recipient: Bytes;
  /** Decrypt what was sealed to `recipient`. */
  open(sealed: Uint8Array): Promise<Bytes>;
}

/** As it lies in IndexedDB. */
interface Kept {
  readonly signingKey: string;
  readonly recipient: string;
  readonly signer: CryptoKey | null;
  readonly opener: CryptoKey | null;
  readonly backup: string;
  readonly saved: boolean;
}

export type KeyState =
  | { readonly state: "none" }
  | { readonly state: "locked"; readonly signingKey: Bytes }
  | { readonly state: "ready"; readonly keys: Keys; readonly saved: boolean };

/** What there is in this browser: nothing, keys that need the passphrase, or keys. */
export async function findKeys(store: Store): Promise<KeyState> {
  const kept = await store.get<Kept>("keys", NAME);
  if (!kept) return { state: "none" };
  if (!kept.signer || !kept.opener) return { state: "locked", signingKey: fromHex(kept.signingKey) };
  return { state: "ready", keys: new WebKeys(kept, kept.signer, kept.opener), saved: kept.saved };
}

/** Make keys; those that are there already stay, since a task's result may be sealed to them. */
export async function createKeys(store: Store, passphrase: string): Promise<Keys> {
  const identity = { signing: random(32), age: random(32) };
  return await keep(store, identity, await lock(identity, passphrase), false);
}

/** Read keys that this browser cannot keep readable by itself. Throws SHOAL-K01: another passphrase. */
export async function unlockKeys(store: Store, passphrase: string): Promise<Keys> {
  const kept = await store.get<Kept>("keys", NAME);
  if (!kept) throw new CryptoFault("there are no keys in this browser", { code: "SHOAL-K04", hint: "make or restore some" });
  return new PlainKeys(await unlock(kept.backup, passphrase));
}

/** The back-up file: text, encrypted under the passphrase that the keys were made with. */
export async function backupFile(store: Store): Promise<string> {
  const kept = await store.get<Kept>("keys", NAME);
  if (!kept) throw new CryptoFault("there are no keys to back up", { code: "SHOAL-K04" });
  return kept.backup;
}

/** Note that the user has the back-up file; the UI asks for it before the first payment. */
export async function markSaved(store: Store): Promise<void> {
  const kept = await store.get<Kept>("keys", NAME);
  if (kept) await store.put("keys", NAME, { ...kept, saved: true });
}

/** Take keys from a back-up file. Other keys that are here already are not replaced: SHOAL-K04. */
export async function restoreKeys(store: Store, file: string, passphrase: string): Promise<Keys> {
  return await keep(store, await unlock(file, passphrase), file, true);
}

// ------------------------------------------------------------ inside

interface Secrets {
  readonly signing: Bytes;
  readonly age: Bytes;
}

async function keep(store: Store, secrets: Secrets, backup: string, saved: boolean): Promise<Keys> {
  const fresh = new PlainKeys(secrets);
  const there = await store.get<Kept>("keys", NAME);
  if (there && there.signingKey !== toHex(fresh.signingKey)) {
    const hint = "keep a back-up of the keys that are here, and clear the site's data, before you restore others";
    throw new CryptoFault("this browser has other keys already", { code: "SHOAL-K04", hint });
  }
  const made = { signingKey: toHex(fresh.signingKey), recipient: toHex(fresh.recipient), backup, saved };
  const handles = await sealedHandles(secrets, fresh);
  const kept = await store.putOnce<Kept>("keys", NAME, { ...made, ...handles });
  // Another tab may have been first: then its keys count.
  const same = kept.signingKey === made.signingKey;
  if (kept.signer && kept.opener) return new WebKeys(kept, kept.signer, kept.opener);
  if (same) return fresh;
  throw new CryptoFault("another tab made keys just now", { code: "SHOAL-K04", hint: "unlock those" });
}

/** Keys that WebCrypto will use and not show; nulls where it does not know the curves. */
async function sealedHandles(secrets: Secrets, fresh: PlainKeys): Promise<Pick<Kept, "signer" | "opener">> {
  try {
    const signer = await crypto.subtle.importKey(
      "jwk",
      jwk("Ed25519", secrets.signing, fresh.signingKey),
      "Ed25519",
      false,
      ["sign"],
    );
    const opener = await crypto.subtle.importKey("jwk", jwk("X25519", secrets.age, fresh.recipient), "X25519", false, [
      "deriveBits",
    ]);
    return { signer, opener };
  } catch {
    return { signer: null, opener: null };
  }
}

const jwk = (crv: string, secret: Bytes, shown: Bytes): JsonWebKey => ({
  kty: "OKP",
  crv,
  d: base64urlnopad.encode(secret),
  x: base64urlnopad.encode(shown),
});

class WebKeys implements Keys {
  readonly signingKey: Bytes;
  readonly recipient: Bytes;
  readonly #signer: CryptoKey;
  readonly #opener: CryptoKey;

  constructor(kept: Kept, signer: CryptoKey, opener: CryptoKey) {
    this.signingKey = fromHex(kept.signingKey);
    this.recipient = fromHex(kept.recipient);
    this.#signer = signer;
    this.#opener = opener;
  }

  async sign(data: Bytes): Promise<Bytes> {
    return new Uint8Array(await crypto.subtle.sign("Ed25519", this.#signer, data));
  }

  async open(sealed: Uint8Array): Promise<Bytes> {
    return await open(sealed, this.#opener);
  }
}

class PlainKeys implements Keys {
  readonly signingKey: Bytes;
  readonly recipient: Bytes;
  readonly #signing: Bytes;
  readonly #identity: Identity;

  constructor(secrets: Secrets) {
    this.signingKey = plain(ed25519.getPublicKey(secrets.signing));
    this.recipient = plain(x25519.getPublicKey(secrets.age));
    this.#signing = secrets.signing;
    this.#identity = identityText(secrets.age);
  }

  async sign(data: Bytes): Promise<Bytes> {
    return plain(ed25519.sign(data, this.#signing));
  }

  async open(sealed: Uint8Array): Promise<Bytes> {
    return await open(sealed, this.#identity);
  }
}

/** The two files of a node's key directory in one JSON object, so that a node can take them over. */
async function lock(secrets: Secrets, passphrase: string): Promise<string> {
  if ([...passphrase].length < PASSPHRASE_CHARACTERS) {
    const hint = "five random words are easy to keep";
    throw new CryptoFault(`a passphrase has at least ${PASSPHRASE_CHARACTERS} characters`, { code: "SHOAL-K04", hint });
  }
  const shown = toHex(ed25519.getPublicKey(secrets.signing));
  const files = {
    format: FORMAT,
    "node.key": `# public key: ${shown}\n${pem(secrets.signing)}`,
    "age.key": `${identityText(secrets.age)}\n`,
  };
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  return armor.encode(await encrypter.encrypt(JSON.stringify(files)));
}

async function unlock(file: string, passphrase: string): Promise<Secrets> {
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  let text: string;
  try {
    text = await decrypter.decrypt(armor.decode(file), "text");
  } catch {
    const hint = "check the passphrase, and that the file is whole";
    throw new CryptoFault("the back-up does not open with this passphrase", { code: "SHOAL-K01", hint });
  }
  const files = JSON.parse(text) as Record<string, unknown>;
  const [node, age] = [files["node.key"], files["age.key"]];
  if (files["format"] !== FORMAT || typeof node !== "string" || typeof age !== "string") {
    throw new CryptoFault("this is no back-up of shoal's keys", { code: "SHOAL-K04" });
  }
  return { signing: seedOf(node), age: identityBytes(age.trim()) };
}

/** RFC 8410: the one prefix that a PKCS #8 file of an Ed25519 seed begins with. */
const PKCS8 = fromHex("302e020100300506032b657004220420");

function pem(seed: Bytes): string {
  const body = base64.encode(concat(PKCS8, seed));
  return `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`;
}

function seedOf(file: string): Bytes {
  const body = /-----BEGIN PRIVATE KEY-----([A-Za-z0-9+/=\s]+)-----END PRIVATE KEY-----/.exec(file)?.[1];
  const der = body ? base64.decode(body.replace(/\s/g, "")) : new Uint8Array();
  if (der.length !== PKCS8.length + 32 || !equal(der.subarray(0, PKCS8.length), PKCS8)) {
    throw new CryptoFault("this is no back-up of shoal's keys", { code: "SHOAL-K04" });
  }
  return plain(der.slice(PKCS8.length));
}
