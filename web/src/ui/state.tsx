/** The states that every page has: loading, empty, an error, no node. An error tells whether the money is safe. */

import { Button } from "@mantine/core";
import { IconAlertTriangle, IconCheck, IconInfoCircle, IconPlugConnectedX } from "@tabler/icons-react";
import type { UseQueryResult } from "@tanstack/react-query";
import type { ReactNode } from "react";

import { asProblem, type Problem } from "../api/problem";
import { Connect } from "./connect";

/** What a question has, when it has something; else why it has not. */
export function Ask<T>({ query, empty, children }: {
  query: UseQueryResult<T>;
  /** What to say of data in which there is nothing. */
  empty?: (data: T) => ReactNode | undefined;
  children: (data: T) => ReactNode;
}) {
  if (query.data !== undefined) {
    const stale = query.error ? <ProblemNotice problem={asProblem(query.error)} stale /> : null;
    return (
      <>
        {stale}
        {empty?.(query.data) ?? children(query.data)}
      </>
    );
  }
  if (query.error) return <ProblemNotice problem={asProblem(query.error)} retry={() => void query.refetch()} />;
  return <Bones />;
}

export function Bones() {
  return (
    <div className="stack" role="status" aria-label="Loading">
      <div className="bone short" />
      <div className="bone tall" />
      <div className="bone" />
      <div className="bone short" />
    </div>
  );
}

export function Empty({ title, children, action }: { title: string; children?: ReactNode; action?: ReactNode }) {
  return (
    <div className="card state">
      <h2>{title}</h2>
      {children ? <div className="soft measure">{children}</div> : null}
      {action}
    </div>
  );
}

const ICONS = { info: IconInfoCircle, good: IconCheck, warn: IconAlertTriangle, bad: IconAlertTriangle };

export function Notice({ kind = "info", title, children }: { kind?: keyof typeof ICONS; title: string; children?: ReactNode }) {
  const Icon = ICONS[kind];
  return (
    <div className={`notice ${kind}`} role={kind === "bad" ? "alert" : undefined}>
      <Icon size={20} aria-hidden />
      <h2>{title}</h2>
      {children}
    </div>
  );
}

export function ProblemNotice({ problem, retry, stale }: { problem: Problem; retry?: () => void; stale?: boolean }) {
  if (problem.needsToken) return <Connect />;
  const { title, detail, code, hint, money } = problem.body;
  const Icon = problem.isDisconnected ? IconPlugConnectedX : IconAlertTriangle;
  return (
    <div className={`notice ${problem.isDisconnected || stale ? "warn" : "bad"}`} role="alert">
      <Icon size={20} aria-hidden />
      <h2>{title}</h2>
      <p>{sentence(detail)}</p>
      {money ? (
        <p>
          <strong>Your money:</strong> {sentence(money)}
        </p>
      ) : null}
      {hint ? (
        <p>
          <strong>What to do:</strong> {sentence(hint)}
        </p>
      ) : null}
      {stale ? <p className="soft small">What you see below is what was known before.</p> : null}
      <div className="row">
        {retry ? (
          <Button variant="default" size="xs" onClick={retry}>
            Try again
          </Button>
        ) : null}
        {code ? <code className="soft">{code}</code> : null}
      </div>
    </div>
  );
}

/** Messages of the node begin in lower case and end without a stop, as they do on the command line. */
export function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
