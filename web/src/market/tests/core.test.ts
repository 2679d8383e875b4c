import { describe, expect, it } from "vitest";

import { assign } from "../assign";
import { awardRoot, clear, commitment, decodeAward, encodeAward, parseOpening, primaries } from "../auction";
import { bundleBytes, pointerBytes, sharedBytes, slotsOf } from "../bundle";
import { fromHex, toHex } from "../bytes";
import { CodecError, decode, encode, fromJson } from "../codec";
import { type Entry, dataOf, hashOf, makeEntry, parse, signedBy } from "../entries";
import { type TaskId, accountText, address, digestOf, keccak256, taskId, taskOf, word } from "../ids";
import { manifestBytes, manifestHash, parseManifest } from "../manifest";
import { EMPTY_ROOT, awardHash, creditHash, proof, root, verify } from "../merkle";
import { formatHbar, parseHbar } from "../money";
import { recipeTable } from "../prepare";
import { slotBytes } from "../seal";
import { ed25519 } from "@noble/curves/ed25519.js";
import { plain } from "../bytes";
import { type Json, untagged, vectors } from "./vectors";

describe("codec", () => {
  const { accepted, refused } = vectors("codec");

  it.each(accepted as Json[])("encodes and decodes $cbor", ({ value, cbor }) => {
    const plainValue = untagged(value);
    expect(toHex(encode(plainValue))).toBe(cbor);
    expect(toHex(encode(decode(fromHex(cbor as string), 1 << 16)))).toBe(cbor);
    expect(decode(fromHex(cbor as string), 1 << 16)).toEqual(plainValue);
  });

  it.each(refused as Json[])("refuses $why", ({ cbor }) => {
    expect(() => decode(fromHex(cbor as string), 1 << 16)).toThrow(CodecError);
  });

  it("refuses what Python cannot say either", () => {
    for (const value of ["\ud800", 2n ** 64n, -(2n ** 63n) - 1n]) expect(() => encode(value)).toThrow(CodecError);
    expect(() => decode(fromHex("01"), 0)).toThrow(CodecError);
    expect(() => decode(fromHex("9b0000000100000000"), 100)).toThrow(CodecError); // four billion items in nine bytes
  });

  it("keeps every half, single and double apart", () => {
    for (let bits = 0; bits < 0x10000; bits += 7) {
      const half = Uint8Array.of(0xf9, bits >> 8, bits & 0xff);
      if ((bits & 0x7c00) === 0x7c00 && bits & 0x3ff && bits !== 0x7e00) {
        expect(() => decode(half, 3)).toThrow(CodecError);
      } else expect(encode(decode(half, 3))).toEqual(half);
    }
  });

  it("takes whole numbers of JSON for integers", () => {
    expect(fromJson({ a: [1, 0.5, true, null, "x"] })).toEqual({ a: [1n, 0.5, true, null, "x"] });
  });
});

describe("ids and merkle trees", () => {
  const ids = vectors("ids");
  const trees = vectors("merkle");
  const task = taskOf(trees.task as string);

  it("hashes and pads as the EVM does", () => {
    for (const { data, hash } of ids.keccak256) expect(toHex(keccak256(fromHex(data)))).toBe(hash);
    for (const each of ids.word) {
      const value = (each.value as string).length >= 40 ? (each.value as string) : BigInt(each.value as string);
      expect(toHex(word(value))).toBe(each.word);
    }
    for (const each of ids.task_id) expect(taskId(address(each.client), digestOf(each.manifest_hash))).toBe(each.task_id);
    expect(accountText(address("0".repeat(37) + "3e9"))).toBe("0.0.1001");
  });

  it.each(trees.awards as Json[])("makes the tree $root", ({ leaves, root: expected, proofs }) => {
    const hashes = (leaves as Json[]).map((leaf) => awardHash(task, { ...leaf, trainer: address(leaf.trainer) }));
    expect(hashes.map(toHex)).toEqual((leaves as Json[]).map((leaf) => leaf.hash));
    expect(toHex(root(hashes))).toBe(expected);
    for (const [index, leaf] of hashes.entries()) {
      const path = proof(hashes, index);
      expect(path.map(toHex)).toEqual(proofs[index]);
      expect(verify(leaf, path, fromHex(expected as string))).toBe(true);
      expect(verify(leaf, path, EMPTY_ROOT)).toBe(false);
    }
  });

  it("credits as the contract does", () => {
    const { trainer, units, aggregates, no_show: noShow, hash } = trees.credit;
    expect(toHex(creditHash(task, { trainer: address(trainer), units, aggregates, noShow }))).toBe(hash);
    expect(toHex(root([]))).toBe(trees.empty_root);
    expect(() => proof([], 0)).toThrow(RangeError);
  });
});

