/** Everything public: peers and their roles, registered trainers, all tasks. */

import { Button, SegmentedControl } from "@mantine/core";
import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { lazy, Suspense, useState } from "react";

import { contractEvents } from "../api/contract-events";
import type { Peer, TaskRow, Trainer } from "../api/client";
import { useInfo } from "../api/info";
import { accountText, ledgerLink, networkMeaning, networkTone } from "../lib/ledger";
import { mesh as meshQuery, peers as peersQuery, tasks as tasksQuery, trainers as trainersQuery } from "../api/queries";
import { Ago, Card, Fact, Id, Money, Outside, Page, Phase, Pill } from "../ui/bits";
import { ContractEvents } from "../ui/contract-events";
import { Ask, Bones, Empty } from "../ui/state";
import { VirtualList } from "../ui/virtual-list";

const PeersCard = lazy(() => import("./task/peers"));

export default function Network() {
  const [what, setWhat] = useState("peers");
  const info = useInfo();
  const peers = useQuery(peersQuery);
  const mesh = useQuery(meshQuery);
  return (
    <Page title="Network" lead="What anyone can see: who is there, who trains, and every task on the contract.">
      <div className="split">
        <div className="stack wide">
          <SegmentedControl
            data={[
              { value: "peers", label: "Peers" },
              { value: "trainers", label: "Trainers" },
              { value: "tasks", label: "Tasks" },
              { value: "ledger", label: "Ledger" },
            ]}
            value={what}
            onChange={setWhat}
            aria-label="What to look at"
          />
          {what === "peers" ? <Peers /> : what === "trainers" ? <Trainers /> : what === "tasks" ? <Tasks /> : <Ledger />}
        </div>
        <div className="stack wide">
          <Card title="This network" aside={<Pill tone={networkTone(info?.network)} dot>{info?.network ?? "not told"}</Pill>}>
            <p className="soft small">{networkMeaning(info?.network)}</p>
            {info ? (
              <dl className="pairs">
                <dt>Contract</dt>
                <dd>
                  <Outside href={ledgerLink(info, "contract", info.contract_id)!}>{info.contract_id}</Outside>
                </dd>
                <dt>Version</dt>
                <dd>{info.version}</dd>
              </dl>
            ) : null}
            <Ask query={mesh}>
              {(found) => (
                <div className="grid facts">
                  <Fact label="Connected">{found.connected}</Fact>
                  <Fact label="Known">{found.known}</Fact>
                </div>
              )}
            </Ask>
          </Card>
          <Card title="Mesh">
            <Suspense fallback={<Bones />}>
              <PeersCard peers={peers.data ?? []} me={mesh.data?.peer_id ?? null} />
            </Suspense>
          </Card>
        </div>
      </div>
    </Page>
  );
}

function Peers() {
  const query = useQuery(peersQuery);
  return (
    <Ask query={query} empty={(found) => (found.length ? undefined : <Empty title="No peer is in sight">This node looks for others through its bootstrap nodes. `shoal doctor` tells what stands in the way.</Empty>)}>
      {(found) => (
        <Card title="Peers" aside={<span className="soft small num">{found.length}</span>}>
          <VirtualList items={found} label="Peers" estimate={60} tall render={(peer: Peer) => <PeerRow peer={peer} />} />
          <p className="soft small">Roles are what a peer says of itself.</p>
        </Card>
      )}
    </Ask>
  );
}

function PeerRow({ peer }: { peer: Peer }) {
  return (
    <div className="row spread">
      <span className="stack tight">
        <Id of={peer.peer_id} keep={10} label="the peer's id" />
        <span className="soft small mono">{peer.addresses[0] ?? "no address"}</span>
      </span>
      <span className="row">
        {peer.roles.map((role) => (
          <Pill key={role}>{role}</Pill>
        ))}
        <Pill tone={peer.connected ? "good" : ""} dot>
          {peer.connected ? "connected" : "away"}
        </Pill>
      </span>
    </div>
  );
}

function Trainers() {
  const query = useInfiniteQuery(trainersQuery);
  return (
    <Ask query={query} empty={(found) => (found.items.length ? undefined : <Empty title="Nobody has registered yet">Trainers register with a stake that they lose if they cheat.</Empty>)}>
      {(found) => (
        <Card title="Registered accounts" aside={<span className="soft small num">{found.items.length}</span>}>
          <VirtualList
            items={found.items}
            label="Registered accounts"
            estimate={64}
            tall
            render={(each: Trainer) => (
              <div className="row spread">
                <span className="stack tight">
                  <code title={each.address}>{accountText(each.address)}</code>
                  <span className="soft small">
                    since <Ago at={each.registered_at} />
                  </span>
                </span>
                <span className="stack tight right small">
                  <span>
                    stake <Money of={each.stake_tinybar} />
                  </span>
                  <span className="soft">
                    of it locked <Money of={each.locked_tinybar} />
                  </span>
                </span>
                <Pill tone={each.connected ? "good" : ""} dot>
                  {each.connected ? "in sight" : "away"}
                </Pill>
              </div>
            )}
          />
          {query.hasNextPage ? (
            <div>
              <Button variant="default" onClick={() => void query.fetchNextPage()}>
                More
              </Button>
            </div>
          ) : null}
        </Card>
      )}
    </Ask>
  );
}

function Ledger() {
  const { data } = useQuery(contractEvents(null));
  if (data === null) return <Empty title="This node does not tell the contract's events">Each training shows its own messages and, where the node knows them, its transactions.</Empty>;
  return <ContractEvents task={null} />;
}

function Tasks() {
  const query = useInfiniteQuery(tasksQuery(true));
  return (
    <Ask query={query} empty={(found) => (found.items.length ? undefined : <Empty title="No task yet">The first one on this contract could be yours.</Empty>)}>
      {(found) => (
        <Card title="All tasks" aside={<span className="soft small num">{found.items.length}{query.hasNextPage ? "+" : ""}</span>}>
          <VirtualList
            items={found.items}
            label="All tasks"
            estimate={64}
            tall
            render={(row: TaskRow) => (
              <Link className="line" to="/tasks/$task" params={{ task: row.task_id }}>
                <span className="stack tight">
                  <code>{row.task_id.slice(0, 12)}</code>
                  <span className="soft small">
                    <Ago at={row.created_at} />
                    {row.mine ? ", yours" : ""}
                  </span>
                </span>
                <span className="soft small num">
                  {row.round} of {row.rounds} rounds
                </span>
                <span className="small num right">
                  <Money of={row.escrow_tinybar} />
                </span>
                <Phase of={row.phase} />
              </Link>
            )}
          />
          {query.hasNextPage ? (
            <div>
              <Button variant="default" onClick={() => void query.fetchNextPage()}>
                Older ones
              </Button>
            </div>
          ) : null}
        </Card>
      )}
    </Ask>
  );
}
