// A node of js-libp2p that joins a shoal network as an observer, and prints what it sees, one JSON line each.
//
//     node observer.mjs MULTIADDRESS TOPIC
import { noise } from '@chainsafe/libp2p-noise'
import { yamux } from '@chainsafe/libp2p-yamux'
import { gossipsub } from '@libp2p/gossipsub'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'

// Node 20 lacks what js-libp2p 3 uses.
Promise.withResolvers ??= function () {
  const found = {}
  found.promise = new Promise((resolve, reject) => Object.assign(found, { resolve, reject }))
  return found
}

const [address, topic] = process.argv.slice(2)
const say = (event, value = {}) => console.log(JSON.stringify({ event, ...value }))

const node = await createLibp2p({
  addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
  transports: [tcp()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()],
  services: { identify: identify(), ping: ping(), pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }
})

// One request of shoal's: four bytes of length and the payload; a status byte, four bytes of length and the reply.
async function request (peer, name, payload) {
  const stream = await node.dialProtocol(peer, `/shoal/${name}/1`)
  const frame = new Uint8Array(4 + payload.length)
  new DataView(frame.buffer).setUint32(0, payload.length)
  frame.set(payload, 4)
  stream.send(frame)
  const parts = []
  for await (const part of stream) parts.push(Buffer.from(part.subarray()))
  const reply = Buffer.concat(parts)
  if (reply[0] !== 0) throw new Error(`status ${reply[0]}: ${reply.subarray(5)}`)
  if (reply.readUInt32BE(1) !== reply.length - 5) throw new Error('the reply has another length')
  return reply.subarray(5)
}

node.addEventListener('peer:identify', ({ detail }) => {
  say('identify', { peer: detail.peerId.toString(), protocols: detail.protocols })
})
node.services.pubsub.addEventListener('message', ({ detail }) => {
  if (detail.topic !== topic) return
  const text = Buffer.from(detail.data).toString()
  say('message', { from: detail.from.toString(), text })
  node.services.pubsub.publish(topic, Buffer.from(`heard ${text}`)).catch((error) => say('error', { text: `${error}` }))
})
node.services.pubsub.subscribe(topic)

const connection = await node.dial(multiaddr(address))
say('connected', { own: node.peerId.toString(), peer: connection.remotePeer.toString() })
say('ping', { ms: await node.services.ping.ping(connection.remotePeer) })
say('mesh', { hex: (await request(connection.remotePeer, 'mesh', new Uint8Array())).toString('hex') })
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
