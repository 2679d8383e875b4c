/** A new training, step by step: model, data, plan, price, payment. Nothing is spent before the last button. */

import { useState } from "react";

import type { Quote } from "../../api/client";
import { useInfo } from "../../api/info";
import { isClasses, usualLabel } from "../../lib/dataset";
import type { Task, Template } from "../../lib/zoo";
import { Page } from "../../ui/bits";
import { Steps } from "../../ui/steps";
import { useHasToken } from "../../api/session";
import { Connect } from "../../ui/connect";
import { Notice } from "../../ui/state";
import { DataStep } from "./data-step";
import { ModelStep } from "./model-step";
import { PlanStep } from "./plan-step";
import { PriceStep } from "./price-step";
import type { Dropped } from "./read";

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
  return (
    <Page title="New training" lead="Choose, look at the highest possible price, then decide. Nothing is spent before the last button.">
      <Steps names={NAMES} now={step} />
      {gateway ? (
        <Notice kind="warn" title="Not through this page on a public gateway">
          <p>
            Here your own browser would have to encrypt the data and sign with your wallet, which this page does not do yet. Run a node of your own (<code>shoal up</code>,{" "}
            <code>shoal node run --role client</code>): its page offers everything.
          </p>
        </Notice>
      ) : !connected ? (
        <Connect why="A training spends the node's money, so this tab needs the right to act for it." />
      ) : step === 0 ? (
        <ModelStep {...props} />
      ) : step === 1 ? (
        <DataStep {...props} />
      ) : step === 2 || !quoteId ? (
        <PlanStep {...props} quoted={quoted} />
      ) : (
        <PriceStep quoteId={quoteId} again={() => quoted(null)} restart={() => (quoted(null), setStep(0), setDraft(FIRST))} />
      )}
    </Page>
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
