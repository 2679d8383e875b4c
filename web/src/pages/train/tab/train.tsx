/** A new training whose client is this browser: it encrypts, signs with the wallet, and keeps the keys. */

import { useState } from "react";

import type { Found, GraphQuote, Order, Template } from "../../../market";
import { Steps } from "../../../ui/steps";
import { DataStep } from "./data";
import { ModelStep } from "./model";
import { PlanStep } from "./plan";
import { PriceStep } from "./price";

const NAMES = ["Model", "Data", "Plan", "Price and payment"];

/** A graph document of one's own, with its initial weights and recipe. */
export interface OwnModel {
  document: File | null;
  weights: File | null;
  recipe: File | null;
}

export interface TabDraft {
  template: Template | null;
  /** Null where a ready model is taken. */
  own: OwnModel | null;
  predict: "classes" | "values";
  label: string | null;
  file: File | null;
  found: Found | null;
  name: string;
  rounds: number;
  trainers: number;
  budget: string;
}

export interface TabStep {
  draft: TabDraft;
  change: (part: Partial<TabDraft>) => void;
  back: () => void;
  next: () => void;
}

export interface Offer {
  order: Order;
  quote: GraphQuote;
}

const FIRST: TabDraft = { template: null, own: null, predict: "classes", label: null, file: null, found: null, name: "", rounds: 10, trainers: 4, budget: "" };

export default function TabTrain({ choice }: { choice: React.ReactNode }) {
  const [draft, setDraft] = useState(FIRST);
  const [step, setStep] = useState(0);
  const [offer, setOffer] = useState<Offer | null>(null);
  const change = (part: Partial<TabDraft>) => setDraft((old) => ({ ...old, ...part }));
  const props = { draft, change, back: () => setStep(step - 1), next: () => setStep(step + 1) };
  return (
    <>
      <Steps names={NAMES} now={step} />
      {step === 0 ? (
        <>
          {choice}
          <ModelStep {...props} />
        </>
      ) : step === 1 ? (
        <DataStep {...props} />
      ) : step === 2 || !offer ? (
        <PlanStep {...props} offered={(found) => (setOffer(found), setStep(3))} />
      ) : (
        <PriceStep offer={offer} again={() => setStep(2)} />
      )}
    </>
  );
}
