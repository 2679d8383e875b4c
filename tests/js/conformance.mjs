// Runs an official SDK, unmodified, against a devnet through gRPC, and its browser build through grpc-web:
// node conformance.mjs <package> '<endpoints JSON>' <bytecode hex>
import assert from "node:assert/strict";

const [, , name, endpointsJson, bytecode] = process.argv;
const endpoints = JSON.parse(endpointsJson);
const mirror = new URL(endpoints.mirror_rest);
const PORTS = ["5551", "8084", "8545"]; // where the SDK believes a local network's REST to be

const direct = globalThis.fetch;
globalThis.fetch = (resource, options) => {
  const url = new URL(resource);
  if (PORTS.includes(url.port)) url.port = mirror.port;
  return direct(url, options);
};

const builds = {
  grpc: await import(name),
  browser: await import(new URL(`node_modules/${name}/lib/browser.js`, import.meta.url)),
};
try {
  for (const [transport, sdk] of Object.entries(builds)) {
    const client = connect(sdk, transport);
    for (const [step, run] of Object.entries(operations(sdk, client, transport))) {
      console.log("ok", transport, step, (await run()) ?? "");
    }
    client.close();
  }
} catch (error) { // Node's own report would print the minified line that threw
  console.error(String(error?.stack ?? error));
  process.exit(1);
}
process.exit(0);

function connect(sdk, transport) {
  const web = transport === "browser";
  const client = sdk.Client.forNetwork({
    [web ? mirror.host : endpoints.node]: sdk.AccountId.fromString(endpoints.node_account),
  });
  client.setMirrorNetwork([web ? mirror.host : endpoints.mirror_grpc]);
  client.setOperator(
    sdk.AccountId.fromString(endpoints.operator_id), sdk.PrivateKey.fromStringDer(endpoints.operator_key));
  client.setMaxNodeAttempts(3);
  return client;
}

