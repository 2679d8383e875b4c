// Runs the official SDK, unmodified, against a devnet: node conformance.mjs '<endpoints JSON>' <bytecode hex>
import assert from "node:assert/strict";
import {
  AccountBalanceQuery, AccountCreateTransaction, AccountId, AccountInfoQuery, AccountUpdateTransaction, Client,
  ContractCallQuery, ContractCreateFlow, ContractExecuteTransaction, ContractFunctionParameters, FileAppendTransaction,
  FileContentsQuery, FileCreateTransaction, Hbar, HbarUnit, NetworkVersionInfoQuery, PrivateKey, Status,
  TopicCreateTransaction, TopicInfoQuery, TopicMessageQuery, TopicMessageSubmitTransaction, TopicUpdateTransaction,
  TransferTransaction,
} from "@hiero-ledger/sdk";

const endpoints = JSON.parse(process.argv[2]);
const bytecode = process.argv[3];
const key = PrivateKey.fromStringDer(endpoints.operator_key);
const client = Client.forNetwork({ [endpoints.node]: AccountId.fromString(endpoints.node_account) });
client.setMirrorNetwork([endpoints.mirror_grpc]);
client.setOperator(AccountId.fromString(endpoints.operator_id), key);
client.setMaxNodeAttempts(3);
const receiptOf = async (transaction) => (await transaction.execute(client)).getReceipt(client);

async function accounts() {
  const ed = PrivateKey.generateED25519();
  const ec = PrivateKey.generateECDSA();
  const plain = await receiptOf(
    new AccountCreateTransaction().setKeyWithoutAlias(ed.publicKey).setInitialBalance(new Hbar(5)));
  const create = new AccountCreateTransaction().setECDSAKeyWithAlias(ec.publicKey).setInitialBalance(new Hbar(6));
  const aliased = await receiptOf(await create.freezeWith(client).sign(ec));
  const transfer = new TransferTransaction()
    .addHbarTransfer(aliased.accountId, new Hbar(-1)).addHbarTransfer(plain.accountId, new Hbar(1));
  const unsigned = await transfer.execute(client).then((sent) => sent.getReceipt(client)).catch((error) => error);
  assert.equal(unsigned.status, Status.InvalidSignature);
  const signed = await new TransferTransaction()
    .addHbarTransfer(aliased.accountId, new Hbar(-1)).addHbarTransfer(plain.accountId, new Hbar(1))
    .freezeWith(client).sign(ec);
  const record = await (await signed.execute(client)).getRecord(client);
  const sum = record.transfers.reduce((total, entry) => total + BigInt(entry.amount.toTinybars().toString()), 0n);
  assert.equal(sum, 0n);
  const balance = await new AccountBalanceQuery().setAccountId(plain.accountId).execute(client);
  assert.equal(balance.hbars.toString(), new Hbar(6).toString());
  const info = await new AccountInfoQuery().setAccountId(aliased.accountId).execute(client);
  assert.equal(info.contractAccountId, ec.publicKey.toEvmAddress());
  const update = new AccountUpdateTransaction().setAccountId(plain.accountId).setAccountMemo("renamed");
  assert.equal((await receiptOf(await update.freezeWith(client).sign(ed))).status, Status.Success);
  const hollow = PrivateKey.generateECDSA();
  await receiptOf(new TransferTransaction()
    .addHbarTransfer(AccountId.fromString(endpoints.operator_id), new Hbar(-2))
    .addHbarTransfer(AccountId.fromEvmAddress(0, 0, hollow.publicKey.toEvmAddress()), new Hbar(2)));
  return "accounts, transfer, record, info, update, hollow account";
}

