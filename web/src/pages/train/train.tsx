/** A new training, step by step: model, data, plan, price, payment. Nothing is spent before the last button. */

import { lazy, type ReactNode, Suspense, useState } from "react";

import type { Quote } from "../../api/client";
import { useInfo } from "../../api/info";
import { isClasses, usualLabel } from "../../lib/dataset";
import type { Task, Template } from "../../lib/zoo";
import { Card, Page } from "../../ui/bits";
import { Steps } from "../../ui/steps";
import { useHasToken } from "../../api/session";
import { Connect } from "../../ui/connect";
import { Bones } from "../../ui/state";
import { TabTasks } from "../../ui/tab-tasks";
import { DataStep } from "./data-step";
import { ModelStep } from "./model-step";
import { PlanStep } from "./plan-step";
import { PriceStep } from "./price-step";
import type { Dropped } from "./read";

const TabTrain = lazy(() => import("./tab/train"));

const NAMES = ["Model", "Data", "Plan", "Price and payment"];
const KEPT = "shoal-quote";

export type ModelChoice = { kind: "template"; template: Template } | { kind: "python"; model: File | null; recipe: File | null };

export interface Plan {
  name: string;
  rounds: number;
  trainers: number;
  /** All that may ever be spent on trainers, in tinybar; null lets the node choose a price that trainers usually take. */
  budget: number | null;
  roundTimeout: number;
}

export interface Draft {
  model: ModelChoice;
  data: Dropped | null;
  label: string | null;
  plan: Plan;
}

const FIRST: Draft = {
  model: { kind: "template", template: "mlp" },
  data: null,
  label: null,
  plan: { name: "", rounds: 10, trainers: 4, budget: null, roundTimeout: 60 },
};

export default function Train() {
  const [draft, setDraft] = useState<Draft>(FIRST);
  const [step, setStep] = useState(() => (sessionStorage.getItem(KEPT) ? 3 : 0));
  const [quoteId, setQuoteId] = useState<string | null>(() => sessionStorage.getItem(KEPT));
  const connected = useHasToken();
  const gateway = useInfo()?.gateway ?? false;
  const change = (part: Partial<Draft>) => setDraft((old) => ({ ...old, ...part }));
  const quoted = (quote: Quote | null) => {
    // Kept for a reload: a quote makes one task, however often it is asked to.
    if (quote) sessionStorage.setItem(KEPT, quote.quote_id);
    else sessionStorage.removeItem(KEPT);
    setQuoteId(quote?.quote_id ?? null);
    setStep(quote ? 3 : 2);
  };
  const props = { draft, change, back: () => setStep(step - 1), next: () => setStep(step + 1) };
  const [way, setWay] = useState<Way>(() => (sessionStorage.getItem(KEPT) ? "node" : "tab"));
  const choice = <WayChoice way={way} gateway={gateway} choose={setWay} />;
  return (
    <Page title="New training" lead="Choose, look at the highest possible price, then decide. Nothing is spent before the last button.">
      <TabTasks />
      {!connected ? (
        <Connect why={gateway ? "A gateway lends storage and a place among peers to those who have signed in." : "A training uses the node's storage, so this tab needs the right to ask it."} />
      ) : way === "tab" || gateway ? (
        <Suspense fallback={<Bones />}>
          <TabTrain choice={choice} />
        </Suspense>
      ) : (
        <>
          <Steps names={NAMES} now={step} />
          {step === 0 ? (
            <>
              {choice}
              <ModelStep {...props} />
            </>
          ) : step === 1 ? (
            <DataStep {...props} />
          ) : step === 2 || !quoteId ? (
            <PlanStep {...props} quoted={quoted} />
          ) : (
            <PriceStep quoteId={quoteId} again={() => quoted(null)} restart={() => (quoted(null), setStep(0), setDraft(FIRST))} />
          )}
        </>
      )}
    </Page>
  );
}

/** Whose keys and money are used: this browser's, or those of the node that serves the page. */
type Way = "tab" | "node";

function WayChoice({ way, gateway, choose }: { way: Way; gateway: boolean; choose: (way: Way) => void }): ReactNode {
  return (
    <Card title="Who shall be the client?">
      <fieldset className="bare grid two">
        <legend className="sr">Client</legend>
        <label className="choice">
          <input type="radio" name="way" checked={way === "tab" || gateway} onChange={() => choose("tab")} />
          <strong>This browser</strong>
          <span className="soft small">It encrypts the data and keeps the keys; your wallet signs. The node sees neither data nor weights. The tab must stay open until training starts.</span>
        </label>
        <label className="choice">
          <input type="radio" name="way" checked={way === "node" && !gateway} disabled={gateway} onChange={() => choose("node")} />
          <strong>My own node</strong>
          <span className="soft small">
            {gateway
              ? "Not on a public gateway: it would run your model.py and hold your keys. Run a node of your own for that."
              : "For a model.py, Parquet or images, which a program on your machine must read. It pays from its account, and goes on when the tab is closed."}
          </span>
        </label>
      </fieldset>
    </Card>
  );
}

/** What the model must fit, as far as the browser can tell; null for a file that only the node can read. */
export function taskOf(draft: Draft): Task | null {
  const found = draft.data?.described;
  if (found?.kind === "images") return { shape: [found.channels, found.height, found.width], classes: found.classes.size };
  if (found?.kind !== "table") return null;
  const label = draft.label ?? usualLabel(found);
  const column = found.columns.find((each) => each.name === label);
  if (!column) return null;
  return { shape: [found.columns.length - 1], classes: isClasses(column) ? column.values!.size : null };
}
