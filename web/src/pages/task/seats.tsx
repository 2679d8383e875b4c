/** Who trains: seats with their chunks, work and pay, and each trainer's own record of rounds. */

import { UnstyledButton } from "@mantine/core";
import { IconChevronDown, IconChevronRight } from "@tabler/icons-react";
import { Fragment, useState } from "react";

import type { TaskRecord } from "../../api/client";
import { metricText } from "../../lib/task-view";
import { span } from "../../lib/time";
import { Card, Money, Pill } from "../../ui/bits";

type Seat = TaskRecord["seats"][number];

export function Seats({ record }: { record: TaskRecord }) {
  const [open, setOpen] = useState<string | null>(null);
  if (!record.seats.length) return null;
  return (
    <Card title="Trainers">
      <div className="table-box" role="region" aria-label="Trainers" tabIndex={0}>
        <table>
          <thead>
            <tr>
              <th>Trainer</th>
              <th>State</th>
              <th className="roomy">Chunks</th>
              <th className="right">Work done</th>
              <th className="right">{record.phase === "settled" ? "Paid" : "Earned"}</th>
            </tr>
          </thead>
          <tbody>
            {record.seats.map((seat) => (
              <Fragment key={seat.trainer}>
                <tr>
                  <td>
                    <UnstyledButton className="row together" aria-expanded={open === seat.trainer} onClick={() => setOpen(open === seat.trainer ? null : seat.trainer)}>
                      {open === seat.trainer ? <IconChevronDown size={16} aria-hidden /> : <IconChevronRight size={16} aria-hidden />}
                      <code>{seat.name}</code>
                    </UnstyledButton>
                  </td>
                  <td>
                    <SeatState seat={seat} record={record} />
                  </td>
                  <td className="num roomy">{seat.chunks.length ? seat.chunks.join(", ") : "none"}</td>
                  <td className="right num nowrap">
                    {seat.units_done} {seat.units_done === 1 ? "unit" : "units"}
                    {seat.aggregates_done ? `, ${seat.aggregates_done} avg.` : ""}
                  </td>
                  <td className="right">
                    <Money of={earned(seat, record)} />
                  </td>
                </tr>
                {open === seat.trainer ? (
                  <tr>
                    <td colSpan={5}>
                      <Own seat={seat} record={record} />
                    </td>
                  </tr>
                ) : null}
              </Fragment>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

function SeatState({ seat, record }: { seat: Seat; record: TaskRecord }) {
  if (seat.lost) {
    return (
      <span title={seat.lost}>
        <Pill tone="warn">lost its seat</Pill>
      </span>
    );
  }
  if (!seat.ready) return <Pill>verifying data</Pill>;
  if (record.current?.aggregator === seat.trainer && !record.current.waiting_for.length) return <Pill tone="live">averaging</Pill>;
  if (record.phase === "running" && seat.chunks.some((chunk) => record.current?.waiting_for.includes(chunk))) return <Pill tone="live">training</Pill>;
  return <Pill tone="good">{record.phase === "running" ? "delivered" : record.phase === "settled" ? "done" : "ready"}</Pill>;
}

function earned(seat: Seat, record: TaskRecord): number {
  return seat.paid_tinybar ?? seat.units_done * record.money.unit_price_tinybar + seat.aggregates_done * record.money.aggregate_price_tinybar;
}

function Own({ seat, record }: { seat: Seat; record: TaskRecord }) {
  const rows = record.checkpoints.flatMap((checkpoint) => checkpoint.updates.filter((update) => update.trainer === seat.trainer).map((update) => ({ round: checkpoint.round, ...update })));
  return (
    <div className="sunk stack">
      {seat.lost ? <p className="warn">Lost its seat: {seat.lost}. Its backup trains its chunks.</p> : null}
      {seat.penalty_tinybar ? (
        <p className="warn">
          Penalty: <Money of={seat.penalty_tinybar} />
        </p>
      ) : null}
      {rows.length ? (
        <div className="table-box inner" role="region" aria-label={`Updates of ${seat.name}`} tabIndex={0}>
          <table>
            <thead>
              <tr>
                <th>Round</th>
                <th>Chunk</th>
                <th className="right">Rows</th>
                <th className="right">Loss</th>
                <th className="right">{record.metric}</th>
                <th className="right">Training</th>
              </tr>
            </thead>
            <tbody>
              {rows.slice(-100).map((row) => (
                <tr key={`${row.round}-${row.chunk}`} className="num">
                  <td>{row.round}</td>
                  <td>{row.chunk}</td>
                  <td className="right">{row.samples}</td>
                  <td className="right">{row.loss?.toFixed(4) ?? "–"}</td>
                  <td className="right">{metricText(record.metric, row.metric)}</td>
                  <td className="right nowrap">{span(row.seconds)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      ) : (
        <p className="soft">No update of it is in a checkpoint yet.</p>
      )}
    </div>
  );
}
