/** What is waited for now, and for how long at most. */

import type { TaskRecord } from "../../api/client";
import { countdownOf } from "../../lib/task-view";
import { span } from "../../lib/time";
import { Card, useNow } from "../../ui/bits";

export function CountdownCard({ record, fetchedAt }: { record: TaskRecord; fetchedAt: number }) {
  const local = useNow(500);
  const found = countdownOf(record);
  if (!found) return null;
  // Consensus time is the only clock that counts; ours only tells how long ago it was read.
  const now = record.now + Math.max(0, local - fetchedAt / 1000);
  const left = found.at - now;
  const share = Math.min(1, Math.max(0, (now - found.since) / Math.max(1, found.at - found.since)));
  return (
    <Card
      title={found.text}
      aside={
        <span className="big num" role="timer">
          {left > 0 ? span(Math.ceil(left)) : "any moment"}
        </span>
      }
    >
      <div className="bar" aria-hidden>
        <i className="earned" style={{ width: `${share * 100}%` }} />
      </div>
      <p className="soft small">{left > 0 ? `At most; ${found.then}.` : "The deadline has passed; the ledger is being read."}</p>
    </Card>
  );
}
