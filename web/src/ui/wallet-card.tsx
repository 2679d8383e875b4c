/** Connecting the wallet that pays from the browser. */

import { Button, PasswordInput, TextInput } from "@mantine/core";
import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";

import { balance as balanceQuery } from "../api/balance";
import { session as sessionQuery, useInfo } from "../api/info";
import { asProblem } from "../api/problem";
import { setToken, useHasToken } from "../api/session";
import { networkMeaning, networkTone } from "../lib/ledger";
import { connectDevelopment, connectPublic, disconnect, reconnect, signIn, useWallet } from "../tab/wallet";
import { Card, Id, Money, Pill } from "./bits";
import { Notice, ProblemNotice } from "./state";

/** Connects the development wallet of before, once the network is known. */
export function useReconnected() {
  const info = useInfo();
  const { isPending } = useQuery({
    queryKey: ["reconnect", info?.network, info?.node?.grpc_web],
    queryFn: async () => (await reconnect(info!), true),
    enabled: info !== null && !__FAKE__,
    staleTime: Infinity,
    retry: false,
  });
  return { wallet: useWallet(), looking: info !== null && !__FAKE__ && isPending };
}

export function WalletCard() {
  const info = useInfo();
  const { wallet, looking } = useReconnected();
  if (!info) return null;
  const pill = (
    <Pill tone={networkTone(info.network)} dot>
      {info.network}
    </Pill>
  );
  return (
    <Card title="Wallet of this browser" aside={pill}>
      {wallet ? <Connected /> : looking ? <p className="soft" role="status">Looking for the wallet of before …</p> : info.network === "devnet" ? <Development /> : <Public />}
    </Card>
  );
}

function Connected() {
  const wallet = useWallet()!;
  const info = useInfo();
  const { data: balance } = useQuery(balanceQuery(info, wallet.accountId));
  const { data: session } = useQuery(sessionQuery);
  const queries = useQueryClient();
  const connected = useHasToken();
  const enter = useMutation({ mutationFn: signIn, onSuccess: () => queries.invalidateQueries() });
  const leave = useMutation({ mutationFn: disconnect });
  const other = connected && session && info?.gateway && session.role === "user" && session.account !== wallet.accountId;
  return (
    <>
      <dl className="pairs">
        <dt>Account</dt>
        <dd>
          <Id of={wallet.accountId} label="the wallet's account" />
        </dd>
        <dt>Balance</dt>
        <dd>{balance === undefined ? "–" : <Money of={balance} />}</dd>
        <dt>Kind</dt>
        <dd>{wallet.kind === "development" ? "Development wallet: its key lies in this browser, for play money only" : "WalletConnect: each payment is confirmed in your wallet"}</dd>
      </dl>
      {balance === 0 ? (
        <Notice kind="warn" title="There is nothing in it">
          <p>Send HBAR to {wallet.accountId} first.</p>
        </Notice>
      ) : null}
      {other ? <p className="warn small">This tab is signed in as {session.account}, another account than the wallet&rsquo;s.</p> : null}
      {enter.error ? <ProblemNotice problem={asProblem(enter.error)} /> : null}
      <div className="row">
        {!connected || other ? (
          <Button loading={enter.isPending} onClick={() => (other && setToken(null), enter.mutate())}>
            Sign in with this wallet
          </Button>
        ) : null}
        <Button variant="default" loading={leave.isPending} onClick={() => leave.mutate()}>
          {wallet.kind === "development" ? "Forget this wallet" : "Disconnect the wallet"}
        </Button>
      </div>
    </>
  );
}

function Development() {
  const info = useInfo()!;
  const [account, setAccount] = useState("");
  const [key, setKey] = useState("");
  const connect = useMutation({ mutationFn: () => connectDevelopment(info, account.trim(), key.trim()) });
  return (
    <form className="stack" onSubmit={(event) => (event.preventDefault(), connect.mutate())}>
      <p className="soft">
        On a network of this machine an account of play money pays. <code>shoal up</code> has made one: <code>operator_id</code> and <code>operator_key</code> in{" "}
        <code>client/shoal.toml</code> of its directory.
      </p>
      <TextInput label="Account" placeholder="0.0.1008" value={account} onChange={(event) => setAccount(event.currentTarget.value)} autoComplete="off" />
      <PasswordInput
        label="Private key"
        description="Never one that holds real money"
        value={key}
        onChange={(event) => setKey(event.currentTarget.value)}
        autoComplete="off"
        visibilityToggleButtonProps={{ "aria-label": "Show or hide the key" }}
      />
      {connect.error ? <ProblemNotice problem={asProblem(connect.error)} /> : null}
      <div>
        <Button type="submit" loading={connect.isPending} disabled={!/^0\.0\.\d+$/.test(account.trim()) || !key.trim()}>
          Use this wallet
        </Button>
      </div>
    </form>
  );
}

function Public() {
  const info = useInfo()!;
  const connect = useMutation({ mutationFn: () => connectPublic(info) });
  const can = info.walletconnect_project_id !== null && ["mainnet", "testnet"].includes(info.network);
  return (
    <>
      <p className="soft">{networkMeaning(info.network)} A wallet such as HashPack keeps your key and asks you at each payment.</p>
      {can ? null : (
        <p className="soft small">
          {info.walletconnect_project_id === null
            ? "The operator of this node has not set walletconnect_project_id, so no wallet can be reached from here."
            : "Wallets know mainnet and testnet only."}
        </p>
      )}
      {connect.error ? <ProblemNotice problem={asProblem(connect.error)} /> : null}
      <div>
        <Button loading={connect.isPending} disabled={!can} onClick={() => connect.mutate()}>
          Connect a wallet
        </Button>
      </div>
    </>
  );
}
