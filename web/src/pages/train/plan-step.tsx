/** How it is trained: rounds, trainers, the most that may be spent; and what this version fixes, with the reason. */

import { Button, NumberInput, Progress, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { downloadZip } from "client-zip";
import { useRef, useState } from "react";

import type { Quote } from "../../api/client";
import { asProblem } from "../../api/problem";
import { upload } from "../../api/upload";
import { hbar, parseHbar } from "../../lib/money";
import { modelSource, recipeFor } from "../../lib/zoo";
import { Card } from "../../ui/bits";
import { ProblemNotice } from "../../ui/state";
import type { StepProps } from "./model-step";
import { type Draft, type Plan, taskOf } from "./train";

export function PlanStep({ draft, change, back, quoted }: StepProps & { quoted: (quote: Quote) => void }) {
  const [sent, setSent] = useState(0);
  const [budget, setBudget] = useState(() => (draft.plan.budget === null ? "" : hbar(draft.plan.budget)));
  const stop = useRef<AbortController | null>(null);
  const { plan } = draft;
  const set = (part: Partial<Plan>) => change({ plan: { ...plan, ...part } });
  const amount = budget.trim() ? parseHbar(budget) : null;
  const wrongBudget = budget.trim() !== "" && (amount === null || amount === 0);
  const ask = useMutation({
    mutationFn: async () => {
      stop.current = new AbortController();
      setSent(0);
      return upload<Quote>("/api/v1/quotes", await formOf({ ...draft, plan: { ...plan, budget: amount } }), crypto.randomUUID(), setSent, stop.current.signal);
    },
    onSuccess: quoted,
  });
  return (
    <Card title="How shall it be trained?">
      <div className="grid">
        <TextInput label="Name" description="For you; it stands in public on the ledger" placeholder="my-model" maxLength={60} value={plan.name} onChange={(event) => set({ name: event.currentTarget.value })} />
        <NumberInput label="Rounds" description="More rounds, better result, higher price" min={1} max={1000} allowDecimal={false} value={plan.rounds} onChange={(value) => set({ rounds: whole(value, 10) })} />
        <NumberInput label="Trainers" description="At least two, so that they check each other" min={1} max={100} allowDecimal={false} value={plan.trainers} onChange={(value) => set({ trainers: whole(value, 4) })} />
        <TextInput
          label="Budget in ℏ"
          description="The most that trainers may ever get; empty takes what is usual"
          placeholder="usual"
          value={budget}
          onChange={(event) => setBudget(event.currentTarget.value)}
          error={wrongBudget ? "Write an amount such as 2.5" : null}
        />
        <NumberInput label="Time for a round, in seconds" description="Who is later loses its seat to a backup" min={5} max={86_400} allowDecimal={false} value={plan.roundTimeout} onChange={(value) => set({ roundTimeout: whole(value, 60) })} />
      </div>
      <dl className="pairs sunk">
        <dt>Strategy</dt>
        <dd>Federated averaging: after each round the updates are averaged, each by its number of rows. Every trainer recomputes the average bit for bit.</dd>
        <dt>Privacy</dt>
        <dd>Encrypted for everyone but the hired trainers, each of which sees its own pieces and the model. Noise on top of it (differential privacy) is not offered by this node.</dd>
        <dt>Audits</dt>
        <dd>None: this node plans no validators. A majority of the trainers must confirm every result.</dd>
      </dl>
      {ask.error ? <ProblemNotice problem={asProblem(ask.error)} /> : null}
      {ask.isPending ? (
        <div className="stack" role="status">
          <p className="soft">{sent < 1 ? "Sending to your node …" : "Your node exports the model, compares it with the original, and asks for the price …"}</p>
          <Progress value={sent * 100} animated={sent >= 1} aria-label="Upload" />
        </div>
      ) : null}
      <div className="row">
        <Button variant="default" onClick={() => (stop.current?.abort(), back())}>
          Back
        </Button>
        <Button onClick={() => ask.mutate()} loading={ask.isPending} disabled={wrongBudget}>
          See the price
        </Button>
        <span className="soft small">Nothing is spent by this.</span>
      </div>
    </Card>
  );
}

/** The form that `POST /api/v1/quotes` takes; a folder of images travels as an archive. */
async function formOf(draft: Draft): Promise<FormData> {
  const { model, plan, data } = draft;
  const task = taskOf(draft);
  const source = model.kind === "python" ? model.model! : new File([modelSource(model.template, task!)], "model.py");
  const recipe = model.kind === "python" ? model.recipe! : new File([JSON.stringify(recipeFor(task!, plan), null, 2)], "recipe.json");
  const form = new FormData();
  if (data!.described.kind === "images") {
    const files = data!.files.map(({ path, file }) => ({ name: `data/${path.split("/").slice(-2).join("/")}`, input: file }));
    const zip = await downloadZip([{ name: "model.py", input: source }, { name: "recipe.json", input: recipe }, ...files]).blob();
    form.set("archive", zip, "task.zip");
  } else {
    form.set("model", source, "model.py");
    form.set("recipe", recipe, "recipe.json");
    form.set("data", data!.files[0]!.file, data!.name);
    if (draft.label) form.set("label", draft.label);
  }
  form.set("name", plan.name.trim() || data!.name.replace(/\.\w+$/, "") || "task");
  form.set("rounds", plan.rounds.toString());
  form.set("trainers", plan.trainers.toString());
  form.set("round_timeout_s", plan.roundTimeout.toString());
  if (plan.budget !== null) form.set("budget_tinybar", plan.budget.toString());
  return form;
}

function whole(value: string | number, otherwise: number): number {
  const found = typeof value === "number" ? value : Number.parseInt(value, 10);
  return Number.isFinite(found) ? Math.trunc(found) : otherwise;
}
