/** Which data: dropped, read and described by a worker of this page. Nothing leaves the browser in clear. */

import { Button, SegmentedControl, Select } from "@mantine/core";
import { IconFileUpload } from "@tabler/icons-react";
import { type DragEvent, useRef, useState } from "react";

import { asProblem } from "../../../api/problem";
import type { Description } from "../../../market";
import { market } from "../../../tab/desk";
import { Card, Fact } from "../../../ui/bits";
import { Notice, ProblemNotice } from "../../../ui/state";
import type { TabDraft, TabStep } from "./train";

export function DataStep({ draft, change, back, next }: TabStep) {
  const [wrong, setWrong] = useState<unknown>(null);
  const [busy, setBusy] = useState(false);
  const [over, setOver] = useState(false);
  const stop = useRef<AbortController | null>(null);
  const read = async (file: File, part: Partial<Pick<TabDraft, "label" | "predict">>) => {
    const { label, predict } = { ...draft, ...part };
    stop.current?.abort();
    const mine = (stop.current = new AbortController());
    setBusy(true);
    setWrong(null);
    change({ ...part, file, found: null });
    try {
      const found = await (await market()).readData(file, { label, target: predict }, mine.signal);
      if (!mine.signal.aborted) change({ found });
    } catch (error) {
      if (!mine.signal.aborted) setWrong(error);
    } finally {
      if (stop.current === mine) setBusy(false);
    }
  };
  const take = (file: File | undefined) => void (file && read(file, { label: null }));
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer.files[0]);
  };
  const { file, found } = draft;
  const misfit = found ? misfitOf(draft, found.description) : null;
  return (
    <Card title="What shall it learn from?">
      <label className={`drop${over ? " over" : ""}`} onDragOver={(event) => (event.preventDefault(), setOver(true))} onDragLeave={() => setOver(false)} onDrop={drop}>
        <IconFileUpload size={28} stroke={1.5} aria-hidden />
        <strong>{file ? file.name : "Drop a CSV or NPZ file here"}</strong>
        <span className="soft small" role="status">
          {busy ? "Reading …" : file ? "Drop or choose another to replace it" : "or press to choose a file"}
        </span>
        <input type="file" accept=".csv,.npz" aria-label="Data file" onChange={(event) => take(event.currentTarget.files?.[0])} />
      </label>
      <p className="soft small">
        Read here, in this browser. What is uploaded later is encrypted first; only hired trainers can open the pieces that they train on. Parquet and folders of images go through a node of your own.
      </p>
      <div className="row">
        <span className="small" id="predict">
          It predicts
        </span>
        <SegmentedControl
          aria-labelledby="predict"
          data={[{ value: "classes", label: "a class" }, { value: "values", label: "a number" }]}
          value={draft.predict}
          onChange={(value) => {
            const predict = value as TabDraft["predict"];
            if (file) void read(file, { predict });
            else change({ predict });
          }}
        />
      </div>
      {wrong ? <ProblemNotice problem={asProblem(wrong)} /> : null}
      {found && file ? <Facts description={found.description} pick={(label) => void read(file, { label })} /> : null}
      {misfit ? (
        <Notice kind="warn" title="Model and data do not fit">
          <p>{misfit}</p>
        </Notice>
      ) : null}
      <div className="row">
        <Button variant="default" onClick={back}>
          Back
        </Button>
        <Button onClick={next} disabled={!found || misfit !== null}>
          Next: plan
        </Button>
      </div>
    </Card>
  );
}

function Facts({ description: found, pick }: { description: Description; pick: (label: string) => void }) {
  const { columns, label, classCount, classes, values, range, shape } = found;
  const listed = classes.slice(0, 5).map(([name, count]) => `${name}: ${count}`);
  return (
    <>
      {columns ? (
        <Select
          label="What shall it predict?"
          description="The column that the model learns to tell from the others"
          data={[...new Set([label, ...columns])]}
          value={label}
          onChange={(value) => value && pick(value)}
          allowDeselect={false}
          searchable
          className="narrow"
        />
      ) : null}
      <div className="grid facts">
        <Fact label="Rows">{found.rows.toLocaleString()}</Fact>
        <Fact label="One row" note={`${rounded(range[0])} to ${rounded(range[1])}`}>
          {shape.join(" × ") || "1"} {shape.join() === "1" ? "number" : "numbers"}
        </Fact>
        {classCount ? (
          <Fact label="Classes" note={listed.join(", ") + (classCount > 5 ? ", …" : "")}>
            {classCount}
          </Fact>
        ) : (
          <Fact label="Predicts" note={values ? `${rounded(values[0])} to ${rounded(values[1])}` : undefined}>
            {label}
          </Fact>
        )}
      </div>
    </>
  );
}

const rounded = (value: number): number => Number(value.toPrecision(4));

function misfitOf({ template }: TabDraft, { shape }: Description): string | null {
  if (!template || template.ranks.includes(shape.length)) return null;
  const wants = template.ranks.includes(3) ? "images (channels × height × width)" : "tables, a list of numbers in each row";
  return `${template.title} is for ${wants}; one row here is ${shape.join(" × ")}. Go back and choose another.`;
}