async function topics() {
  const created = await receiptOf(
    new TopicCreateTransaction().setTopicMemo("js").setAdminKey(key.publicKey).setSubmitKey(key.publicKey));
  const text = "0123456789".repeat(500);
  const arrived = new Promise((resolve, reject) => {
    new TopicMessageQuery().setTopicId(created.topicId).setStartTime(0)
      .subscribe(client, (message, error) => reject(error), (message) => resolve(Buffer.from(message.contents)));
  });
  await receiptOf(new TopicMessageSubmitTransaction().setTopicId(created.topicId).setMessage(text));
  assert.equal((await arrived).toString(), text);
  await receiptOf(new TopicUpdateTransaction().setTopicId(created.topicId).setTopicMemo("changed"));
  const info = await new TopicInfoQuery().setTopicId(created.topicId).execute(client);
  assert.equal(info.sequenceNumber.toNumber(), 5);
  assert.equal(info.topicMemo, "changed");
  return "topic, 5,000-byte message through a subscription, update, info";
}

async function contracts() {
  const file = await receiptOf(new FileCreateTransaction().setKeys([key.publicKey]).setContents("ab".repeat(500)));
  await receiptOf(new FileAppendTransaction().setFileId(file.fileId).setContents("cd".repeat(4000)));
  const contents = await new FileContentsQuery().setFileId(file.fileId).execute(client);
  assert.equal(contents.length, 9000);
  const deployed = await (await new ContractCreateFlow().setBytecode(bytecode).setGas(2_000_000)
    .setConstructorParameters(new ContractFunctionParameters().addUint256(7)).execute(client)).getReceipt(client);
  const call = (name, parameters) => new ContractExecuteTransaction()
    .setContractId(deployed.contractId).setGas(300_000).setFunction(name, parameters);
  const paid = await (await call("deposit").setPayableAmount(Hbar.fromTinybars(41)).execute(client)).getRecord(client);
  assert.equal(paid.contractFunctionResult.logs.length, 1);
  assert.ok(paid.contractFunctionResult.gasUsed.toNumber() > 21_000);
  const value = await new ContractCallQuery().setContractId(deployed.contractId).setGas(100_000)
    .setFunction("value").execute(client);
  assert.equal(value.getUint256(0).toNumber(), 48);
  const failed = call("fail", new ContractFunctionParameters().addUint256(9));
  const error = await failed.execute(client).then((sent) => sent.getReceipt(client)).catch((caught) => caught);
  assert.equal(error.status, Status.ContractRevertExecuted);
  return "file, append, contents, deploy, payable call, record with log, local call, revert";
}

async function network() {
  const version = await new NetworkVersionInfoQuery().execute(client);
  assert.ok(version.protobufVersion.minor > 0);
  return "version";
}

async function browser() {
  const web = await import(new URL("node_modules/@hiero-ledger/sdk/lib/browser.js", import.meta.url));
  const url = new URL(endpoints.mirror_rest);
  const webClient = web.Client.forNetwork({ [url.host]: web.AccountId.fromString(endpoints.node_account) });
  webClient.setOperator(web.AccountId.fromString(endpoints.operator_id), web.PrivateKey.fromStringDer(endpoints.operator_key));
  const target = web.AccountId.fromString("0.0.98");
  const read = async () => (await new web.AccountBalanceQuery().setAccountId(target).execute(webClient)).hbars;
  const before = await read();
  const sent = await new web.TransferTransaction()
    .addHbarTransfer(web.AccountId.fromString(endpoints.operator_id), web.Hbar.from(-3, web.HbarUnit.Hbar))
    .addHbarTransfer(target, web.Hbar.from(3, web.HbarUnit.Hbar)).execute(webClient);
  await sent.getReceipt(webClient);
  const gained = (await read()).toBigNumber().minus(before.toBigNumber()).toNumber();
  assert.ok(gained >= 3 && gained < 3.1, `gained ${gained}`);
  webClient.close();
  return "browser build over grpc-web: balance, transfer";
}

for (const step of [accounts, topics, contracts, network, browser]) console.log("ok", await step());
client.close();
process.exit(0);
