// Writes CIDs and CARs that Helia's importer makes of files which tests make again: node vectors.mjs ../unit/adapters/ipfs/vectors.json
import { importer } from 'ipfs-unixfs-importer'
import { fixedSize } from 'ipfs-unixfs-importer/chunker'
import { balanced } from 'ipfs-unixfs-importer/layout'
import { MemoryBlockstore } from 'blockstore-core'
import { CarWriter } from '@ipld/car'
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'

// byte i of the file of seed s is byte i % 32 of SHA-256(s, i / 32)
export function bytes (seed, size) {
  const parts = []
  for (let i = 0; i * 32 < size; i++) parts.push(createHash('sha256').update(`${seed},${i}`).digest())
  return Buffer.concat(parts).subarray(0, size)
}
async function make (data, layout) {
  const store = new MemoryBlockstore(), order = []
  const keep = { ...store, put: async (cid, block) => { order.push([cid, block]); return store.put(cid, block) }, get: (c, o) => store.get(c, o), has: c => store.has(c) }
  let root
  for await (const each of importer([{ content: (async function * () { yield data })() }], keep, {
    cidVersion: layout.version, rawLeaves: layout.rawLeaves, wrapWithDirectory: false,
    chunker: fixedSize({ chunkSize: layout.chunk }), layout: balanced({ maxChildrenPerNode: layout.links }), reduceSingleLeafToSelf: true, leafType: 'file'
  })) root = each.cid
  return { root, order }
}
async function car (root, order) {
  const { writer, out } = CarWriter.create([root]); const parts = []
  const reading = (async () => { for await (const part of out) parts.push(part) })()
  for (const [cid, bytes] of order) await writer.put({ cid, bytes })
  await writer.close(); await reading
  return Buffer.concat(parts)
}
const K = 1024, found = []
const profiles = [[K * K, 1024, 1, true], [256 * K, 174, 1, true], [256 * K, 174, 0, false], [K * K, 174, 1, true], [256 * K, 1024, 1, true], [256 * K, 174, 1, false]]
for (const [chunk, links, version, rawLeaves] of profiles) {
  for (const size of [0, 1, 12, 256 * K, 256 * K + 1, 3_000_000]) {
    const { root } = await make(bytes('a', size), { chunk, links, version, rawLeaves })
    found.push({ seed: 'a', size, chunk, links, version, rawLeaves, cid: root.toString() })
  }
}
for (const [version, rawLeaves] of [[1, true], [0, false]]) { // around one and two full levels
  for (const size of [696, 697, 121_104, 121_105]) {
    const { root } = await make(bytes('b', size), { chunk: 4, links: 174, version, rawLeaves })
    found.push({ seed: 'b', size, chunk: 4, links: 174, version, rawLeaves, cid: root.toString() })
  }
}
for (const [version, rawLeaves] of [[1, true], [1, false], [0, false]]) {
  for (let size = 0; size <= 60; size += size < 20 ? 1 : 5) {
    const { root } = await make(bytes('b', size), { chunk: 4, links: 3, version, rawLeaves })
    found.push({ seed: 'b', size, chunk: 4, links: 3, version, rawLeaves, cid: root.toString() })
  }
}
const cars = []
for (const [version, rawLeaves] of [[1, true], [0, false]]) {
  const { root, order } = await make(bytes('c', 1_000), { chunk: 64, links: 3, version, rawLeaves })
  cars.push({ seed: 'c', size: 1_000, cid: root.toString(), car: (await car(root, order)).toString('base64') })
}
writeFileSync(process.argv[2], JSON.stringify({ cids: found, cars }, null, 1) + '\n')
