/** Small parts: a page's head, cards, money, ages, badges, facts, copying. */

import { ActionIcon, Tooltip } from "@mantine/core";
import { useClipboard } from "@mantine/hooks";
import { IconCheck, IconCopy, IconExternalLink } from "@tabler/icons-react";
import { type ReactNode, useEffect, useId, useState } from "react";

import { hbar, short } from "../lib/money";
import { ago, moment } from "../lib/time";

export function Page({ title, lead, actions, children }: { title: ReactNode; lead?: ReactNode; actions?: ReactNode; children: ReactNode }) {
  useEffect(() => {
    document.title = typeof title === "string" ? `${title} · shoal` : "shoal";
  }, [title]);
  return (
    <>
      <header className="page-head">
        <div>
          <h1>{title}</h1>
          {lead ? <p>{lead}</p> : null}
        </div>
        {actions}
      </header>
      <div className="stack wide">{children}</div>
    </>
  );
}

export function Card({ title, aside, children, className = "" }: { title?: ReactNode; aside?: ReactNode; children: ReactNode; className?: string }) {
  const id = useId();
  return (
    <section className={`card stack ${className}`} aria-labelledby={title ? id : undefined}>
      {title ? (
        <div className="row spread">
          <h2 id={id}>{title}</h2>
          {aside}
        </div>
      ) : null}
      {children}
    </section>
  );
}

export function Fact({ label, children, note }: { label: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div className="stack tight">
      <span className="soft small">{label}</span>
      <span className="big">{children}</span>
      {note ? <span className="soft small">{note}</span> : null}
    </div>
  );
}

/** An amount, rounded; exact to the tinybar for whoever points at it or reads with a screen reader. */
export function Money({ of, exact, sign }: { of: number; exact?: boolean; sign?: boolean }) {
  const all = hbar(of, { sign: sign ?? false });
  if (exact) return <span className="num nowrap">{all}</span>;
  return (
    <span className="num nowrap" title={all}>
      {short(of)}
    </span>
  );
}

/** Now, in Unix seconds, each second. */
export function useNow(everyMs = 1000): number {
  const [now, setNow] = useState(() => Date.now() / 1000);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now() / 1000), everyMs);
    return () => clearInterval(timer);
  }, [everyMs]);
  return now;
}

export function Ago({ at }: { at: number }) {
  const now = useNow(5000);
  return (
    <time className="nowrap" dateTime={new Date(at * 1000).toISOString()} title={moment(at)}>
      {ago(at, now)}
    </time>
  );
}

const PHASES: Record<string, [tone: string, text: string]> = {
  open: ["live", "Taking bids"],
  awarded: ["live", "Assembling"],
  running: ["live", "Training"],
  finished: ["live", "Result on its way"],
  settling: ["live", "Result confirmed"],
  settled: ["good", "Completed"],
  cancelled: ["", "Cancelled"],
  expired: ["warn", "Expired"],
};

export function phaseText(phase: string): string {
  return PHASES[phase]?.[1] ?? phase;
}

export function Phase({ of }: { of: string }) {
  const [tone, text] = PHASES[of] ?? ["", of];
  return (
    <Pill tone={tone} dot>
      {text}
    </Pill>
  );
}

export function Pill({ tone = "", dot, children }: { tone?: string; dot?: boolean; children: ReactNode }) {
  return (
    <span className={`pill ${tone}`}>
      {dot ? <i className="dot" aria-hidden /> : null}
      {children}
    </span>
  );
}

export function Copy({ text, label }: { text: string; label: string }) {
  const clipboard = useClipboard();
  return (
    <Tooltip label={clipboard.copied ? "Copied" : label}>
      <ActionIcon variant="subtle" size="md" aria-label={label} onClick={() => clipboard.copy(text)}>
        {clipboard.copied ? <IconCheck size={16} /> : <IconCopy size={16} />}
      </ActionIcon>
    </Tooltip>
  );
}

/** A long name, cut in the middle, whole for whoever copies or points. */
export function Id({ of, keep = 8, label }: { of: string; keep?: number; label: string }) {
  const cut = of.length > keep * 2 + 1 ? `${of.slice(0, keep)}…${of.slice(-Math.min(keep, 6))}` : of;
  return (
    <span className="row" style={{ gap: "0.125rem", flexWrap: "nowrap", display: "inline-flex" }}>
      <code title={of}>{cut}</code>
      <Copy text={of} label={`Copy ${label}`} />
    </span>
  );
}

export function Outside({ href, children }: { href: string; children: ReactNode }) {
  return (
    <a href={href} target="_blank" rel="noreferrer">
      {children} <IconExternalLink size={14} aria-label="(opens in a new tab)" style={{ verticalAlign: "-0.125rem" }} />
    </a>
  );
}
