/** The task's log as it lies on the ledger: every message, who signed it, and where anyone can see it. */

import { Button, Select } from "@mantine/core";
import { useMemo, useState } from "react";

import type { LogRecord, TaskRecord } from "../../api/client";
import { useInfo } from "../../api/info";
import { ledgerLink } from "../../lib/ledger";
import { clock } from "../../lib/time";
import { Card, Outside, Pill } from "../../ui/bits";
import { VirtualList } from "../../ui/virtual-list";

export function LogCard({ record, log, more }: { record: TaskRecord; log: readonly LogRecord[]; more: (() => void) | null }) {
  const info = useInfo();
  const [who, setWho] = useState<string | null>(null);
  const names = useMemo(() => [...new Set(log.map((each) => each.name ?? each.payer))], [log]);
  const shown = useMemo(() => (who ? log.filter((each) => (each.name ?? each.payer) === who) : log), [log, who]);
  const topic = ledgerLink(info, "topic", record.topic_id);
  return (
    <Card
      title="Ledger"
      aside={<span className="soft small">topic {topic ? <Outside href={topic}>{record.topic_id}</Outside> : <code>{record.topic_id}</code>}</span>}
    >
      <div className="row spread">
        <p className="soft small">Every message that steered this training, as the ledger keeps it.</p>
        <Select aria-label="Whose messages" placeholder="Everyone" data={names} value={who} onChange={setWho} clearable size="sm" comboboxProps={{ withinPortal: false }} />
      </div>
      {shown.length ? (
        <VirtualList
          items={shown}
          label="Messages on the ledger"
          estimate={44}
          render={(each) => (
            <div className="entry">
              <span className="soft num small">#{each.sequence_number}</span>
              <span className="row">
                <strong>{KINDS[each.kind] ?? each.kind}</strong>
                <span className="soft small">
                  {each.name ?? each.payer}, {each.size_bytes} bytes
                </span>
              </span>
              <span className="soft num small">{clock(each.at - record.created_at)}</span>
              {each.signed === false ? <Pill tone="bad">not signed by its author</Pill> : each.signed ? <Pill tone="good">signed</Pill> : <Pill>{each.kind === "bid" ? "sealed" : "unsigned"}</Pill>}
            </div>
          )}
        />
      ) : (
        <p className="soft">No message yet.</p>
      )}
      {more ? (
        <div>
          <Button variant="default" size="xs" onClick={more}>
            More messages
          </Button>
        </div>
      ) : null}
    </Card>
  );
}

const KINDS: Record<string, string> = {
  manifest: "Manifest",
  bid: "Sealed bid",
  award: "Award",
  assign: "Who trains what",
  envelope: "Envelope",
  ready: "Ready",
  update: "Update",
  void: "Cannot be trained",
  checkpoint: "Checkpoint",
  result: "Result",
  log: "Log lines",
  verdict: "Verdict",
  unreadable: "Unreadable",
};
