/** Where the escrow is: earned, still reserved, coming back. */

import type { TaskRecord } from "../../api/client";
import { isOver } from "../../api/queries";
import { moneyOf } from "../../lib/task-view";
import { Card, Money } from "../../ui/bits";

export function MoneyCard({ record }: { record: TaskRecord }) {
  const view = moneyOf(record);
  const over = isOver(record.phase);
  const { money } = record;
  const parts = [
    { key: "earned", text: over ? "Paid to trainers" : "Earned by trainers", amount: view.earned },
    { key: "open", text: "Reserved for work to come", amount: view.reserved },
    { key: "back", text: over ? "Came back to you" : "Comes back to you", amount: view.back },
  ];
  return (
    <Card title="Money">
      <div className="bar" role="img" aria-label={parts.map((part) => `${part.text}: ${part.amount} tinybar`).join(", ")}>
        {parts.map((part) => (
          <i key={part.key} className={part.key} style={{ width: `${view.escrow ? (part.amount / view.escrow) * 100 : 0}%` }} />
        ))}
      </div>
      <dl className="sums">
        {parts.map((part) =>
          over && part.key === "open" ? null : (
            <div key={part.key}>
              <dt>
                <i className={`key ${part.key}`} /> {part.text}
              </dt>
              <dd>
                <Money of={part.amount} />
              </dd>
            </div>
          ),
        )}
        <div className="total">
          <dt>Escrow, the worst case</dt>
          <dd>
            <Money of={view.escrow} />
          </dd>
        </div>
      </dl>
      <p className="soft small">
        {money.unit_price_tinybar ? (
          <>
            Price for a chunk in a round: <Money of={money.unit_price_tinybar} />, you accepted up to <Money of={money.max_unit_price_tinybar} />.
          </>
        ) : (
          <>
            You {over ? "accepted" : "accept"} up to <Money of={money.max_unit_price_tinybar} /> for a chunk in a round.{over ? "" : " Until training starts you can cancel."}
          </>
        )}{" "}
        Hedera&rsquo;s fees are apart, under Payments.
      </p>
    </Card>
  );
}
