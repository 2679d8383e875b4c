import "fake-indexeddb/auto";

import { createHash } from "node:crypto";

import { afterEach, describe, expect, it, vi } from "vitest";

import { ed25519 } from "@noble/curves/ed25519.js";

import { fromHex, toHex } from "../bytes";
import { CryptoFault } from "../errors";
import { backupFile, createKeys, findKeys, markSaved, restoreKeys, unlockKeys } from "../keys";
import {
  deriveKey, encryptDeterministic, identityBytes, identityText, newIdentity, open, pad, recipientOf, recipientText, seal, unpad,
} from "../seal";
import { openStore } from "../store";
import { type Json, vectors } from "./vectors";

const sha256 = (data: Uint8Array): string => createHash("sha256").update(data).digest("hex");
const code = async (work: Promise<unknown>): Promise<string> => {
  const error = await work.catch((caught: unknown) => caught);
  expect(error).toBeInstanceOf(CryptoFault);
  return (error as CryptoFault).code;
};
const PASSPHRASE = "correct horse battery";

describe("age files", () => {
  const given = vectors("seal");

  it.each(given.deterministic as Json[])("of label $label are Python's, $cipher_bytes bytes", async (each) => {
    const data = each.plain === null ? new Uint8Array(each.plain_zeros as number) : fromHex(each.plain as string);
    const made = encryptDeterministic(fromHex(given.secret), each.label, data);
    expect(made.plainHash).toBe(each.plain_sha256);
    expect([made.cipher.length, made.cipherHash]).toEqual([each.cipher_bytes, each.cipher_sha256]);
    expect(deriveKey(fromHex(given.secret), each.label)).toBe(each.key);
    expect(sha256(await open(made.cipher, each.key))).toBe(each.plain_sha256);
    if (!("padded_sha256" in each)) return; // told for some only
    const padded = pad(made.cipher, each.slot_bytes);
    expect(sha256(padded)).toBe(each.padded_sha256);
    expect(unpad(padded)).toEqual(made.cipher);
  });

  it("are sealed to keys that somebody can hold", async () => {
    const { identity } = given;
    expect(identityText(fromHex(identity.bytes))).toBe(identity.text);
    expect(toHex(identityBytes(identity.text))).toBe(identity.bytes);
    expect(toHex(recipientOf(identity.text))).toBe(identity.recipient);
    expect(recipientText(fromHex(identity.recipient))).toBe(identity.recipient_text);
    for (const low of given.low_order) expect(await code(seal(new Uint8Array(1), fromHex(low)))).toBe("SHOAL-K04");
    const [mine, other] = [newIdentity(), newIdentity()];
    const sealed = await seal(new TextEncoder().encode("where your chunks are"), mine.recipient);
    expect(new TextDecoder().decode(await open(sealed, mine.identity))).toBe("where your chunks are");
    expect(await code(open(sealed, other.identity))).toBe("SHOAL-K01");
    expect(await code(open(sealed.slice(0, -1), mine.identity))).toBe("SHOAL-K03");
    expect(await code(open(new Uint8Array(100), mine.identity))).toBe("SHOAL-K03");
    expect(() => identityBytes("AGE-SECRET-KEY-1NO")).toThrow(CryptoFault);
  });

  it("refuse padding that is none", () => {
    const padded = pad(Uint8Array.of(1, 2, 3), 32);
    for (const bad of [new Uint8Array(4), padded.slice(0, 10), Uint8Array.from(padded).fill(1, 31)]) {
      expect(() => unpad(bad)).toThrow(CryptoFault);
    }
    expect(() => pad(new Uint8Array(32), 32)).toThrow(CryptoFault);
  });
});

describe("keys", () => {
  afterEach(() => vi.restoreAllMocks());

  it("are made once, sign, open, and cannot be read out", async () => {
    const store = await openStore("keys-1");
    expect(await findKeys(store)).toEqual({ state: "none" });
    const keys = await createKeys(store, PASSPHRASE);
    const data = new TextEncoder().encode("entry");
    expect(ed25519.verify(await keys.sign(data), data, keys.signingKey)).toBe(true);
    expect(await keys.open(await seal(data, keys.recipient))).toEqual(data);
    const found = await findKeys(store);
    if (found.state !== "ready") throw new Error("keys are kept");
    expect(found.keys.signingKey).toEqual(keys.signingKey);
    expect(found.saved).toBe(false);
    await markSaved(store);
    expect(await findKeys(store)).toMatchObject({ saved: true });
    const kept = (await store.get<Json>("keys", "client")) as Json;
    for (const handle of [kept.signer, kept.opener]) {
      expect(handle.extractable).toBe(false);
      await expect(crypto.subtle.exportKey("jwk", handle)).rejects.toThrow();
    }
    expect(await code(createKeys(store, PASSPHRASE))).toBe("SHOAL-K04");
    expect((await findKeys(store)) as Json).toMatchObject({ keys: { signingKey: keys.signingKey } });
  });

  it("come back from their back-up, in another browser too", async () => {
    const [here, there] = [await openStore("keys-2"), await openStore("keys-3")];
    const keys = await createKeys(here, PASSPHRASE);
    const file = await backupFile(here);
    expect(file).toMatch(/^-----BEGIN AGE ENCRYPTED FILE-----/);
    expect(await code(restoreKeys(there, file, "another passphrase"))).toBe("SHOAL-K01");
    expect(await code(restoreKeys(there, "no file", PASSPHRASE))).toBe("SHOAL-K01");
    const restored = await restoreKeys(there, file, PASSPHRASE);
    expect([restored.signingKey, restored.recipient]).toEqual([keys.signingKey, keys.recipient]);
    const sealed = await seal(Uint8Array.of(7), keys.recipient);
    expect(await restored.open(sealed)).toEqual(Uint8Array.of(7));
    expect((await restoreKeys(here, file, PASSPHRASE)).signingKey).toEqual(keys.signingKey);
  });

  it("come from `shoal keys backup` of a node, and go to one", async () => {
    const given = vectors("backup");
    const restored = await restoreKeys(await openStore("keys-6"), given.file, given.passphrase);
    expect([toHex(restored.signingKey), toHex(restored.recipient)]).toEqual([given.signing_key, given.recipient]);
  });

  it("are unlocked by the passphrase where WebCrypto lacks the curves", async () => {
    vi.spyOn(crypto.subtle, "importKey").mockRejectedValue(new DOMException("unknown", "NotSupportedError"));
    const store = await openStore("keys-4");
    const keys = await createKeys(store, PASSPHRASE);
    expect(await findKeys(store)).toMatchObject({ state: "locked", signingKey: keys.signingKey });
    expect(await code(unlockKeys(store, "another passphrase"))).toBe("SHOAL-K01");
    const unlocked = await unlockKeys(store, PASSPHRASE);
    expect(unlocked.recipient).toEqual(keys.recipient);
    expect(await code(createKeys(await openStore("keys-5"), "short"))).toBe("SHOAL-K04");
  });
});