function operations(sdk, client, transport) {
  const { Hbar, PrivateKey, Status } = sdk;
  const operator = sdk.AccountId.fromString(endpoints.operator_id);
  const key = PrivateKey.fromStringDer(endpoints.operator_key);
  const send = async (transaction) => (await transaction.execute(client)).getReceipt(client);
  const signed = async (transaction, ...keys) => {
    const frozen = transaction.freezeWith(client);
    for (const each of keys) await frozen.sign(each);
    return frozen;
  };
  const failure = async (transaction, as = client) => {
    const error = await transaction.execute(as).then((sent) => sent.getReceipt(as)).catch((caught) => caught);
    return error.status?.toString() ?? String(error);
  };
  const pay = (from, to, hbar) => new sdk.TransferTransaction()
    .addHbarTransfer(from, new Hbar(-hbar)).addHbarTransfer(to, new Hbar(hbar));
  const balance = async (account) =>
    (await new sdk.AccountBalanceQuery().setAccountId(account).execute(client)).hbars.toTinybars().toString();
  const call = (contract, method, parameters) => new sdk.ContractExecuteTransaction()
    .setContractId(contract).setGas(300_000).setFunction(method, parameters);
  const newAccount = async (publicKey, hbar) => (await send(new sdk.AccountCreateTransaction()
    .setKeyWithoutAlias(publicKey).setInitialBalance(new Hbar(hbar)))).accountId;

  return {
    async accounts() {
      const [ed, ec, next] = [PrivateKey.generateED25519(), PrivateKey.generateECDSA(), PrivateKey.generateED25519()];
      const plain = await newAccount(ed.publicKey, 5);
      const create = new sdk.AccountCreateTransaction().setECDSAKeyWithAlias(ec.publicKey).setInitialBalance(new Hbar(6));
      const aliased = (await send(await signed(create, ec))).accountId;
      assert.equal(await failure(pay(aliased, plain, 1)), "INVALID_SIGNATURE");
      const sent = await (await signed(pay(aliased, plain, 1), ec)).execute(client);
      const record = await sent.getRecord(client);
      const sum = record.transfers.reduce((total, entry) => total + BigInt(entry.amount.toTinybars().toString()), 0n);
      assert.equal(sum, 0n);
      assert.ok(record.transactionFee.toTinybars().toNumber() > 0 && record.transactionHash.length === 48);
      assert.equal(record.transactionId.toString(), sent.transactionId.toString());
      assert.equal(await balance(plain), "600000000");
      const info = await new sdk.AccountInfoQuery().setAccountId(aliased).execute(client);
      assert.equal(info.contractAccountId, ec.publicKey.toEvmAddress());
      assert.equal(info.balance.toTinybars().toString(), "500000000");
      const rename = new sdk.AccountUpdateTransaction().setAccountId(plain).setAccountMemo("renamed");
      await send(await signed(rename, ed));
      const rotate = () => new sdk.AccountUpdateTransaction().setAccountId(plain).setKey(next.publicKey);
      assert.equal(await failure(await signed(rotate(), ed)), "INVALID_SIGNATURE");
      await send(await signed(rotate(), ed, next));
      const changed = await new sdk.AccountInfoQuery().setAccountId(plain).execute(client);
      assert.equal(changed.key.toString(), next.publicKey.toString());
      assert.equal(changed.accountMemo, "renamed");
    },

    async hollow() {
      const owner = PrivateKey.generateECDSA();
      const alias = sdk.AccountId.fromEvmAddress(0, 0, owner.publicKey.toEvmAddress());
      const paid = await pay(operator, alias, 2).execute(client);
      const receipt = await new sdk.TransactionReceiptQuery()
        .setTransactionId(paid.transactionId).setIncludeChildren(true).execute(client);
      const [child] = receipt.children;
      assert.equal(child.status, Status.Success);
      const record = await new sdk.TransactionRecordQuery()
        .setTransactionId(paid.transactionId).setIncludeChildren(true).execute(client);
      assert.equal(record.children[0].receipt.accountId.toString(), child.accountId.toString());
      const found = await alias.populateAccountNum(client);
      const account = sdk.AccountId.fromString(`0.0.${found.num}`);
      assert.equal(child.accountId.toString(), account.toString());
      assert.equal(await balance(account), "200000000");
      assert.equal((await account.populateAccountEvmAddress(client)).evmAddress.toString(), owner.publicKey.toEvmAddress());
      const before = await new sdk.AccountInfoQuery().setAccountId(account).execute(client);
      assert.equal(before.key.toArray?.().length ?? 0, 0, "nobody's key yet");
      await send(await signed(pay(account, operator, 1), owner));
      const after = await new sdk.AccountInfoQuery().setAccountId(account).execute(client);
      assert.equal(after.key.toString(), owner.publicKey.toString());
    },

    async keyLists() {
      const keys = [1, 2, 3].map(() => PrivateKey.generateED25519());
      const tree = new sdk.KeyList([keys[0].publicKey, new sdk.KeyList(keys.slice(1).map((k) => k.publicKey), 1)]);
      const account = await newAccount(tree, 3);
      assert.equal(await failure(await signed(pay(account, operator, 1), keys[1], keys[2])), "INVALID_SIGNATURE");
      assert.equal(await failure(await signed(pay(account, operator, 1), keys[0])), "INVALID_SIGNATURE");
      await send(await signed(pay(account, operator, 1), keys[0], keys[2]));
    },

    async prechecks() {
      const poorKey = PrivateKey.generateED25519();
      const poor = await newAccount(poorKey.publicKey, 0);
      const asPoor = connect(sdk, transport).setOperator(poor, poorKey);
      assert.equal(await failure(pay(poor, operator, 1), asPoor), "INSUFFICIENT_PAYER_BALANCE");
      asPoor.setOperator(operator, poorKey);
      assert.equal(await failure(pay(operator, poor, 1), asPoor), "INVALID_SIGNATURE");
      asPoor.setOperator(sdk.AccountId.fromString("0.0.999999"), poorKey);
      assert.equal(await failure(pay(operator, poor, 1), asPoor), "PAYER_ACCOUNT_NOT_FOUND");
      asPoor.close();
      assert.equal(await failure(pay(operator, poor, 1).setMaxTransactionFee(Hbar.fromTinybars(9))), "INSUFFICIENT_TX_FEE");
      const uneven = new sdk.TransferTransaction().addHbarTransfer(operator, new Hbar(-1));
      assert.equal(await failure(uneven), "INVALID_ACCOUNT_AMOUNTS");
      const large = new sdk.FileCreateTransaction().setContents("x".repeat(6200));
      assert.equal(await failure(large), "TRANSACTION_OVERSIZE");
      const hungry = new sdk.ContractExecuteTransaction().setContractId("0.0.360").setGas(15_000_001);
      assert.equal(await failure(hungry), "MAX_GAS_LIMIT_EXCEEDED");
      const start = new sdk.Timestamp(Math.floor(Date.now() / 1000) - 300, 0);
      const old = pay(operator, poor, 1).setTransactionId(new sdk.TransactionId(operator, start));
      assert.equal(await failure(old.setRegenerateTransactionId(false)), "TRANSACTION_EXPIRED");
      const long = pay(operator, poor, 1).setTransactionValidDuration(200);
      assert.equal(await failure(long), "INVALID_TRANSACTION_DURATION");
      const bytes = (await signed(pay(operator, poor, 1), key)).toBytes();
      await send(sdk.Transaction.fromBytes(bytes));
      assert.equal(await failure(sdk.Transaction.fromBytes(bytes)), "DUPLICATE_TRANSACTION");
    },

    async topics() {
      const submitKey = PrivateKey.generateED25519();
      const { topicId } = await send(new sdk.TopicCreateTransaction()
        .setTopicMemo("js").setAdminKey(key.publicKey).setSubmitKey(submitKey.publicKey));
      const text = "0123456789".repeat(500);
      const submit = () => new sdk.TopicMessageSubmitTransaction().setTopicId(topicId).setMessage(text);
      assert.equal(await failure(submit()), "INVALID_SIGNATURE");
      const none = new sdk.KeyList(); // the SDK's clearSubmitKey() sends nothing at all
      await send(new sdk.TopicUpdateTransaction().setTopicId(topicId).setTopicMemo("changed").setSubmitKey(none));
      const responses = await submit().executeAll(client);
      assert.equal(responses.length, 5);
      const last = await responses.at(-1).getReceipt(client);
      assert.equal(last.topicSequenceNumber.toNumber(), 5);
      assert.equal(last.topicRunningHash.length, 48);
      const info = await new sdk.TopicInfoQuery().setTopicId(topicId).execute(client);
      assert.equal(info.topicMemo, "changed");
      assert.equal(info.sequenceNumber.toNumber(), 5);
      assert.deepEqual([...info.runningHash], [...last.topicRunningHash]);
      const seen = await subscribed(topicId, text, submit);
      await send(new sdk.TopicDeleteTransaction().setTopicId(topicId));
      assert.equal(await failure(submit().setMessage("late")), "INVALID_TOPIC_ID");
      return seen;
    },

    async files() {
      const file = await send(new sdk.FileCreateTransaction().setKeys([key.publicKey]).setContents("ab".repeat(500)));
      await send(new sdk.FileAppendTransaction().setFileId(file.fileId).setContents("cd".repeat(4000)));
      const contents = await new sdk.FileContentsQuery().setFileId(file.fileId).execute(client);
      assert.equal(contents.length, 9000);
      const info = await new sdk.FileInfoQuery().setFileId(file.fileId).execute(client);
      assert.equal(info.size.toNumber(), 9000);
      await send(new sdk.FileDeleteTransaction().setFileId(file.fileId));
      const query = new sdk.FileContentsQuery().setFileId(file.fileId);
      assert.equal((await query.execute(client).catch((error) => error)).status?.toString(), "FILE_DELETED");
    },

    async contracts() {
      const seven = new sdk.ContractFunctionParameters().addUint256(7);
      const { contractId } = await send(new sdk.ContractCreateFlow()
        .setBytecode(bytecode).setGas(2_500_000).setConstructorParameters(seven));
      const direct = await send(new sdk.ContractCreateTransaction()
        .setBytecode(Buffer.from(bytecode, "hex")).setGas(2_500_000).setConstructorParameters(seven));
      assert.notEqual(direct.contractId.toString(), contractId.toString());
      const deposit = call(contractId, "deposit").setPayableAmount(Hbar.fromTinybars(41));
      const record = await (await deposit.execute(client)).getRecord(client);
      const result = record.contractFunctionResult;
      assert.equal(result.logs.length, 1);
      assert.equal(result.logs[0].contractId.toString(), contractId.toString());
      assert.ok(result.gasUsed.toNumber() > 21_000 && result.bloom.length === 256);
      const local = (method, parameters) => new sdk.ContractCallQuery()
        .setContractId(contractId).setGas(100_000).setFunction(method, parameters);
      const query = local("value");
      const cost = await query.getCost(client);
      assert.ok(cost.toTinybars().toNumber() > 0);
      assert.equal((await query.setQueryPayment(cost).execute(client)).getUint256(0).toNumber(), 48);
      const info = await new sdk.ContractInfoQuery().setContractId(contractId).execute(client);
      assert.equal(info.balance.toTinybars().toNumber(), 41);
      assert.ok(info.storage.toNumber() > 0);
      const code = await new sdk.ContractByteCodeQuery().setContractId(contractId).execute(client);
      assert.ok(code.length > 1000);
      const nine = new sdk.ContractFunctionParameters().addUint256(9);
      assert.equal(await failure(call(contractId, "fail", nine)), "CONTRACT_REVERT_EXECUTED");
      const reason = await local("failText").execute(client).catch((error) => error);
      assert.equal(reason.status?.toString(), "CONTRACT_REVERT_EXECUTED");
      const drawn = (await (await call(contractId, "draw").execute(client)).getRecord(client)).contractFunctionResult;
      assert.deepEqual(drawn.getBytes32(0), drawn.getBytes32(1));
      const amount = new sdk.ContractFunctionParameters().addUint256(1200);
      const rates = (await (await call(contractId, "convert", amount).execute(client)).getRecord(client));
      assert.equal(rates.contractFunctionResult.getUint256(0).toNumber(), 100);
      const simulated = new sdk.MirrorNodeContractCallQuery().setContractId(contractId).setFunction("value");
      assert.equal(BigInt(await simulated.execute(client)), 48n);
      const estimated = new sdk.MirrorNodeContractEstimateQuery().setContractId(contractId).setFunction("deposit");
      assert.ok(Number(await estimated.execute(client)) > 21_000);
    },

    async network() {
      const version = await new sdk.NetworkVersionInfoQuery().execute(client);
      assert.ok(version.protobufVersion.minor > 0);
      const sent = await pay(operator, sdk.AccountId.fromString("0.0.98"), 1).execute(client);
      const receipt = await new sdk.TransactionReceiptQuery()
        .setTransactionId(sent.transactionId).setIncludeChildren(true).setIncludeDuplicates(true).execute(client);
      assert.equal(receipt.status, Status.Success);
      assert.equal(receipt.exchangeRate.cents / receipt.exchangeRate.hbars, 12);
      const record = await new sdk.TransactionRecordQuery().setTransactionId(sent.transactionId).execute(client);
      assert.equal(record.receipt.status, Status.Success);
      if (transport === "browser") {
        await client.updateNetwork(); // over REST; over gRPC the SDK would keep the ports 50211 and 50212 only
        assert.deepEqual(Object.keys(client.network), [mirror.host]);
        return;
      }
      const book = await new sdk.AddressBookQuery().setFileId("0.0.102").execute(client);
      const [entry] = book.nodeAddresses;
      assert.equal(entry.accountId.toString(), endpoints.node_account);
      assert.equal(entry.addresses[0].toString(), endpoints.node);
    },
  };

  // History, cut by a limit; then a subscription that is open while messages come. 2.79 has none in browsers.
  async function subscribed(topicId, text, submit) {
    if (transport === "browser" && name.endsWith("2.79")) return "without subscription: this build has none";
    const first = await received(new sdk.TopicMessageQuery().setTopicId(topicId).setStartTime(0), 1);
    assert.equal(Buffer.from(first[0].contents).toString(), text);
    const query = new sdk.TopicMessageQuery().setTopicId(topicId).setStartTime(0).setLimit(7);
    const live = received(query, 3);
    await send(submit().setMessage("six"));
    await send(submit().setMessage("seven"));
    const texts = (await live).map((message) => Buffer.from(message.contents).toString());
    assert.deepEqual(texts, [text, "six", "seven"]);
    return "with subscription";
  }

  function received(query, count) {
    return new Promise((resolve, reject) => {
      const messages = [];
      const handle = query.subscribe(client, (message, error) => reject(error), (message) => {
        messages.push(message);
        if (messages.length < count) return;
        handle?.unsubscribe();
        resolve(messages);
      });
    });
  }
}
