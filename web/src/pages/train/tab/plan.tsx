/** How it is trained, and the request for a price. The node gets the model's graph and numbers about the data, no data. */

import { Button, NumberInput, TextInput } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";

import { asProblem } from "../../../api/problem";
import { parseHbar } from "../../../lib/money";
import type { DocumentInfo, Gateway, Order } from "../../../market";
import { gateway, market } from "../../../tab/desk";
import { Card } from "../../../ui/bits";
import { ProblemNotice } from "../../../ui/state";
import type { Offer, TabDraft, TabStep } from "./train";

export function PlanStep({ draft, change, back, offered }: TabStep & { offered: (offer: Offer) => void }) {
  const amount = draft.budget.trim() ? parseHbar(draft.budget) : null;
  const wrongBudget = draft.budget.trim() !== "" && !amount;
  const ask = useMutation({
    mutationFn: async (): Promise<Offer> => {
      const here = await gateway();
      const order = await orderOf(here, draft, amount);
      return { order, quote: await (await market()).quoteOf(here, order) };
    },
    onSuccess: offered,
  });
  return (
    <Card title="How shall it be trained?">
      <div className="grid">
        <TextInput label="Name" description="For you; it stands in public on the ledger" placeholder="my-model" maxLength={60} value={draft.name} onChange={(event) => change({ name: event.currentTarget.value })} />
        <NumberInput label="Rounds" description="More rounds, better result, higher price" min={1} max={1000} allowDecimal={false} value={draft.rounds} onChange={(value) => change({ rounds: whole(value, 10) })} />
        <NumberInput label="Trainers" description="At least two, so that they check each other" min={1} max={100} allowDecimal={false} value={draft.trainers} onChange={(value) => change({ trainers: whole(value, 4) })} />
        <TextInput
          label="Budget in ℏ"
          description="The most that trainers may ever get; empty takes what is usual"
          placeholder="usual"
          value={draft.budget}
          onChange={(event) => change({ budget: event.currentTarget.value })}
          error={wrongBudget ? "Write an amount such as 2.5" : null}
        />
      </div>
      {ask.error ? <ProblemNotice problem={asProblem(ask.error)} /> : null}
      <div className="row">
        <Button variant="default" onClick={back}>
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

async function orderOf(here: Gateway, draft: TabDraft, budget: number | null): Promise<Order> {
  const { split } = await market();
  const { dataset, description } = draft.found!;
  const classes = description.classCount;
  const model = draft.own ? await ownModel(here, draft.own) : await readyModel(here, draft.template!.name, description.shape, classes);
  return {
    name: draft.name.trim() || draft.file!.name.replace(/\.\w+$/, "") || "task",
    ...model,
    split: split(dataset, BigInt(Number(model.recipe["seed"] ?? 0))),
    classes,
    rounds: draft.rounds,
    trainers: draft.trainers,
    ...(budget ? { budgetTinybar: budget } : {}),
  };
}

type Model = Pick<Order, "document" | "weights" | "weightsSha256" | "recipe">;

async function readyModel(here: Gateway, name: string, shape: readonly number[], classes: number): Promise<Model> {
  const model = await here.model(name, shape, classes);
  return { document: model, weights: await here.weights(model.weights_sha256), weightsSha256: model.weights_sha256, recipe: model.recipe };
}

/** Throws DataError where the files do not belong together. */
async function ownModel(here: Gateway, own: NonNullable<TabDraft["own"]>): Promise<Model> {
  const { sha256Of } = await market();
  const bytes = async (file: File) => new Uint8Array(await file.arrayBuffer());
  const document = await here.addDocument(await bytes(own.document!));
  const weights = await bytes(own.weights!);
  await checkTensors(document, weights);
  return { document, weights, weightsSha256: await sha256Of(weights), recipe: await recipeIn(own.recipe!) };
}

async function checkTensors(document: DocumentInfo, weights: Uint8Array): Promise<void> {
  const { DataError, readHeader } = await market();
  const text = (found: { dtype: string; shape: readonly number[] } | undefined) => (found ? `${found.dtype} ${found.shape.join(" × ")}` : "absent");
  const header = readHeader(weights);
  const wrong = document.tensors.find((each) => text(header[each.name]) !== text(each));
  if (!wrong && Object.keys(header).length === document.tensors.length) return;
  const what = wrong ? `${wrong.name} is ${text(header[wrong.name])}, and ${text(wrong)} in the document` : "there are more tensors than in the document";
  throw new DataError(`the initial weights do not fit the graph document: ${what}`, { code: "SHOAL-M11", hint: "take both from one export" });
}

async function recipeIn(file: File): Promise<Record<string, unknown>> {
  const { DataError } = await market();
  try {
    const found: unknown = JSON.parse(await file.text());
    if (typeof found === "object" && found !== null && !Array.isArray(found)) return found as Record<string, unknown>;
  } catch {
    // told below
  }
  throw new DataError(`${file.name} is no JSON object`, { code: "SHOAL-M10", hint: "the recipe has loss, optimiser, batch and steps" });
}

function whole(value: string | number, otherwise: number): number {
  const found = typeof value === "number" ? value : Number.parseInt(value, 10);
  return Number.isFinite(found) ? Math.trunc(found) : otherwise;
}
