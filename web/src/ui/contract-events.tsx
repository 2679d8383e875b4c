/** Events of the contract as a list, each with a link to its transaction. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { type ContractEvent, contractEvents } from "../api/contract-events";
import { useInfo } from "../api/info";
import { hbar } from "../lib/money";
import { ledgerLink, shortTransaction } from "../lib/ledger";
import { moment } from "../lib/time";
import { Card, Outside } from "./bits";
import { VirtualList } from "./virtual-list";

/** Nothing where the node does not tell events. */
export function ContractEvents({ task }: { task: string | null }) {
  const { data } = useQuery(contractEvents(task));
  const info = useInfo();
  if (!data) return null;
  return (
    <Card title="Contract" aside={<span className="soft small num">{data.length} events</span>}>
      {data.length ? (
        <VirtualList
          items={data}
          label="Events of the contract"
          estimate={60}
          tall={task === null}
          render={(event) => {
            const link = ledgerLink(info, "transaction", event.transaction);
            return (
              <div className="move two">
                <span className="stack tight">
                  <strong>{words(event.name)}</strong>
                  <span className="soft small">
                    {moment(event.at)}
                    {amounts(event)}
                    {task === null && event.task_id ? (
                      <>
                        , task{" "}
                        <Link to="/tasks/$task" params={{ task: event.task_id }}>
                          <code>{event.task_id.slice(0, 8)}</code>
                        </Link>
                      </>
                    ) : null}
                  </span>
                </span>
                <span className="small id">{link ? <Outside href={link}>{shortTransaction(event.transaction)}</Outside> : <code title={event.transaction}>{shortTransaction(event.transaction)}</code>}</span>
              </div>
            );
          }}
        />
      ) : (
        <p className="soft">The contract has said nothing yet.</p>
      )}
    </Card>
  );
}

/** `ProgressConfirmed` is read as `Progress confirmed`. */
function words(name: string): string {
  const spaced = name.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  return spaced.charAt(0).toUpperCase() + spaced.slice(1);
}

/** What of an event is money: fields whose names say so. */
function amounts({ fields }: ContractEvent): string {
  return Object.entries(fields)
    .filter(([name, value]) => /(amount|paid|refunded|escrow|stake|price|penalty)/.test(name) && typeof value === "number")
    .slice(0, 2)
    .map(([name, value]) => `, ${name.replace(/_tinybar$/, "").replaceAll("_", " ")} ${hbar(value as number)}`)
    .join("");
}
