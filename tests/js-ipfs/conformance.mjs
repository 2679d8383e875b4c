// The official clients, unmodified, against the test double of the services: node conformance.mjs <url> <JWT>
import assert from "node:assert/strict";
import { create } from "kubo-rpc-client";
import { PinataSDK } from "pinata";

const [url, pinataJwt] = process.argv.slice(2);
const wire = globalThis.fetch;
// The SDK speaks https to any gateway.
globalThis.fetch = (where, how) => wire(String(where).replace("https://127.0.0.1", "http://127.0.0.1"), how);

async function pinata() {
  const sdk = new PinataSDK({
    pinataJwt, pinataGateway: url.replace("http://", "https://"), endpointUrl: `${url}/v3`, uploadUrl: `${url}/v3`,
  });
  const file = await sdk.upload.public.file(new File(["hello sdk"], "hello.txt", { type: "text/plain" }));
  assert.equal(file.cid, "bafkreic2uynkr7yjrmfzguufd3e466ead2qufhept4vlijq7mjetmpzwpm");
  assert.deepEqual((await sdk.files.public.list().cid(file.cid)).files.map((each) => each.id), [file.id]);
  assert.equal((await sdk.gateways.public.get(file.cid)).data.size, 9);
  const secret = await sdk.upload.private.file(new File(["hello private"], "private.txt"));
  const link = await sdk.gateways.private.createAccessLink({ cid: secret.cid, expires: 30 });
  assert.equal(await (await fetch(link)).text(), "hello private");
  assert.equal((await sdk.upload.public.cid(file.cid)).status, "prechecking");
  await sdk.files.public.delete([file.id]);
  const large = await sdk.upload.public.file(new File([Buffer.alloc(95_000_000, "abc")], "large.txt"));
  assert.equal(large.cid, "bafybeifb2cfp6p5yz7wl2df4dylynxnfrhschkiqiecofbu22wzqedst5u");
}

async function kubo() {
  const rpc = create({ url: `${url}/api/v0` });
  const { cid } = await rpc.add(Buffer.from("hello kubo"), { pin: true, cidVersion: 1 });
  const pins = [];
  for await (const pin of rpc.pin.ls({ type: "recursive" })) pins.push(`${pin.cid}`);
  assert.deepEqual(pins, [`${cid}`]);
  assert.equal(Buffer.from(await rpc.block.get(cid)).toString(), "hello kubo");
  let size = 0;
  for await (const part of rpc.dag.export(cid)) size += part.length;
  assert.ok(size > 60);
  await rpc.pin.rm(cid);
  await assert.rejects(rpc.pin.rm(cid), /not pinned/);
}

await pinata();
await kubo();
console.log("ok");
