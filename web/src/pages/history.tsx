/** Every training of this account: state, progress, cost, filters, and a file for spreadsheets. */

import { Button, SegmentedControl, TextInput } from "@mantine/core";
import { IconDownload, IconSearch } from "@tabler/icons-react";
import { useInfiniteQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useMemo, useState } from "react";

import type { TaskRow } from "../api/client";
import { isOver, tasks } from "../api/queries";
import { csv, download } from "../lib/csv";
import { hbar } from "../lib/money";
import { Ago, Card, Money, Page, Phase, phaseText } from "../ui/bits";
import { Ask, Empty } from "../ui/state";
import { VirtualList } from "../ui/virtual-list";

type Filter = "all" | "running" | "settled" | "ended";

const FILTERS: { value: Filter; label: string; takes: (row: TaskRow) => boolean }[] = [
  { value: "all", label: "All", takes: () => true },
  { value: "running", label: "Under way", takes: (row) => !isOver(row.phase) },
  { value: "settled", label: "Completed", takes: (row) => row.phase === "settled" },
  { value: "ended", label: "Ended", takes: (row) => isOver(row.phase) && row.phase !== "settled" },
];

export default function History() {
  const query = useInfiniteQuery(tasks(false));
  const [filter, setFilter] = useState<Filter>("all");
  const [text, setText] = useState("");
  const rows = useMemo(() => {
    const takes = FILTERS.find((each) => each.value === filter)!.takes;
    const wanted = text.trim().toLowerCase();
    return (query.data?.items ?? []).filter((row) => takes(row) && (!wanted || row.task_id.startsWith(wanted) || row.topic_id.includes(wanted)));
  }, [query.data, filter, text]);

  return (
    <Page
      title="My trainings"
      lead="Everything that this account has paid for, the newest first."
      actions={
        <Button variant="default" leftSection={<IconDownload size={16} />} disabled={!rows.length} onClick={() => save(rows)}>
          Export CSV
        </Button>
      }
    >
      <Ask
        query={query}
        empty={(found) =>
          found.items.length ? undefined : (
            <Empty title="No training yet" action={<Button component={Link} to="/train">Begin a training</Button>}>
              Here you will find each training with its state, what it cost, and its weights.
            </Empty>
          )
        }
      >
        {() => (
          <Card>
            <div className="row spread">
              <SegmentedControl
                data={FILTERS.map(({ value, label }) => ({ value, label }))}
                value={filter}
                onChange={(value) => setFilter(value as Filter)}
                aria-label="Which trainings"
                size="sm"
              />
              <TextInput
                aria-label="Find by task or topic"
                placeholder="Task or topic"
                leftSection={<IconSearch size={16} aria-hidden />}
                value={text}
                onChange={(event) => setText(event.currentTarget.value)}
              />
            </div>
            {rows.length ? (
              <VirtualList items={rows} label="Trainings" estimate={72} tall render={(row) => <Row row={row} />} />
            ) : (
              <p className="soft">No training fits this filter.</p>
            )}
            {query.hasNextPage ? (
              <div>
                <Button variant="default" loading={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
                  Older ones
                </Button>
              </div>
            ) : null}
          </Card>
        )}
      </Ask>
    </Page>
  );
}

function Row({ row }: { row: TaskRow }) {
  return (
    <Link className="line" to="/tasks/$task" params={{ task: row.task_id }}>
      <span className="stack tight">
        <code>{row.task_id.slice(0, 12)}</code>
        <span className="soft small">
          <Ago at={row.created_at} />, topic {row.topic_id}
        </span>
      </span>
      <span className="soft small num">
        {row.round} of {row.rounds} rounds
        <br />
        {row.trainers} {row.trainers === 1 ? "trainer" : "trainers"}
      </span>
      <span className="small num right">
        <Money of={row.escrow_tinybar} />
        <br />
        <span className="soft">at most</span>
      </span>
      <span className="right">
        <Phase of={row.phase} />
      </span>
    </Link>
  );
}

function save(rows: readonly TaskRow[]): void {
  const table = csv(
    ["task", "state", "rounds done", "rounds", "trainers", "escrow tinybar", "escrow", "topic", "created"],
    rows.map((row) => [
      row.task_id, phaseText(row.phase), row.round, row.rounds, row.trainers, row.escrow_tinybar, hbar(row.escrow_tinybar), row.topic_id,
      new Date(row.created_at * 1000).toISOString(),
    ]),
  );
  download("shoal-trainings.csv", table, "text/csv;charset=utf-8");
}
