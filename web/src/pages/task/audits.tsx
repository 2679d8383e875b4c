/** Audits and what came of them, as the story tells; nothing for a task without any. */

import type { Story, Told } from "../../api/stream";
import { clock } from "../../lib/time";
import { Card, Pill } from "../../ui/bits";
import { VirtualList } from "../../ui/virtual-list";

const KINDS = new Set(["drawn", "audited", "audits_paid", "accused", "jury", "ruling", "slashed"]);

export function Audits({ story }: { story: Story }) {
  const found = story.events.filter((told) => KINDS.has(told.event));
  if (!found.length) return null;
  const audited = found.filter((told) => told.event === "audited");
  return (
    <Card title="Audits and verdicts" aside={<span className="soft small num">{audited.length} {audited.length === 1 ? "audit" : "audits"}</span>}>
      <VirtualList
        items={found}
        label="Audits and verdicts"
        render={(told) => (
          <div className="told with-pill">
            <span className="soft num small">{clock(told.at_s)}</span>
            <span>{told.text}</span>
            {verdict(told)}
          </div>
        )}
      />
    </Card>
  );
}

function verdict(told: Told) {
  const { finding, ruling } = told as { finding?: string; ruling?: string };
  if (finding === "ok") return <Pill tone="good">equal</Pill>;
  if (finding) return <Pill tone={finding === "lapsed" ? "warn" : "bad"}>{finding}</Pill>;
  if (ruling) return <Pill tone={ruling === "upheld" ? "bad" : ""}>{ruling}</Pill>;
  return told.event === "slashed" ? <Pill tone="bad">slashed</Pill> : <span />;
}
