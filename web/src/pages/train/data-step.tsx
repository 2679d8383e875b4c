/** Which data: dropped or chosen, described before anything leaves the browser. */

import { Button, Select } from "@mantine/core";
import { IconFileUpload } from "@tabler/icons-react";
import { type DragEvent, useRef, useState } from "react";

import { isClasses, type Table, type Trouble, troublesOf, usualLabel } from "../../lib/dataset";
import { TEMPLATES } from "../../lib/zoo";
import { Card, Fact } from "../../ui/bits";
import { Notice } from "../../ui/state";
import type { StepProps } from "./model-step";
import { ACCEPTED, type Dropped, dropped, read } from "./read";
import { taskOf } from "./train";

export function DataStep({ draft, change, back, next }: StepProps) {
  const [wrong, setWrong] = useState<string | null>(null);
  const [busy, setBusy] = useState(false);
  const [over, setOver] = useState(false);
  const folder = useRef<HTMLInputElement>(null);

  const take = async (files: Promise<{ path: string; file: File }[]> | { path: string; file: File }[]) => {
    setBusy(true);
    setWrong(null);
    try {
      change({ data: await read(await files), label: null });
    } catch (error) {
      change({ data: null, label: null });
      setWrong(error instanceof Error ? error.message : String(error));
    } finally {
      setBusy(false);
    }
  };
  const chosen = (list: FileList | null) => [...(list ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file }));
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void take(dropped(event.dataTransfer));
  };

  const { data } = draft;
  const table = data?.described.kind === "table" ? data.described : null;
  const label = table ? (draft.label ?? usualLabel(table)) : null;
  const troubles = table && label ? troublesOf(table, label) : [];
  const misfit = misfitOf(draft);
  const fatal = troubles.some((each) => each.fatal) || misfit !== null;
  return (
    <Card title="What shall it learn from?">
      <label className={`drop${over ? " over" : ""}`} onDragOver={(event) => (event.preventDefault(), setOver(true))} onDragLeave={() => setOver(false)} onDrop={drop}>
        <IconFileUpload size={28} stroke={1.5} aria-hidden />
        <strong>{data ? data.name : "Drop a CSV, Parquet or NPZ file here, or a folder of images"}</strong>
        <span className="soft small">{busy ? "Reading …" : data ? "Drop or choose another to replace it" : "or press to choose a file"}</span>
        <input type="file" accept={ACCEPTED} aria-label="Data file" onChange={(event) => void take(chosen(event.currentTarget.files))} />
      </label>
      <div className="row spread">
        <p className="soft small">Nothing leaves this page yet. Hired trainers will see the pieces that they train on.</p>
        <Button variant="subtle" size="xs" onClick={() => folder.current?.click()}>
          Choose a folder of images
        </Button>
        <input
          ref={(element) => {
            folder.current = element;
            element?.setAttribute("webkitdirectory", "");
          }}
          type="file"
          hidden
          aria-hidden
          tabIndex={-1}
          onChange={(event) => void take(chosen(event.currentTarget.files))}
        />
      </div>
      {wrong ? (
        <Notice kind="bad" title="This cannot be used">
          <p>{wrong}</p>
        </Notice>
      ) : null}
      {table && label ? (
        <>
          <Select
            label="What shall it predict?"
            description="The column that the model learns to tell from the others"
            data={table.columns.map((each) => each.name)}
            value={label}
            onChange={(value) => change({ label: value })}
            allowDeselect={false}
            searchable
            className="narrow"
          />
          <TableFacts table={table} label={label} />
        </>
      ) : null}
      {data ? <FileFacts data={data} /> : null}
      {misfit ? (
        <Notice kind="warn" title="Model and data do not fit">
          <p>{misfit}</p>
        </Notice>
      ) : null}
      <Troubles troubles={troubles} />
      <div className="row">
        <Button variant="default" onClick={back}>
          Back
        </Button>
        <Button onClick={next} disabled={!data || fatal}>
          Next: plan
        </Button>
      </div>
    </Card>
  );
}

/** What a folder of images or a file that only the node can read shows of itself. */
function FileFacts({ data }: { data: Dropped }) {
  const { described } = data;
  if (described.kind === "opaque") {
    return <p className="soft">{(described.bytes / 2 ** 20).toFixed(1)} MiB. Your node will look into it and tell what it found with the price.</p>;
  }
  if (described.kind !== "images") return null;
  return (
    <div className="grid facts">
      <Fact label="Images">{described.files.toLocaleString()}</Fact>
      <Fact label="Classes" note={[...described.classes.keys()].slice(0, 6).join(", ")}>
        {described.classes.size}
      </Fact>
      <Fact label="Size" note={`${described.channels} ${described.channels === 1 ? "channel" : "channels"}`}>
        {described.width} × {described.height}
      </Fact>
    </div>
  );
}

function Troubles({ troubles }: { troubles: readonly Trouble[] }) {
  if (!troubles.length) return null;
  const fatal = troubles.some((each) => each.fatal);
  return (
    <Notice kind={fatal ? "bad" : "warn"} title={fatal ? "The node would refuse this" : "Worth a look"}>
      <ul>
        {troubles.slice(0, 8).map((each) => (
          <li key={each.text}>{each.text}.</li>
        ))}
        {troubles.length > 8 ? <li>and {troubles.length - 8} more.</li> : null}
      </ul>
    </Notice>
  );
}

function misfitOf(draft: StepProps["draft"]): string | null {
  if (draft.model.kind !== "template" || !draft.data) return null;
  const task = taskOf(draft);
  if (!task) return "A ready model is made to fit a CSV table or a folder of images, which this page can read. For other files bring a model of your own.";
  const { name, fits } = TEMPLATES[draft.model.template];
  if (!fits(task)) return `${name} is for ${draft.model.template === "cnn" ? "images" : "tables"}. Go back and choose another.`;
  return null;
}

function TableFacts({ table, label }: { table: Table; label: string }) {
  const column = table.columns.find((each) => each.name === label)!;
  const classes = isClasses(column) ? [...column.values!] : null;
  return (
    <div className="grid facts">
      <Fact label="Rows">{table.rows.toLocaleString()}</Fact>
      <Fact label="Columns to learn from">{table.columns.length - 1}</Fact>
      {classes ? (
        <Fact
          label="Classes"
          note={classes
            .slice(0, 5)
            .map(([name, count]) => `${name}: ${count}`)
            .join(", ")}
        >
          {classes.length}
        </Fact>
      ) : (
        <Fact label="A number is predicted" note={`from ${column.minimum} to ${column.maximum}`}>
          {label}
        </Fact>
      )}
    </div>
  );
}
