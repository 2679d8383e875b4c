/** Which model: one of the node's ready ones, or a graph document of one's own. */

import { Button, FileInput } from "@mantine/core";
import { queryOptions, useQuery } from "@tanstack/react-query";

import { optional } from "../../../api/client";
import type { Template } from "../../../market";
import { Card } from "../../../ui/bits";
import { Ask } from "../../../ui/state";
import type { OwnModel, TabStep } from "./train";

const zoo = queryOptions({
  queryKey: ["zoo"],
  queryFn: async ({ signal }): Promise<readonly Template[]> => (await optional<{ items: Template[] }>("/api/v1/zoo", signal))?.items ?? [],
  staleTime: Infinity,
});

export function ModelStep({ draft, change, next }: TabStep) {
  const query = useQuery(zoo);
  const { own, template } = draft;
  const ready = own ? own.document !== null && own.weights !== null && own.recipe !== null : template !== null;
  return (
    <Card title="What shall be trained?">
      <Ask query={query}>
        {(templates) => (
          <fieldset className="bare stack">
            <legend className="sr">Model</legend>
            {templates.map((each) => (
              <label key={each.name} className="choice">
                <input type="radio" name="model" checked={!own && template?.name === each.name} onChange={() => change({ template: each, own: null })} />
                <strong>{each.title}</strong>
                <span className="soft small">{each.about}</span>
              </label>
            ))}
            <label className="choice">
              <input type="radio" name="model" checked={own !== null} onChange={() => change({ template: null, own: { document: null, weights: null, recipe: null } })} />
              <strong>A graph document of my own</strong>
              <span className="soft small">The network as data, not as a program, as the node exports it from a model.py; with its initial weights and a recipe.</span>
            </label>
          </fieldset>
        )}
      </Ask>
      {own ? <OwnFiles own={own} change={(part) => change({ own: { ...own, ...part } })} /> : null}
      <div className="row">
        <Button onClick={next} disabled={!ready}>
          Next: data
        </Button>
      </div>
    </Card>
  );
}

function OwnFiles({ own, change }: { own: OwnModel; change: (part: Partial<OwnModel>) => void }) {
  return (
    <div className="grid">
      <FileInput label="Graph document" description="JSON, at most 8 MiB" placeholder="Choose a file" accept=".json" value={own.document} onChange={(document) => change({ document })} />
      <FileInput label="Initial weights" description="safetensors, with the document's tensors" placeholder="Choose a file" accept=".safetensors" value={own.weights} onChange={(weights) => change({ weights })} />
      <FileInput label="recipe.json" description="Loss, optimiser, batch and steps" placeholder="Choose a file" accept=".json" value={own.recipe} onChange={(recipe) => change({ recipe })} />
    </div>
  );
}