describe("money", () => {
  it("is written as in Python and read back", () => {
    for (const [tinybar, text] of vectors("contract").money) {
      expect(formatHbar(BigInt(tinybar))).toBe(text);
      if (BigInt(tinybar) >= 0n) expect(parseHbar(text.replaceAll(",", ""))).toBe(BigInt(tinybar));
    }
    expect(parseHbar("5 hbar")).toBe(500_000_000n);
    for (const bad of ["", "-1", "x", "0.000000001", "50000000001", "1e3"]) expect(() => parseHbar(bad)).toThrow(RangeError);
  });
});

describe("entries", () => {
  const given = vectors("entries");
  const seed = fromHex(given.signing_seed);
  const key = fromHex(given.signing_key);
  const place = { network: given.network, contract: given.contract, task: taskOf(given.task) };
  const signer = { sign: async (data: Uint8Array) => plain(ed25519.sign(data, seed)) };

  it.each(given.chain as Json[])("signs and parses $kind", async (each) => {
    const said = {
      place,
      author: address(given.author),
      sequence: BigInt(each.sequence),
      previous: digestOf(each.previous),
      kind: each.kind,
      body: untagged(each.body) as never,
    };
    const entry = await makeEntry(signer, said);
    expect(toHex(entry.payload)).toBe(each.payload);
    expect(toHex(entry.signature)).toBe(each.signature);
    expect(toHex(dataOf(entry))).toBe(each.data);
    expect(hashOf(entry)).toBe(each.hash);
    expect(parse(fromHex(each.data))).toEqual(entry);
    expect(signedBy(key, entry)).toBe(true);
    expect(signedBy(key, { ...entry, signature: plain(new Uint8Array(64)) } as Entry)).toBe(false);
  });

  it("parses bids and refuses everything else", () => {
    const bid = given.bid_commitment;
    const parsed = parse(fromHex(bid.data));
    expect(parsed).toMatchObject({ type: "bid", trainer: bid.trainer, commitment: bid.commitment });
    const inner = (fields: Json): Uint8Array => encode([encode(fields), new Uint8Array(64)]);
    const [a, t, d] = [new Uint8Array(20), new Uint8Array(32), new Uint8Array(32)];
    expect(parse(inner(["shoal/entry/1", "n", "c", t, a, 0n, d, "void", {}])).type).toBe("entry");
    for (const bad of [
      ["shoal/entry/2", "n", "c", t, a, 0n, d, "void", {}],
      ["shoal/entry/1", "n", "c", t, a, -1n, d, "void", {}],
      ["shoal/entry/1", "n", "c", t, a, true, d, "void", {}],
      ["shoal/entry/1", "n", "c", t, t, 0n, d, "void", {}],
      ["shoal/entry/1", "n", "c", t, a, 0n, d, "other", {}],
      ["shoal/entry/1", "n", "c", t, a, 0n, d, "void", []],
      ["shoal/entry/1", "n", "c", t, a, 0n, d, "void"],
      {},
    ]) {
      expect(() => parse(inner(bad))).toThrow(CodecError);
    }
    expect(() => parse(encode([t]))).toThrow(CodecError);
  });

  it("parses batches of log lines, of one message at most", () => {
    const [a, t] = [new Uint8Array(20), new Uint8Array(32)];
    const inner = (fields: Json): Uint8Array => encode([encode(fields), new Uint8Array(64)]);
    const lines = (size: number): Json => ["shoal/log/1", "n", "c", t, a, 7n, new Uint8Array(size)];
    expect(parse(inner(lines(800)))).toMatchObject({ type: "log", sequence: 7n, place: { network: "n", contract: "c" } });
    for (const bad of [
      lines(1_000),
      ["shoal/log/1", "n", "c", t, a, -1n, t],
      ["shoal/log/1", "n", "c", t, a, true, t],
      ["shoal/log/1", "n", "c", t, t, 0n, t],
      ["shoal/log/1", "n", "c", t, a, 0n, "text"],
      ["shoal/log/1", "n", "c", t, a, 0n, t, t],
      ["shoal/log/2", "n", "c", t, a, 0n, t],
    ]) {
      expect(() => parse(inner(bad))).toThrow(CodecError);
    }
  });
});

