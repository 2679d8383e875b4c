// Real wallets: WalletConnect through Reown AppKit. Loaded only when somebody connects one, since it is large.
//
// The library chooses a transaction's id before the wallet sees it. Where a wallet puts another in its place, that one is
// kept and asked for.

import type { AccountId, Client, Transaction } from "@hiero-ledger/sdk";

import { LedgerError } from "./errors";
import { toBase64 } from "./mirror";
import { SentOtherwise, type SignedMessage, type Wallet, WalletRefused } from "./wallet";

export interface WalletConnectSettings {
  /** Of `GET /api/v1/info`: whoever runs the node has got it from Reown. */
  readonly projectId: string;
  readonly network: string;
  /** Of the page, as wallets show it. */
  readonly name: string;
  readonly url: string;
  readonly icon: string;
}

type Network = "mainnet" | "testnet";
/** To choose from for whoever sends. */
const NODES = 5;
/** What both sides of the wire understand: JSON-RPC errors of a user who said no. */
const NO = new Set([4001, 5000, 5001, 5002]);

/** What is used of the provider; it is WalletConnect's, with Hedera's methods (HIP-820). */
export interface Provider {
  hedera_signAndExecuteTransaction(params: { signerAccountId: string; transactionList: string }): Promise<{ transactionId?: string }>;
  hedera_signMessage(params: { signerAccountId: string; message: string }): Promise<{ signatureMap: string }>;
  disconnect(): Promise<void>;
}

/**
 * Ask the user to connect a wallet: opens AppKit's window, and waits.
 *
 * Throws LedgerError SHOAL-L04: another network than wallets know, or a project id is missing; WalletRefused: the
 * window was closed.
 */
export async function openWalletConnect(settings: WalletConnectSettings): Promise<Wallet> {
  const network = known(settings);
  const [{ HederaAdapter, HederaChainDefinition, HederaProvider, hederaNamespace }, { createAppKit }] = await Promise.all([
    import("@hashgraph/hedera-wallet-connect"),
    import("@reown/appkit"),
  ]);
  const { projectId, name, url, icon } = settings;
  const metadata = { name, description: "Federated learning, paid in HBAR", url, icons: [icon] };
  const chain = network === "mainnet" ? HederaChainDefinition.Native.Mainnet : HederaChainDefinition.Native.Testnet;
  const provider = await HederaProvider.init({ projectId, metadata });
  const modal = createAppKit({
    adapters: [new HederaAdapter({ projectId, networks: [chain], namespace: hederaNamespace })],
    // The two packages were built against different copies of the same class.
    universalProvider: provider as never,
    projectId,
    metadata,
    networks: [chain],
    features: { analytics: false, email: false, socials: false, swaps: false, onramp: false },
  });
  const accountId = await new Promise<string>((resolve, reject) => {
    let wasOpen = false;
    modal.subscribeAccount(({ address }) => {
      const account = /0\.0\.[0-9]+$/.exec(address ?? "")?.[0];
      if (account) resolve(account);
    });
    modal.subscribeState(({ open }) => {
      if (!open && wasOpen) setTimeout(() => reject(new WalletRefused("its window was closed")), 1_000);
      wasOpen ||= open;
    });
    void modal.open();
  });
  return await connected(provider as unknown as Provider, accountId, network);
}

/** A wallet behind a provider that has a session. */
export async function connected(provider: Provider, accountId: string, network: Network): Promise<Wallet> {
  const sdk = await import("@hiero-ledger/sdk");
  const client = network === "mainnet" ? sdk.Client.forMainnet() : sdk.Client.forTestnet();
  // A node has several addresses, and would be there as often.
  const names = new Set(Object.values(client.network).map(String));
  const nodes = [...names].slice(0, NODES).map((name) => sdk.AccountId.fromString(name));
  return new ConnectedWallet(provider, accountId, network, client, nodes);
}

class ConnectedWallet implements Wallet {
  readonly kind = "walletconnect";
  /** As long as Hedera allows: people look at what they sign. */
  readonly validS = 180;
  readonly #signer: string;

  constructor(
    private readonly provider: Provider,
    readonly accountId: string,
    readonly network: Network,
    private readonly client: Client,
    private readonly nodes: AccountId[],
  ) {
    this.#signer = `hedera:${network}:${accountId}`;
  }

  async execute(transaction: Transaction): Promise<void> {
    const frozen = transaction.setNodeAccountIds(this.nodes).setRegenerateTransactionId(false).freezeWith(this.client);
    const wanted = transaction.transactionId?.toString();
    for (const [index, list] of (await perChunk(frozen.toBytes())).entries()) {
      const params = { signerAccountId: this.#signer, transactionList: toBase64(list) };
      const { transactionId } = await this.provider.hedera_signAndExecuteTransaction(params).catch(index ? unknown : refusal);
      if (index === 0 && transactionId && transactionId !== wanted) throw new SentOtherwise(transactionId);
    }
  }

  async signMessage(message: string): Promise<SignedMessage> {
    const { signatureMap } = await this.provider.hedera_signMessage({ signerAccountId: this.#signer, message }).catch(refusal);
    return { signature_map_b64: signatureMap };
  }

  async close(): Promise<void> {
    this.client.close();
    await this.provider.disconnect();
  }
}

/**
 * A message in chunks as one request for each: the SDK that wallets pin reads only the first of several.
 *
 * @param list of a frozen transaction: for each chunk, for each node.
 */
async function perChunk(list: Uint8Array): Promise<Uint8Array[]> {
  const { proto } = await import("@hiero-ledger/proto");
  const groups = new Map<string, ReturnType<typeof proto.TransactionList.decode>["transactionList"]>();
  for (const one of proto.TransactionList.decode(list).transactionList) {
    const { bodyBytes } = proto.SignedTransaction.decode(one.signedTransactionBytes!);
    const start = proto.TransactionBody.decode(bodyBytes!).transactionID?.transactionValidStart;
    const name = `${String(start?.seconds)}.${start?.nanos ?? 0}`;
    groups.set(name, [...(groups.get(name) ?? []), one]);
  }
  return [...groups.values()].map((transactionList) => proto.TransactionList.encode({ transactionList }).finish());
}

function known({ network, projectId }: WalletConnectSettings): Network {
  if (!projectId) {
    throw new LedgerError("this node has no WalletConnect project id", {
      code: "SHOAL-L04",
      hint: "its operator sets walletconnect_project_id",
      money: "nothing was spent by this",
    });
  }
  if (network === "mainnet" || network === "testnet") return network;
  throw new LedgerError(`wallets do not know the network ${network}`, {
    code: "SHOAL-L04",
    hint: "take the development wallet on a devnet",
    money: "nothing was spent by this",
  });
}

/** No to a later chunk leaves the first one sent: only the log tells. */
function unknown(error: unknown): never {
  throw error instanceof Error ? error : new Error(String((error as { message?: string } | null)?.message));
}

function refusal(error: unknown): never {
  const { code, message } = (error ?? {}) as { code?: number; message?: string };
  if ((code !== undefined && NO.has(code)) || /reject|denied|declin/i.test(message ?? "")) {
    throw new WalletRefused(message ?? "the user said no");
  }
  throw error instanceof Error ? error : new Error(message ?? String(error));
}
