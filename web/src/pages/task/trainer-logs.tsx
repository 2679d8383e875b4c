/** What trainers logged on the task's topic; nothing where none does. */

import { Select } from "@mantine/core";
import { useMemo, useState } from "react";

import type { LogRecord } from "../../api/client";
import { Card } from "../../ui/bits";
import { VirtualList } from "../../ui/virtual-list";

interface Line {
  who: string;
  level: string;
  text: string;
  at: number;
}

export function TrainerLogs({ log }: { log: readonly LogRecord[] }) {
  const [who, setWho] = useState<string | null>(null);
  const lines = useMemo(() => linesOf(log), [log]);
  const names = useMemo(() => [...new Set(lines.map((each) => each.who))], [lines]);
  if (!lines.length) return null;
  return (
    <Card
      title="Trainers' logs"
      aside={<Select aria-label="Whose log" placeholder="Everyone" data={names} value={who} onChange={setWho} clearable size="xs" comboboxProps={{ withinPortal: false }} />}
    >
      <VirtualList
        items={who ? lines.filter((each) => each.who === who) : lines}
        label="Lines of the trainers' logs"
        stick
        render={(line) => (
          <div className="told">
            <span className="soft small num">{new Date(line.at).toLocaleTimeString()}</span>
            <span>
              <code className="soft">{line.who}</code> <span className={/warn/i.test(line.level) ? "warn" : /err|crit/i.test(line.level) ? "bad" : ""}>{line.text}</span>
            </span>
          </div>
        )}
      />
      <p className="soft small">What a trainer writes here is its own word; times are its own clock&rsquo;s.</p>
    </Card>
  );
}

function linesOf(log: readonly LogRecord[]): Line[] {
  return log
    .filter((each) => each.kind === "log" && each.signed !== false)
    .flatMap((each) => {
      const lines = each.body?.["lines"];
      if (!Array.isArray(lines)) return [];
      return (lines as Record<string, unknown>[]).map((line) => ({
        who: each.name ?? each.payer,
        level: String(line["level"] ?? ""),
        text: String(line["text"] ?? ""),
        at: typeof line["at"] === "number" ? line["at"] * 1000 : each.at * 1000,
      }));
    });
}
