/** A finished training, recorded from a real network: to be looked at without a wallet, a node or a cent. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import type { LogRecord, Peer, TaskRecord } from "../api/client";
import type { Told } from "../api/stream";
import { Ask, Notice } from "../ui/state";
import { TaskView } from "./task/view";

export default function Example() {
  const query = useQuery({ queryKey: ["example"], queryFn: load, staleTime: Infinity });
  return (
    <div className="stack wide">
      <Notice title="A recording of a real training">
        <p>
          Four trainers on a local network trained a small model to tell three kinds of plants apart. Everything below is as the ledger and the node told it. <Link to="/train">Begin your own</Link>
        </p>
      </Notice>
      <Ask query={query}>
        {({ record, events, log, peers, me }) => (
          <TaskView
            recorded
            record={record}
            fetchedAt={Date.now()}
            problem={null}
            story={{ events, line: { state: "ended" }, heardAt: null }}
            log={log}
            more={null}
            peers={peers}
            myPeer={me}
          />
        )}
      </Ask>
    </div>
  );
}

async function load() {
  const [record, events, log, peers, mesh] = await Promise.all([
    import("../recorded/task-settled.json"),
    import("../recorded/events.json"),
    import("../recorded/log.json"),
    import("../recorded/peers.json"),
    import("../recorded/mesh.json"),
  ]);
  return {
    record: record.default as unknown as TaskRecord,
    events: events.default as unknown as Told[],
    log: log.default.items as unknown as LogRecord[],
    peers: peers.default.items as unknown as Peer[],
    me: mesh.default.peer_id,
  };
}
