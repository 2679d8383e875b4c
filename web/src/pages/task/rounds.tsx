/** The rounds as a row of bars, and the one under way. */

import type { TaskRecord } from "../../api/client";
import { Card } from "../../ui/bits";
import { span } from "../../lib/time";

export function Rounds({ record }: { record: TaskRecord }) {
  const { current, checkpoints } = record;
  if (!checkpoints.length && !current) return null;
  const total = current ? current.delivered.length + current.waiting_for.length : 0;
  const walls = checkpoints.map((each) => each.wall_s);
  const mean = walls.length ? walls.reduce((sum, wall) => sum + wall, 0) / walls.length : 0;
  const overhead = walls.length ? checkpoints.reduce((sum, each) => sum + each.overhead_s, 0) / walls.length : 0;
  return (
    <Card title="Rounds" aside={walls.length ? <span className="soft small">{span(mean)} each, of it {span(overhead)} without training</span> : null}>
      <ol className="rounds" aria-label="Rounds">
        {Array.from({ length: record.rounds }, (_, index) => {
          const round = index + 1;
          const done = checkpoints.some((each) => each.round === round);
          const now = current?.round === round && !done;
          const share = now && total ? current.delivered.length / total : 0;
          const text = done ? (round <= record.confirmed_round ? "confirmed on chain" : "done") : now ? `${current.delivered.length} of ${total} updates are in` : "to come";
          return (
            <li key={round} className={done ? (round <= record.confirmed_round ? "confirmed" : "done") : ""} title={`Round ${round}: ${text}`}>
              {now ? <i style={{ height: `${Math.max(6, share * 100)}%` }} /> : null}
              <span className="sr">{`Round ${round}: ${text}`}</span>
            </li>
          );
        })}
      </ol>
      <div className="legend">
        <span>
          <i className="key earned" /> confirmed on chain
        </span>
        <span>
          <i className="key open" /> done
        </span>
        {current ? (
          <span>
            now round {current.round}: {current.delivered.length} of {total} updates are in
            {current.void.length ? `, ${current.void.length} cannot be trained` : ""}
          </span>
        ) : null}
      </div>
    </Card>
  );
}
