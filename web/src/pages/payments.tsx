/** Every movement of this account's money, and whether the sum is what the ledger says. */

import { Button } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { useMemo } from "react";

import { ledgerLink, shortTransaction } from "../lib/ledger";
import { csv, download } from "../lib/csv";
import type { Line } from "../lib/payments";
import { hbar } from "../lib/money";
import { moment } from "../lib/time";
import { Card, Fact, Money, Outside, Page } from "../ui/bits";
import { Ask, Empty, Notice } from "../ui/state";
import { VirtualList } from "../ui/virtual-list";
import { useAccount } from "./use-account";

export default function Payments() {
  const { info, query, account, lines, totals, complete, balance } = useAccount();
  const newest = useMemo(() => lines.toReversed(), [lines]);
  return (
    <Page
      title="Payments"
      lead={account ? `Every transaction that moved money of account ${account}, as the ledger has it.` : "Every transaction that moved this account's money."}
      actions={
        <Button variant="default" leftSection={<IconDownload size={16} />} disabled={!lines.length} onClick={() => save(lines)}>
          Export CSV
        </Button>
      }
    >
      <Ask query={query} empty={(found) => (found.items.length ? undefined : <Empty title="No money has moved yet">What you pay and what comes back will stand here, each with its transaction.</Empty>)}>
        {() => (
          <>
            <Card>
              <div className="grid facts">
                <Fact label="Received">
                  <Money of={totals.received} />
                </Fact>
                <Fact label="Paid out">
                  <Money of={totals.paid} />
                </Fact>
                <Fact label="Hedera's fees">
                  <Money of={totals.fees} />
                </Fact>
                <Fact label="Balance by these lines">
                  <Money of={totals.balance} />
                </Fact>
              </div>
              <Reconciled complete={complete} sum={totals.balance} balance={balance} />
            </Card>
            <Card title="Movements" aside={<span className="soft small num">{lines.length}</span>}>
              <VirtualList
                items={newest}
                label="Movements"
                estimate={64}
                tall
                render={(line) => {
                  const link = ledgerLink(info, "transaction", line.transaction);
                  return (
                    <div className="move">
                      <span className="stack tight">
                        <strong>{line.what}</strong>
                        <span className="soft small">
                          {moment(line.at)}
                          {line.others.length ? `, with ${line.others.slice(0, 3).join(", ")}${line.others.length > 3 ? ` and ${line.others.length - 3} more` : ""}` : ""}
                        </span>
                      </span>
                      <span className="small id">{link ? <Outside href={link}>{shortTransaction(line.transaction)}</Outside> : <code title={line.transaction}>{shortTransaction(line.transaction)}</code>}</span>
                      <span className="right stack tight">
                        <strong className={line.net > 0 ? "good" : ""}>{line.net ? <Money of={line.net} sign /> : "fee only"}</strong>
                        <span className="soft small">{line.fee ? <>fee <Money of={line.fee} /></> : "no fee for you"}</span>
                      </span>
                    </div>
                  );
                }}
              />
            </Card>
          </>
        )}
      </Ask>
    </Page>
  );
}

function Reconciled({ complete, sum, balance }: { complete: boolean; sum: number; balance: number | null }) {
  if (!complete) return <p className="soft">Older movements are still being read.</p>;
  if (balance === null) return <p className="soft small">The ledger&rsquo;s own balance cannot be read from this page, so the sum is not compared with it.</p>;
  if (balance === sum) {
    return (
      <Notice kind="good" title="Reconciled">
        <p>The sum of all lines is the account&rsquo;s balance at the mirror node, to the tinybar: {hbar(balance)}.</p>
      </Notice>
    );
  }
  return (
    <Notice kind="warn" title="Not equal at this moment">
      <p>
        The mirror node says {hbar(balance)}, the lines add up to {hbar(sum)}. While transactions are under way the two differ for some seconds.
      </p>
    </Notice>
  );
}

function save(lines: readonly Line[]): void {
  const table = csv(
    ["time", "transaction", "what", "result", "change tinybar", "fee tinybar", "without fee tinybar", "balance tinybar", "others"],
    lines.map((line) => [new Date(line.at * 1000).toISOString(), line.transaction, line.what, line.result, line.change, line.fee, line.net, line.balance, line.others.join(" ")]),
  );
  download("shoal-payments.csv", table, "text/csv;charset=utf-8");
}
