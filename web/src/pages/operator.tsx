/** For whoever keeps the node running: is it ready, what does it drive, what does not get on. */

import { useInfiniteQuery, useQueries, useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { asProblem } from "../api/problem";
import { isOver, mesh as meshQuery, readiness, task as taskQuery, tasks as tasksQuery } from "../api/queries";
import { useInfo } from "../api/info";
import { Card, Fact, Id, Page, Phase, Pill } from "../ui/bits";
import { Ask, ProblemNotice } from "../ui/state";

const CHECKS: Record<string, string> = { ledger: "The ledger answers", tasks: "Tasks of before are driven again" };

export default function Operator() {
  const ready = useQuery(readiness);
  const mesh = useQuery(meshQuery);
  const info = useInfo();
  return (
    <Page title="Operator" lead="How this node is, and what needs a hand.">
      <div className="grid stretch">
        <Card title="Health">
          <Ask query={ready}>
            {(found) => (
              <ul className="plain-list">
                <li className="row spread">
                  The process answers <Pill tone="good">yes</Pill>
                </li>
                {Object.entries(found.checks).map(([name, well]) => (
                  <li key={name} className="row spread">
                    {CHECKS[name] ?? name} <Pill tone={well ? "good" : "bad"}>{well ? "yes" : "no"}</Pill>
                  </li>
                ))}
              </ul>
            )}
          </Ask>
        </Card>
        <Card title="This node">
          <Ask query={mesh}>
            {(found) => (
              <dl className="pairs">
                <dt>Peer</dt>
                <dd>
                  <Id of={found.peer_id} label="the peer id" />
                </dd>
                <dt>Listens on</dt>
                <dd className="mono small">{found.addresses.join(", ") || "nothing"}</dd>
                <dt>Peers</dt>
                <dd className="num">
                  {found.connected} connected, {found.known} known
                </dd>
                <dt>Roles around</dt>
                <dd>
                  {Object.entries(found.roles)
                    .map(([role, count]) => `${count} ${role}`)
                    .join(", ") || "none"}
                </dd>
                {info ? (
                  <>
                    <dt>Version</dt>
                    <dd>{info.version}</dd>
                  </>
                ) : null}
              </dl>
            )}
          </Ask>
        </Card>
      </div>
      <Queue />
      <Card title="Settings and checks">
        <p className="soft">
          The node&rsquo;s settings, each with where it came from, are shown by <code>shoal config show</code>; <code>shoal doctor</code> looks at clock, ports,
          disk, sandbox, ledger, storage and keys, and says what to do. Both run on the machine of the node, since they tell things that no web page should hold.
        </p>
      </Card>
    </Page>
  );
}

/** Tasks that this node does the client's part of, and why one does not get on. */
function Queue() {
  const query = useInfiniteQuery(tasksQuery(false));
  const live = (query.data?.items ?? []).filter((row) => !isOver(row.phase)).slice(0, 20);
  const records = useQueries({ queries: live.map((row) => taskQuery(row.task_id)) });
  const troubles = records.flatMap((each) => (each.data?.trouble ? [each.data] : []));
  return (
    <Card title="Work under way">
      <Ask query={query}>
        {(found) => (
          <>
            <div className="grid facts">
              <Fact label="Under way">{found.items.filter((row) => !isOver(row.phase)).length}</Fact>
              <Fact label="In trouble">{troubles.length}</Fact>
              <Fact label="Over">{found.items.filter((row) => isOver(row.phase)).length}</Fact>
            </div>
            {live.length ? (
              <div className="table-box" role="region" aria-label="Work under way" tabIndex={0}>
                <table>
                  <thead>
                    <tr>
                      <th>Task</th>
                      <th>State</th>
                      <th>Round</th>
                      <th>Trouble</th>
                    </tr>
                  </thead>
                  <tbody>
                    {live.map((row, index) => {
                      const trouble = records[index]?.data?.trouble as { code?: string; message?: string; error?: string } | null | undefined;
                      return (
                        <tr key={row.task_id}>
                          <td>
                            <Link to="/tasks/$task" params={{ task: row.task_id }}>
                              <code>{row.task_id.slice(0, 12)}</code>
                            </Link>
                          </td>
                          <td>
                            <Phase of={row.phase} />
                          </td>
                          <td className="num">
                            {row.round} of {row.rounds}
                          </td>
                          <td>{trouble ? <span className="warn">{`${trouble.code ?? ""} ${trouble.message ?? trouble.error ?? ""}`}</span> : "none"}</td>
                        </tr>
                      );
                    })}
                  </tbody>
                </table>
              </div>
            ) : (
              <p className="soft">Nothing is under way.</p>
            )}
            {records.map((each, index) => (each.error ? <ProblemNotice key={live[index]!.task_id} problem={asProblem(each.error)} stale /> : null))}
          </>
        )}
      </Ask>
    </Card>
  );
}
