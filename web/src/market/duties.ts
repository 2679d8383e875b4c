// The calls about money that follow from the log: what the client makes when it is there, and others else.

import type { Call } from "./contract";
import { equal } from "./bytes";
import { TURN_S, courtCalls } from "./court";
import type { Address } from "./ids";
import { proof } from "./merkle";
import {
  type Mark,
  SECOND_NS,
  type State,
  aggregatesOf,
  auditsOf,
  isOver,
  leavesOf,
  markOf,
  openDisputes,
  rootOf,
  subject,
  unitsOf,
} from "./task";

/** After so long the client claims for those that do not: a trainer that died would else leave a task open. */
const PATIENCE_S = 15n;
const CLAIM_PERIOD_S = 30n * 24n * 3600n;

/** What the client should call now, by the log alone: draws, juries, expire, settle, claims of the absent, releases. */
export function payments(log: State): Call[] {
  const first = [...courtCalls(log), ...leftOut(log)];
  // Nothing is settled before all disputes have ended.
  return openDisputes(log) ? first : [...first, ...endings(log)];
}

/** What ends the task, and pays. */
function endings(log: State): Call[] {
  const { plan } = log;
  const task = log.place.task;
  const past = (seconds: number | bigint): boolean => log.nowNs > (BigInt(seconds) + 1n) * SECOND_NS;
  const expire: Call[] = [{ name: "expire", task }];
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
      return [
        ...owed(log).flatMap((trainer) => claimFor(log, trainer) ?? []),
        ...auditsOwed(log).flatMap((validator) => auditClaimFor(log, validator) ?? []),
      ];
    case "cancelled":
    case "expired":
      return owed(log).map((trainer) => ({ name: "release", task, trainer }));
  }
}

/** Whether all is paid: the client waits for the others' claims, and makes those that do not come. */
export function isClosed(log: State): boolean {
  if (!isOver(log.phase) || payments(log).length) return false;
  const mark = log.phase === "settled" ? settledMark(log) : null;
  if (!mark) return true;
  const validators = mark.auditCredits.map((leaf) => leaf.validator);
  return log.seats.every((seat) => log.claims.has(seat.trainer)) && validators.every((each) => log.auditClaims.has(each));
}

/** The client's vote for the posted result: needed when fewer trainers are left than the quorum. */
export function resultVote(log: State): Call | null {
  const [mark, note] = [log.final, log.result];
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
    audits: auditsOf(mark),
    creditsRoot: rootOf(mark, log.place),
  };
}

/** What the money follows: the confirmed result, or after an early end the last confirmed checkpoint. */
export function settledMark(log: State): Mark | null {
  const { confirmed } = log;
  const round = confirmed ? confirmed.round : log.progressRound;
  const root = confirmed ? confirmed.creditsRoot : log.progressRoot;
  const candidates = [log.final, markOf(log, round)];
  return candidates.find((mark) => mark?.round === round && equal(rootOf(mark, log.place), root)) ?? null;
}

function claimFor(log: State, trainer: Address): Call | null {
  const mark = settledMark(log);
  const index = mark?.credits.findIndex((leaf) => leaf.trainer === trainer) ?? -1;
  if (!mark || index < 0) return null;
  const { units, aggregates, noShow } = mark.credits[index]!;
  return { name: "claim", task: log.place.task, trainer, units, aggregates, noShow, proof: proof(leavesOf(mark, log.place), index) };
}

function auditClaimFor(log: State, validator: Address): Call | null {
  const mark = settledMark(log);
  const index = mark?.auditCredits.findIndex((leaf) => leaf.validator === validator) ?? -1;
  if (!mark || index < 0) return null;
  const { audits } = mark.auditCredits[index]!;
  const path = proof(leavesOf(mark, log.place), mark.credits.length + index);
  return { name: "claimAudits", task: log.place.task, validator, audits, proof: path };
}

/** Whose claim the client makes: those of the absent, and after a while everybody's. */
function owed(log: State): Address[] {
  if (!settledMark(log)) return [];
  return log.seats
    .filter((seat) => isLate(log) || seat.lost)
    .filter((seat) => !(log.quorum && !seat.ready && log.phase === "settled"))
    .map((seat) => seat.trainer)
    .filter((trainer) => !log.claims.has(trainer));
}

/** Seats that were not ready at the start get stake and compensation by `release`, and have no claim. */
function leftOut(log: State): Call[] {
  if (!log.quorum || log.phase !== "settled") return [];
  const { task } = log.place;
  return log.seats
    .filter((seat) => !seat.ready && !log.claims.has(seat.trainer))
    .map(({ trainer }) => ({ name: "release", task, trainer }));
}

/** Whose audits the client claims: after a while everybody's. */
function auditsOwed(log: State): Address[] {
  if (!isLate(log)) return [];
  const earned = settledMark(log)?.auditCredits ?? [];
  return earned.map((leaf) => leaf.validator).filter((validator) => !log.auditClaims.has(validator));
}

const isLate = (log: State): boolean => log.nowNs > log.settledNs + PATIENCE_S * SECOND_NS;