describe("manifest", () => {
  const given = vectors("manifest");

  it.each(given.manifests as Json[])("reads and writes $hash", ({ cbor, hash }) => {
    const manifest = parseManifest(fromHex(cbor as string));
    expect(toHex(manifestBytes(manifest))).toBe(cbor);
    expect(manifestHash(manifest)).toBe(hash);
    const odd = decode(fromHex(cbor as string), 1 << 16) as Json;
    for (const change of [{ v: 2n }, { more: 1n }, { chunks: [] }, { slot_bytes: 0n }, { nonce: new Uint8Array(15) }]) {
      expect(() => parseManifest(encode({ ...odd, ...change } as Json))).toThrow(CodecError);
    }
  });

  it("keeps the rules of audits within bounds", () => {
    const value = decode(fromHex(given.manifests[0].cbor), 1 << 16) as Json;
    const audited = encode({ ...value, audit: [60n, 120n, 10_000n] } as Json);
    const manifest = parseManifest(audited);
    expect(manifest.audit).toEqual({ openS: 60, verdictS: 120, tolerancePpm: 10_000 });
    expect(manifestBytes(manifest)).toEqual(audited);
    for (const audit of [[0n, 1n, 1n], [1n, 604_801n, 1n], [1n, 1n, 1_000_001n], [1n, 1n], [1n, 1n, 1n, 1n], null]) {
      expect(() => parseManifest(encode({ ...value, audit } as Json))).toThrow(CodecError);
    }
  });

  it("keeps the floats of a recipe floats", () => {
    const recipe = { loss: "mse", batch_size: 32, grad_clip: 1, optimizer: { name: "adam", lr: 1, betas: [0, 0.5] } };
    expect(recipeTable(recipe)).toEqual({ ...recipe, batch_size: 32n });
  });

  it("knows the size of slots", () => {
    for (const { plain: size, slot } of given.slot_bytes) expect(slotBytes(size)).toBe(slot);
  });
});

describe("auction and assignment", () => {
  const given = vectors("auction");
  const task = given.task as TaskId;

  it.each((given.cases as Json[]).map((each, index) => ({ index, ...each })))("clears case $index", (each) => {
    const bids = (each.bids as Json[]).map((bid) => {
      const [of, opened] = parseOpening(fromHex(bid.opening));
      expect(of).toBe(task);
      expect(commitment(task, opened)).toBe(bid.commitment);
      return opened;
    });
    const terms = {
      task,
      chunks: each.chunks,
      seats: each.seats,
      minTrainers: each.min_trainers,
      ceiling: BigInt(each.max_unit_price),
      nowS: each.now,
    };
    const award = clear(bids, terms);
    if (each.award === null) return expect(award).toBeNull();
    expect(award!.leaves.map((leaf) => [leaf.trainer, leaf.units, leaf.rank])).toEqual(each.award.leaves);
    expect(award!.unitPrice).toBe(BigInt(each.award.unit_price));
    expect(primaries(award!)).toBe(each.award.primaries);
    expect(toHex(awardRoot(award!, task))).toBe(each.award.root);
    expect(decodeAward(encodeAward(award!))).toEqual(award);
  });

  it("assigns holders", () => {
    const { cases } = vectors("assign");
    expect(cases.length).toBeGreaterThan(50);
    for (const { units, chunks, holders } of cases) {
      const made = assign((units as number[]).map((each) => ({ units: each })), chunks);
      expect(made.map((each) => [each.primary, each.backup])).toEqual(holders);
    }
  });

  it("refuses what is no opened bid", () => {
    expect(() => parseOpening(encode([1n]))).toThrow(CodecError);
    expect(() => parseOpening(encode("x".repeat(9)))).toThrow(CodecError);
  });
});

describe("bundles", () => {
  const given = vectors("bundles");

  it("are written as in Python", () => {
    const [url, sha256, sizeBytes] = untagged(given.pointer.value) as [string, Uint8Array, bigint];
    const pointer = { url, sha256: digestOf(sha256), sizeBytes: Number(sizeBytes) };
    expect(toHex(pointerBytes(pointer))).toBe(given.pointer.cbor);
    expect(toHex(sharedBytes(untagged(given.shared.value) as Record<string, string>))).toBe(given.shared.cbor);
    const { bundle } = given;
    const made = bundleBytes({
      secret: fromHex(bundle.secret),
      chunks: new Map((bundle.chunks as [number, string, string][]).reverse().map(([chunk, at, key]) => [chunk, [at, key]])),
      validation: bundle.validation,
      initial: bundle.initial,
      put: bundle.put,
      shared: { url: bundle.shared[0], sha256: digestOf(untagged(bundle.shared[1]) as string), sizeBytes: Number(untagged(bundle.shared[2])) },
    });
    expect(toHex(made)).toBe(bundle.cbor);
  });

  it("name the slots of a seat", () => {
    const holders = [
      { primary: 0, backup: 1 },
      { primary: 1, backup: null },
      { primary: 1, backup: 0 },
    ];
    expect(slotsOf(holders, 1, 0)).toEqual(["u/1/0/0", "u/1/2/0", "c/1/0", "r/0"]);
    expect(new Set(given.slots)).toEqual(new Set(slotsOf(holders, 1, 0)));
  });
});

