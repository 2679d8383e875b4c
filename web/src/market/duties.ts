// The calls about money that follow from the log: what the client makes when it is there, and others else.

import type { Call } from "./contract";
import { equal } from "./bytes";
import type { Address } from "./ids";
import { proof } from "./merkle";
import { type Mark, SECOND_NS, type State, aggregatesOf, finalMark, isOver, leavesOf, markOf, rootOf, subject, unitsOf } from "./task";

/** After so long the client claims for those that do not: a trainer that died would else leave a task open. */
const PATIENCE_S = 15n;
const CLAIM_PERIOD_S = 30n * 24n * 3600n;
const TURN_S = 3n;

/** What the client should call now, by the log alone: expire, settle, claims of the absent, releases. */
export function payments(log: State): Call[] {
  const { plan } = log;
  const task = log.place.task;
  const past = (seconds: number | bigint): boolean => log.nowNs > (BigInt(seconds) + 1n) * SECOND_NS;
  const expire: Call[] = [{ name: "expire", task }];
  if (log.openDisputes) return [];
  switch (log.phase) {
    case "settling":
      return log.confirmed && past(log.confirmed.settleAfter) ? [{ name: "settle", task }] : [];
    case "open":
      return past(plan.awardUntil) ? expire : [];
    case "awarded": {
      const enough = log.seats.length >= plan.minTrainers;
      const until = log.quorum ? plan.endBy + plan.disputeTime : enough ? plan.startUntil : plan.standbyUntil;
      return past(until) ? expire : [];
    }
    case "running":
    case "finished":
      return past(plan.endBy + plan.disputeTime) ? expire : [];
    case "settled":
      if (past(log.settledNs / SECOND_NS + CLAIM_PERIOD_S)) return expire;
      return owed(log).flatMap((trainer) => claimFor(log, trainer) ?? []);
    case "cancelled":
    case "expired":
      return owed(log).map((trainer) => ({ name: "release", task, trainer }));
  }
}

/** Whether all is paid: the client waits for the others' claims, and makes those that do not come. */
export function isClosed(log: State): boolean {
  if (!isOver(log.phase) || payments(log).length) return false;
  const claimable = log.phase === "settled" && settledMark(log);
  return !claimable || log.seats.every((seat) => log.claims.has(seat.trainer));
}

/** The client's vote for the posted result: needed when fewer trainers are left than the quorum. */
export function resultVote(log: State): Call | null {
  const [mark, note] = [finalMark(log), log.result];
  if (log.phase !== "finished" || !mark || !note || log.nowNs > BigInt(log.plan.endBy) * SECOND_NS) return null;
  if (log.votes.has(`${log.client}/${subject(mark, note.object)}`)) return null;
  const published = log.published.has(note.object);
  if (!published && log.nowNs <= log.turnNs + TURN_S * SECOND_NS) return null;
  return {
    name: published ? "confirmResult" : "publishResult",
    task: log.place.task,
    result: note.object,
    logPosition: mark.logPosition,
    round: mark.round,
    units: unitsOf(mark),
    aggregates: aggregatesOf(mark),
    audits: 0,
    creditsRoot: rootOf(mark, log.place),
  };
}

/** What the money follows: the confirmed result, or after an early end the last confirmed checkpoint. */
export function settledMark(log: State): Mark | null {
  const { confirmed } = log;
  const mark = markOf(log, confirmed ? confirmed.round : log.progressRound);
  const root = confirmed ? confirmed.creditsRoot : log.progressRoot;
  return mark && equal(rootOf(mark, log.place), root) ? mark : null;
}

function claimFor(log: State, trainer: Address): Call | null {
  const mark = settledMark(log);
  const index = mark?.credits.findIndex((leaf) => leaf.trainer === trainer) ?? -1;
  if (!mark || index < 0) return null;
  const { units, aggregates, noShow } = mark.credits[index]!;
  return { name: "claim", task: log.place.task, trainer, units, aggregates, noShow, proof: proof(leavesOf(mark, log.place), index) };
}

/** Whose claim the client makes: those of the absent, and after a while everybody's. */
function owed(log: State): Address[] {
  if (!settledMark(log)) return [];
  const late = log.nowNs > log.settledNs + PATIENCE_S * SECOND_NS;
  return log.seats
    .filter((seat) => late || seat.lost || !seat.ready)
    .map((seat) => seat.trainer)
    .filter((trainer) => !log.claims.has(trainer));
}
