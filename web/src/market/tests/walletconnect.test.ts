import { describe, expect, it } from "vitest";

import { proto } from "@hiero-ledger/proto";
import { TopicMessageSubmitTransaction, Transaction, TransactionId } from "@hiero-ledger/sdk";

import { LedgerError } from "../errors";
import { fromBase64 } from "../mirror";
import { WalletRefused } from "../wallet";
import { type Provider, connected, openWalletConnect } from "../walletconnect";

const page = { name: "shoal", url: "https://shoal.example", icon: "https://shoal.example/icon.png" };

/** The far end of WalletConnect, which no test reaches: what it is sent is looked at. */
function provider(answer: (list: string) => Promise<{ transactionId?: string }>): Provider {
  return {
    hedera_signAndExecuteTransaction: async ({ signerAccountId, transactionList }) => {
      expect(signerAccountId).toBe("hedera:testnet:0.0.1234");
      return await answer(transactionList);
    },
    hedera_signMessage: async ({ message }) => ({ signatureMap: Buffer.from(message).toString("base64") }),
    disconnect: async () => undefined,
  };
}

const message = (): Transaction =>
  new TopicMessageSubmitTransaction()
    .setTopicId("0.0.77")
    .setMessage("x".repeat(2_000))
    .setChunkSize(1_024)
    .setTransactionId(TransactionId.generate("0.0.1234"))
    .setTransactionValidDuration(180);

describe("a connected wallet", () => {
  it("is asked to sign each chunk under the ids that the library chose", async () => {
    const transaction = message();
    const id = transaction.transactionId!;
    const seen: Transaction[] = [];
    const wallet = await connected(
      provider(async (list) => {
        seen.push(Transaction.fromBytes(fromBase64(list)));
        return { transactionId: seen.at(-1)!.transactionId!.toString() };
      }),
      "0.0.1234",
      "testnet",
    );
    await wallet.execute(transaction);
    expect(seen).toHaveLength(2);
    expect(seen[0]!.transactionId!.toString()).toBe(id.toString());
    expect(seen.map((each) => (each as TopicMessageSubmitTransaction).message!.length)).toEqual([1_024, 976]);
    expect(new Set(seen[0]!.nodeAccountIds!.map(String)).size).toBeGreaterThan(1);
    for (const [index, each] of seen.entries()) {
      const { bodyBytes } = proto.SignedTransaction.decode(
        proto.TransactionList.decode(each.toBytes()).transactionList[0]!.signedTransactionBytes!,
      );
      const { chunkInfo } = proto.TransactionBody.decode(bodyBytes!).consensusSubmitMessage!;
      expect([chunkInfo!.number, chunkInfo!.total]).toEqual([index + 1, 2]);
      expect(chunkInfo!.initialTransactionID!.transactionValidStart!.nanos).toBe(id.validStart!.nanos.toNumber());
    }
    expect(await wallet.signMessage("hello")).toEqual({ signature_map_b64: "aGVsbG8=" });
    await wallet.close();
  });

  it("tells a refusal from a lost answer, and notices another id", async () => {
    const outcome = async (answer: () => Promise<{ transactionId?: string }>): Promise<unknown> => {
      const wallet = await connected(provider(answer), "0.0.1234", "testnet");
      return await wallet.execute(message()).catch((error: unknown) => error);
    };
    expect(await outcome(() => Promise.reject({ code: 5000, message: "User rejected" }))).toBeInstanceOf(WalletRefused);
    expect(await outcome(() => Promise.reject({ code: 4001, message: "no" }))).toBeInstanceOf(WalletRefused);
    expect(await outcome(() => Promise.reject(new Error("the relay is gone")))).not.toBeInstanceOf(LedgerError);
    expect(await outcome(async () => ({ transactionId: "0.0.1234@1.000000002" }))).toMatchObject({
      transaction: "0.0.1234-1-000000002",
    });
  });

  it("is only for networks that wallets know, and needs a project id", async () => {
    await expect(openWalletConnect({ ...page, projectId: "p", network: "devnet" })).rejects.toThrow(/wallets do not know/);
    await expect(openWalletConnect({ ...page, projectId: "", network: "testnet" })).rejects.toThrow(/project id/);
  });
});
