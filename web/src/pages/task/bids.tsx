/** Bids and the price that came of them. */

import { useQuery } from "@tanstack/react-query";

import { openedBids } from "../../api/bids";
import type { TaskRecord } from "../../api/client";
import { useHasToken } from "../../api/session";
import { accountText } from "../../lib/ledger";
import { Card, Money, Pill } from "../../ui/bits";

export function Bids({ record, recorded }: { record: TaskRecord; recorded: boolean }) {
  const connected = useHasToken();
  const { data: opened } = useQuery({ ...openedBids(record.task_id, connected), enabled: !recorded && record.mine && connected });
  const prices = new Map(opened?.map((bid) => [bid.trainer, bid]));
  const { bids, award, money } = record;
  const names = new Map(record.seats.map((seat) => [seat.trainer, seat.name]));
  const awarded = new Map(award.map((leaf) => [String(leaf["trainer"]), leaf]));
  return (
    <Card title="Bids" aside={<span className="soft small">{bids.length}</span>}>
      {bids.length ? (
        <ul className="plain-list">
          {bids.map((bid) => {
            const leaf = awarded.get(bid.trainer);
            return (
              <li key={bid.commitment} className="row spread">
                <span className="stack tight">
                  <code title={bid.trainer}>{names.get(bid.trainer) ?? accountText(bid.trainer)}</code>
                  {prices.has(bid.trainer) ? (
                    <span className="soft small">
                      asked <Money of={prices.get(bid.trainer)!.unit_price_tinybar} />, for up to {prices.get(bid.trainer)!.units} {prices.get(bid.trainer)!.units === 1 ? "chunk" : "chunks"}
                    </span>
                  ) : null}
                </span>
                {leaf ? (
                  <Pill tone={leaf["rank"] === 0 ? "good" : ""}>{leaf["rank"] === 0 ? `won, ${String(leaf["units"])} ${leaf["units"] === 1 ? "chunk" : "chunks"}` : `standby ${String(leaf["rank"])}`}</Pill>
                ) : (
                  <Pill>{award.length ? "not chosen" : "sealed"}</Pill>
                )}
              </li>
            );
          })}
        </ul>
      ) : (
        <p className="soft small">{record.phase === "open" ? "Trainers look at the model and time a step before they bid. Bids appear here as they come." : "Nobody bid."}</p>
      )}
      <p className="soft small">
        {money.unit_price_tinybar ? (
          <>
            All are paid one price: <Money of={money.unit_price_tinybar} /> for a chunk in a round.
          </>
        ) : (
          record.phase === "open" && "Bids are sealed until the deadline, so nobody can look and undercut."
        )}
      </p>
    </Card>
  );
}
