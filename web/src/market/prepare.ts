// Preparing a task in the tab: cut the data, encrypt it, keep what must not be lost, and write the manifest.
//
// Nothing here costs anything, and nothing leaves the tab in clear but the graph document.

import { type Bytes, fromHex, random } from "./bytes";
import { checkpointLabel } from "./bundle";
import { cut, fitting, sealChunk, type SealedChunk } from "./chunks";
import { type Table, type Value, fromJson } from "./codec";
import type { Split } from "./dataset";
import { CryptoFault } from "./errors";
import type { DocumentInfo, GraphQuote, Info } from "./gateway";
import { type Digest, digestOf } from "./ids";
import { type ChunkInfo, type Manifest, manifestBytes, parseManifest } from "./manifest";
import { encryptDeterministic, sha256Of, slotBytes } from "./seal";
import { rowsOf } from "./tensor";
import type { Store } from "./store";
import { type Upload, keepFile } from "./upload";

/** What only the client knows of a task until it shares it. */
export interface Secrets {
  /** Updates, checkpoints and the result are encrypted under keys derived from it. */
  readonly secret: Bytes;
  /** An age identity for each chunk. */
  readonly chunkKeys: readonly string[];
  readonly validationKey: string;
}

/** The encrypted parts of a task, whose bytes lie in this browser until they are sent. */
export interface Pieces {
  readonly secrets: Secrets;
  readonly chunks: readonly ChunkInfo[];
  readonly validation: ChunkInfo;
  readonly initial: Digest;
  readonly initialBlob: { readonly sha256: Digest; readonly sizeBytes: number };
  readonly trainRows: number;
  readonly shape: readonly number[];
}

export interface PieceOptions {
  readonly chunks: number;
  readonly seed: number | bigint;
  readonly onProgress?: (done: number, total: number) => void;
}

/** Encrypt the chunks, the validation split and the initial weights, one after the other, and keep each at once. */
export async function makePieces(store: Store, split: Split, weights: Bytes, options: PieceOptions): Promise<Pieces> {
  const total = options.chunks + 2;
  const chunks: ChunkInfo[] = [];
  const chunkKeys: string[] = [];
  for (const piece of cut(split.train, options.chunks, options.seed)) {
    const sealed = await sealChunk(piece);
    chunks.push(await kept(store, sealed));
    chunkKeys.push(sealed.identity);
    options.onProgress?.(chunks.length, total);
  }
  const sealed = await sealChunk(fitting(split.validation));
  const validation = await kept(store, sealed);
  options.onProgress?.(options.chunks + 1, total);
  const secret = random(32);
  const initial = encryptDeterministic(secret, checkpointLabel(0), weights);
  const blob = await keepFile(store, initial.cipher);
  options.onProgress?.(total, total);
  return {
    secrets: { secret, chunkKeys, validationKey: sealed.identity },
    chunks,
    validation,
    initial: initial.plainHash,
    initialBlob: { sha256: blob.sha256, sizeBytes: blob.bytes },
    trainRows: rowsOf(split.train.x),
    shape: split.train.x.shape.slice(1),
  };
}

/** Everything of a task that is to be sent. */
export function uploadsOf(pieces: Pieces): Upload[] {
  const blobs = [...pieces.chunks.map((each) => each.blob), pieces.validation.blob, pieces.initialBlob];
  return blobs.map((each) => ({ sha256: each.sha256, bytes: each.sizeBytes }));
}

export interface ManifestParts {
  readonly info: Info;
  readonly name: string;
  readonly document: DocumentInfo;
  readonly pieces: Pieces;
  readonly quote: GraphQuote;
  readonly classes: number;
}

/** The manifest of a task: read back as trainers read it, before anything is paid. */
export function makeManifest(parts: ManifestParts): Bytes {
  const { info, document, pieces, quote } = parts;
  const [roundTimeoutS, aggregateTimeoutS, confirmEvery] = quote.rules;
  const recipe = recipeTable(quote.recipe);
  const manifest: Manifest = {
    nonce: random(16),
    network: info.network,
    contract: info.contract_id,
    document: { sha256: digestOf(document.document_sha256), sizeBytes: document.bytes },
    initial: pieces.initial,
    initialBlob: pieces.initialBlob,
    recipe,
    chunks: pieces.chunks,
    validation: pieces.validation,
    slotBytes: slotBytes(document.weights_bytes),
    rules: { roundTimeoutS, aggregateTimeoutS, confirmEvery },
    summary: {
      name: parts.name,
      rows: BigInt(pieces.trainRows),
      shape: pieces.shape.map(BigInt),
      classes: BigInt(parts.classes),
      metric: recipe["metric"] ?? "",
    },
    via: fromHex(info.signing_key),
  };
  const made = manifestBytes(manifest);
  parseManifest(made);
  return made;
}

const FLOATS = new Set(["lr", "grad_clip", "momentum", "weight_decay", "eps", "betas"]);

/** A recipe as the manifest has it: floats stay floats where JSON has written them as whole numbers. */
export function recipeTable(recipe: Readonly<Record<string, unknown>>): Table {
  const value = (name: string, item: unknown): Value => {
    if (FLOATS.has(name)) return Array.isArray(item) ? item.map(Number) : Number(item);
    return name === "optimizer" ? recipeTable(item as Record<string, unknown>) : fromJson(item);
  };
  return Object.fromEntries(Object.entries(recipe).map(([name, item]) => [name, value(name, item)]));
}

/** The initial weights as they were promised. Throws SHOAL-K02: the node gave other bytes. */
export async function checkedBytes(data: Bytes, sha256: string, what: string): Promise<Bytes> {
  if ((await sha256Of(data)) !== sha256) throw new CryptoFault(`the node gave another ${what}`, { code: "SHOAL-K02" });
  return data;
}

async function kept(store: Store, sealed: SealedChunk): Promise<ChunkInfo> {
  await store.put("files", sealed.sha256, sealed.cipher);
  return { blob: { sha256: sealed.sha256, sizeBytes: sealed.cipher.length }, rows: sealed.rows };
}
