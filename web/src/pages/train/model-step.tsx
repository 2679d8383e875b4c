/** Which model: a ready one made to fit the data, or one's own in Python. */

import { Button, FileInput } from "@mantine/core";

import { TEMPLATES, type Template } from "../../lib/zoo";
import { Card } from "../../ui/bits";
import type { Draft } from "./train";

export interface StepProps {
  draft: Draft;
  change: (part: Partial<Draft>) => void;
  back: () => void;
  next: () => void;
}

export function ModelStep({ draft, change, next }: StepProps) {
  const { model } = draft;
  const ready = model.kind === "template" || (model.model !== null && model.recipe !== null);
  return (
    <Card title="What shall be trained?">
      <fieldset className="bare stack">
        <legend className="sr">Model</legend>
        {(Object.keys(TEMPLATES) as Template[]).map((name) => (
          <label key={name} className="choice">
            <input
              type="radio"
              name="model"
              checked={model.kind === "template" && model.template === name}
              onChange={() => change({ model: { kind: "template", template: name } })}
            />
            <strong>{TEMPLATES[name].name}</strong>
            <span className="soft small">{TEMPLATES[name].text}</span>
          </label>
        ))}
        <label className="choice">
          <input
            type="radio"
            name="model"
            checked={model.kind === "python"}
            onChange={() => change({ model: { kind: "python", model: null, recipe: null } })}
          />
          <strong>My own model in Python</strong>
          <span className="soft small">A model.py with a class Net, and a recipe.json. Your own node runs it to make a graph document; trainers never run it. A public gateway takes none, since it would run there.</span>
        </label>
      </fieldset>
      {model.kind === "python" ? (
        <div className="grid">
          <FileInput
            label="model.py"
            placeholder="Choose a file"
            accept=".py"
            value={model.model}
            onChange={(file) => change({ model: { ...model, model: file } })}
          />
          <FileInput
            label="recipe.json"
            description="Loss, optimiser, batch and steps"
            placeholder="Choose a file"
            accept=".json"
            value={model.recipe}
            onChange={(file) => change({ model: { ...model, recipe: file } })}
          />
        </div>
      ) : null}
      <div className="row">
        <Button onClick={next} disabled={!ready}>
          Next: data
        </Button>
      </div>
    </Card>
  );
}
