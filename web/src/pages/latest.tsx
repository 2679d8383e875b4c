/** This account's latest trainings, for whoever comes back; nothing for whoever has none. */

import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { isOver, tasks } from "../api/queries";
import { Ago, Card, Phase } from "../ui/bits";

export function LatestTasks() {
  const { data } = useInfiniteQuery(tasks(false));
  if (!data?.items.length) return null;
  return (
    <Card title="Your latest trainings" aside={<Link to="/tasks">All of them</Link>}>
      <ul className="plain-list">
        {data.items.slice(0, 3).map((row) => (
          <li key={row.task_id} className="row spread">
            <span className="row">
              <Link to="/tasks/$task" params={{ task: row.task_id }}>
                <code>{row.task_id.slice(0, 8)}</code>
              </Link>
              <span className="soft small">
                {isOver(row.phase) ? `${row.rounds} rounds` : `round ${Math.min(row.round + 1, row.rounds)} of ${row.rounds}`}, <Ago at={row.created_at} />
              </span>
            </span>
            <Phase of={row.phase} />
          </li>
        ))}
      </ul>
    </Card>
  );
}
