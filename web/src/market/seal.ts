// Encryption of everything that leaves the tab: age v1 files, sealed to someone or recomputable by all who may read.

import { chacha20poly1305 } from "@noble/ciphers/chacha.js";
import { x25519 } from "@noble/curves/ed25519.js";
import { hkdf } from "@noble/hashes/hkdf.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { base64nopad, bech32 } from "@scure/base";
import { Decrypter, Encrypter } from "age-encryption";

import { type Bytes, concat, plain, random, utf8 } from "./bytes";
import { CryptoFault } from "./errors";
import { type Digest, digestOf } from "./ids";

export const SEGMENT_BYTES = 65_536;
const TAG_BYTES = 16;
const HEADER_BYTES = 16 * 1024;
/** Of a header of our own deterministic files, whose length never differs. */
const OWN_HEADER_BYTES = 168;
const LENGTH_BYTES = 8;
const SPARE_BYTES = 1024;
const ROUND_BYTES = 4096;
const HEADER =
  /^age-encryption\.org\/v1\n(?:-> [!-~]+(?: [!-~]+)*\n(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)+--- [A-Za-z0-9+/]{43}\n/;

/** An age identity (secret): its text, or an X25519 key that never leaves WebCrypto. */
export type Identity = string | CryptoKey;

export interface KeyPair {
  /** `AGE-SECRET-KEY-1...` */
  readonly identity: string;
  /** 32 bytes. */
  readonly recipient: Bytes;
}

/** A fresh pair. */
export function newIdentity(): KeyPair {
  const secret = random(32);
  return { identity: identityText(secret), recipient: plain(x25519.getPublicKey(secret)) };
}

export function identityText(secret: Uint8Array): string {
  return bech32.encode("age-secret-key-", bech32.toWords(secret), 1000).toUpperCase();
}

/** Throws SHOAL-K04 when the text is no identity. */
export function identityBytes(identity: string): Bytes {
  try {
    const { prefix, bytes } = bech32.decodeToBytes(identity);
    if (prefix === "age-secret-key-" && bytes.length === 32) return plain(bytes);
  } catch {
    // told below
  }
  throw new CryptoFault("not an age identity: it must read AGE-SECRET-KEY-1...", { code: "SHOAL-K04" });
}

export const recipientOf = (identity: string): Bytes => plain(x25519.getPublicKey(identityBytes(identity)));

/** `age1...`. Throws SHOAL-K04 for what nobody can hold the identity of: recipients come from strangers. */
export function recipientText(recipient: Uint8Array): string {
  try {
    x25519.getSharedSecret(new Uint8Array(32).fill(1), recipient); // refuses points of low order
  } catch {
    throw new CryptoFault("a recipient's key is no usable key", { code: "SHOAL-K04" });
  }
  return bech32.encode("age", bech32.toWords(recipient), 1000);
}

/** Encrypt to a 32-byte X25519 public key. */
export async function seal(data: Uint8Array, recipient: Uint8Array): Promise<Bytes> {
  const encrypter = new Encrypter();
  encrypter.addRecipient(recipientText(recipient));
  return plain(await encrypter.encrypt(data));
}

/** Decrypt what was sealed to an identity. Throws SHOAL-K01, sealed to another; K03, damaged. */
export async function open(sealed: Uint8Array, identity: Identity): Promise<Bytes> {
  checkHeader(sealed);
  const decrypter = new Decrypter();
  decrypter.addIdentity(typeof identity === "string" ? identityText(identityBytes(identity)) : identity);
  try {
    return plain(await decrypter.decrypt(sealed));
  } catch (error) {
    if (error instanceof Error && /no identity matched/i.test(error.message)) {
      throw new CryptoFault("this is sealed to another key", { code: "SHOAL-K01" });
    }
    throw new CryptoFault("damaged: a part of it is not authentic", { code: "SHOAL-K03" });
  }
}

/** The identity, as text, that opens the deterministic objects of one label and no others. */
export const deriveKey = (secret: Uint8Array, label: string): string => identityText(labelIdentity(secret, label));

export interface Sealed {
  readonly cipher: Bytes;
  readonly plainHash: Digest;
  readonly cipherHash: Digest;
}

/** Whoever has the same plaintext and secret makes the same ciphertext, byte for byte (docs: decision 6). */
export function encryptDeterministic(secret: Uint8Array, label: string, data: Uint8Array): Sealed {
  if (secret.length !== 32) throw new RangeError("a secret has 32 bytes");
  const plainHash = sha256(data);
  const info = concat(utf8("shoal/seal/1 object\0"), plainHash, utf8(label));
  const material = hkdf(sha256, secret, undefined, info, 64);
  const [fileKey, ephemeral, nonce] = [material.slice(0, 16), material.slice(16, 48), material.slice(48, 64)];
  const head = header(fileKey, ephemeral, x25519.getPublicKey(labelIdentity(secret, label)));
  const segments = Math.max(1, Math.ceil(data.length / SEGMENT_BYTES));
  const cipher = new Uint8Array(head.length + nonce.length + data.length + segments * TAG_BYTES);
  cipher.set(head);
  cipher.set(nonce, head.length);
  stream(data, hkdf(sha256, fileKey, nonce, utf8("payload"), 32), segments, cipher.subarray(head.length + nonce.length));
  return { cipher, plainHash: digestOf(plainHash), cipherHash: digestOf(sha256(cipher)) };
}

/** The size of a slot that takes any ciphertext of a plaintext of this size, for one recipient. */
export function slotBytes(plainSize: number): number {
  const payload = plainSize + TAG_BYTES * Math.max(1, Math.ceil(plainSize / SEGMENT_BYTES));
  return Math.ceil((LENGTH_BYTES + SPARE_BYTES + payload) / ROUND_BYTES) * ROUND_BYTES;
}

/** 8 bytes of length, the ciphertext, and zeros up to `size` bytes. */
export function pad(cipher: Uint8Array, size: number): Bytes {
  if (LENGTH_BYTES + cipher.length > size) throw new CryptoFault("it does not fit its slot", { code: "SHOAL-K09" });
  const made = new Uint8Array(size);
  new DataView(made.buffer).setBigUint64(0, BigInt(cipher.length));
  made.set(cipher, LENGTH_BYTES);
  return made;
}

/** Undo `pad`. Throws SHOAL-K09: the length is out of bounds, or something other than zeros follows. */
export function unpad(padded: Uint8Array): Bytes {
  const view = new DataView(padded.buffer, padded.byteOffset, padded.byteLength);
  const length = padded.length < LENGTH_BYTES ? -1 : Number(view.getBigUint64(0));
  const end = LENGTH_BYTES + length;
  if (length < 0 || end > padded.length || padded.subarray(end).some((byte) => byte !== 0)) {
    throw new CryptoFault("this is not a padded object", { code: "SHOAL-K09" });
  }
  return plain(padded.slice(LENGTH_BYTES, end));
}

/** SHA-256 of bytes of any size, by the browser's own code. */
export async function sha256Of(data: Bytes): Promise<Digest> {
  return digestOf(new Uint8Array(await crypto.subtle.digest("SHA-256", data)));
}

/** Refuse a malformed or long header before the library reads it: it may be anyone's. */
function checkHeader(sealed: Uint8Array): void {
  const start = String.fromCharCode(...sealed.subarray(0, HEADER_BYTES));
  if (!HEADER.test(start)) throw new CryptoFault("damaged, or not a binary age file", { code: "SHOAL-K03" });
}

function labelIdentity(secret: Uint8Array, label: string): Uint8Array {
  return hkdf(sha256, secret, undefined, concat(utf8("shoal/seal/1 identity\0"), utf8(label)), 32);
}

function header(fileKey: Uint8Array, ephemeral: Uint8Array, recipient: Uint8Array): Bytes {
  const share = x25519.getPublicKey(ephemeral);
  const shared = x25519.getSharedSecret(ephemeral, recipient);
  const wrapKey = hkdf(sha256, shared, concat(share, recipient), utf8("age-encryption.org/v1/X25519"), 32);
  const body = chacha20poly1305(wrapKey, new Uint8Array(12)).encrypt(fileKey);
  const stanza = `-> X25519 ${base64nopad.encode(share)}\n${base64nopad.encode(body)}\n---`;
  const text = utf8(`age-encryption.org/v1\n${stanza}`);
  const mac = hmac(sha256, hkdf(sha256, fileKey, undefined, utf8("header"), 32), text);
  const made = concat(text, utf8(` ${base64nopad.encode(mac)}\n`));
  if (made.length !== OWN_HEADER_BYTES) throw new Error("one stanza of fixed length");
  return made;
}

/** STREAM: 11 bytes of counter, one that marks the last segment. */
function stream(data: Uint8Array, key: Uint8Array, segments: number, out: Uint8Array): void {
  const nonce = new Uint8Array(12);
  const counter = new DataView(nonce.buffer);
  for (let index = 0; index < segments; index++) {
    counter.setUint32(7, index);
    nonce[11] = index === segments - 1 ? 1 : 0;
    const segment = data.subarray(index * SEGMENT_BYTES, (index + 1) * SEGMENT_BYTES);
    out.set(chacha20poly1305(key, nonce.slice()).encrypt(segment), index * (SEGMENT_BYTES + TAG_BYTES));
  }
}
