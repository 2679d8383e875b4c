/** The account that pays: its balance, what is bound, which network, where the keys lie and how to keep them. */

import { Button } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { IconExternalLink } from "@tabler/icons-react";

import { ledgerLink, networkMeaning, networkTone } from "../lib/ledger";
import { session as sessionQuery } from "../api/info";
import { useHasToken, setToken } from "../api/session";
import { Card, Fact, Id, Money, Outside, Page, Pill } from "../ui/bits";
import { Connect } from "../ui/connect";
import { KeysCard } from "../ui/keys-card";
import { Ask, Empty, Notice } from "../ui/state";
import { WalletCard } from "../ui/wallet-card";
import { useAccount } from "./use-account";

export default function Wallet() {
  const { info, query, account, totals, balance, reserved } = useAccount();
  const connected = useHasToken();
  const { data: session } = useQuery(sessionQuery);
  const available = balance ?? totals.balance;
  const link = account ? ledgerLink(info, "account", account) : null;
  return (
    <Page title="Wallet" lead="The account that pays for trainings and that money comes back to.">
      <Ask query={query} empty={(found) => (found.items.length || account ? undefined : <Empty title="This account has no history yet">Once money arrives, its balance stands here.</Empty>)}>
        {() => (
          <div className="split">
            <div className="stack wide">
              <Card title="Balance" aside={<Pill tone={networkTone(info?.network)} dot>{info?.network ?? "network not told"}</Pill>}>
                <div className="grid facts">
                  <Fact label="Available" note={balance === null ? "by the sum of all movements" : "by the mirror node"}>
                    <Money of={available} />
                  </Fact>
                  <Fact label="Reserved" note="in the contract, for trainings under way">
                    <Money of={reserved} />
                  </Fact>
                </div>
                <p className="soft small">{networkMeaning(info?.network)} What a training does not use comes back here by itself.</p>
              </Card>
              <Card title="Account">
                <dl className="pairs">
                  <dt>Number</dt>
                  <dd>{account ? <Id of={account} label="the account's number" /> : "not known"}</dd>
                  {info ? (
                    <>
                      <dt>Market contract</dt>
                      <dd>
                        <Outside href={ledgerLink(info, "contract", info.contract_id)!}>{info.contract_id}</Outside>
                      </dd>
                    </>
                  ) : null}
                </dl>
                <div className="row">
                  <Button component={Link} to="/payments" variant="default">
                    Every payment
                  </Button>
                  {link ? (
                    <Button component="a" href={link} target="_blank" rel="noreferrer" variant="subtle" rightSection={<IconExternalLink size={15} aria-hidden />}>
                      See it on the ledger
                    </Button>
                  ) : null}
                </div>
              </Card>
              {info?.gateway ? null : <Backup play={info?.network === "devnet"} />}
            </div>
            <div className="stack wide">
              <Card title="Who signs">
                {info?.gateway ? (
                  <p className="soft">This is a public gateway: it never has your key. Your wallet signs each payment.</p>
                ) : (
                  <p className="soft">Your own node holds the key of this account and signs for you, once this tab is connected. That key never comes into the browser. What this browser itself buys is signed by the wallet below.</p>
                )}
              </Card>
              <WalletCard />
              <KeysCard />
              {connected ? (
                <Card title="This tab">
                  <p className="soft">{session?.role === "user" ? `Signed in as ${session.account}: it sees and spends only what is yours.` : "Connected as the node\u2019s operator: it may spend and control until you close it."}</p>
                  <div>
                    <Button variant="default" onClick={() => setToken(null)}>
                      Disconnect this tab
                    </Button>
                  </div>
                </Card>
              ) : (
                <Connect why="Looking needs no permission; paying does." />
              )}
            </div>
          </div>
        )}
      </Ask>
    </Page>
  );
}

function Backup({ play }: { play: boolean }) {
  return (
    <Card title="Keys of the node">
      <p className="soft">
        The weights of every training that this node buys are encrypted to a key of it. If the key is lost, nobody can open them, and nobody can spend what the account holds.
        So copy the node&rsquo;s directory (<code>shoal config show</code> names it) to a safe place before you pay for anything.
      </p>
      {play ? (
        <Notice title="On this network it is play money">
          <p>A back-up is only needed if you want to keep the results.</p>
        </Notice>
      ) : null}
    </Card>
  );
}
