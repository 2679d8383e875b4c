/** Loss and metric by round: of the model that all made, and of each trainer. */

import { Checkbox } from "@mantine/core";
import { lazy, Suspense, useMemo, useState } from "react";

import type { TaskRecord } from "../../api/client";
import { isOver } from "../../api/queries";
import { curvesOf, isShare, metricText } from "../../lib/task-view";
import { Card, Fact } from "../../ui/bits";
import type { Curve } from "../../ui/chart";

const Chart = lazy(() => import("../../ui/chart"));
const COLOURS = ["--t0", "--t1", "--t2", "--t3", "--t4", "--t5"];

export function Curves({ record }: { record: TaskRecord }) {
  const [each, setEach] = useState(true);
  const last = record.checkpoints.at(-1);
  const best = isShare(record.metric) ? Math.max : Math.min;
  const values = record.checkpoints.flatMap((checkpoint) => (checkpoint.metric === null ? [] : [checkpoint.metric]));
  const metric = capital(record.metric);
  if (!last) {
    return (
      <Card title="Progress">
        <p className="soft">{isOver(record.phase) ? "No round was finished." : record.phase === "running" ? "The first round is being trained; its loss appears here." : "Curves of loss and accuracy appear here with the first round."}</p>
      </Card>
    );
  }
  return (
    <Card title="Progress" aside={<Checkbox size="sm" label="Each trainer" checked={each} onChange={(event) => setEach(event.currentTarget.checked)} />}>
      <div className="grid facts">
        <Fact label="Loss" note={`after round ${last.round}`}>
          {last.loss === null ? "–" : last.loss.toFixed(4)}
        </Fact>
        <Fact label={metric} note="on rows kept aside">
          {metricText(record.metric, last.metric)}
        </Fact>
        <Fact label={`Best ${record.metric}`}>{values.length ? metricText(record.metric, best(...values)) : "–"}</Fact>
        <Fact label="Rounds" note={record.confirmed_round ? `${record.confirmed_round} confirmed on chain` : "none confirmed on chain yet"}>
          {last.round} of {record.rounds}
        </Fact>
      </div>
      <div className="grid">
        <Plot record={record} value="loss" title="Loss" each={each} />
        <Plot record={record} value="metric" title={metric} each={each} />
      </div>
      <Legend record={record} each={each} />
    </Card>
  );
}

function Plot({ record, value, title, each }: { record: TaskRecord; value: "loss" | "metric"; title: string; each: boolean }) {
  const { rounds, curves } = useMemo(() => {
    const found = curvesOf(record.checkpoints, value);
    const lines: Curve[] = each ? [...found.trainers].map(([name, values], index) => ({ label: name, colour: colourOf(index), values })) : [];
    return { rounds: found.rounds, curves: [...lines, { label: "all together", colour: "--accent", values: found.all, strong: true }] };
  }, [record.checkpoints, value, each]);
  return (
    <div className="stack tight">
      <h3>{title}</h3>
      <Suspense fallback={<div className="bone tall" />}>
        <Chart rounds={rounds} curves={curves} label={`${title} by round`} percent={value === "metric" && isShare(record.metric)} />
      </Suspense>
    </div>
  );
}

function Legend({ record, each }: { record: TaskRecord; each: boolean }) {
  const names = each ? [...curvesOf(record.checkpoints, "loss").trainers.keys()] : [];
  return (
    <div className="legend">
      <span>
        <i className="swatch" style={{ color: "var(--accent)" }} /> the model of all, on rows kept aside
      </span>
      {names.map((name, index) => (
        <span key={name}>
          <i className="swatch" style={{ color: `var(${colourOf(index)})` }} /> {name}, on its own rows
        </span>
      ))}
    </div>
  );
}

function colourOf(index: number): string {
  return COLOURS[index % COLOURS.length]!;
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
