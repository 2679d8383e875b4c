// The calls that move audits and disputes on: draws, juries, ends. Anyone of a task may make them.
//
// Nodes make them one after the other. A tab comes after all of them, since each call asks the user's wallet: while one
// trainer is there, it is asked for none.

import { type Dispute, RULING, SEED_S } from "./audits";
import type { Call } from "./contract";
import { countDue, rulesOf } from "./fold-audits";
import { SECOND_NS, type State } from "./task";

/** Calls that anyone may make are made by one after the other, this far apart. */
export const TURN_S = 3n;

/** What the client should call now, if nobody has. */
export function courtCalls(log: State): Call[] {
  const due: Call[] = [];
  const { task } = log.place;
  const asked = log.drawRequestedNs;
  if (drawIsWanted(log) && isTurn(log, log.progressNs)) due.push({ name: "requestDraw", task, since: log.progressNs });
  if (asked && (log.phase === "running" || log.phase === "finished") && isTurn(log, asked + seconds(SEED_S))) {
    due.push({ name: "draw", task, since: asked });
  }
  for (const [dispute, each] of log.disputes) {
    if (each.ruling !== RULING.open) continue;
    const late = each.openedNs + seconds(log.plan.disputeTime);
    if (!each.jury.length && log.nowNs < late) {
      if (isTurn(log, each.askedNs + seconds(SEED_S))) due.push({ name: "drawJury", task, dispute, since: each.askedNs });
    } else if (isTurn(log, resolvableNs(each, late))) due.push({ name: "resolve", task, dispute, since: each.drawnNs });
  }
  return due;
}

function resolvableNs(dispute: Dispute, late: bigint): bigint {
  if (!dispute.jury.length) return late + SECOND_NS;
  if (dispute.ballots.size === dispute.jury.length) return dispute.drawnNs;
  return seconds(dispute.decideBy) + SECOND_NS;
}

/** Something was confirmed since the last draw, and its audits can still be paid. */
function drawIsWanted(log: State): boolean {
  const open = log.phase === "running" || (log.phase === "finished" && !log.final);
  if (!rulesOf(log) || !open || log.drawRequestedNs || log.nowNs > seconds(log.plan.endBy)) return false;
  return log.progressRound > log.drawnRound && countDue(log, log.progressRound) > 0;
}

/** After the trainers in the order of their seats, and the validators. */
const isTurn = (log: State, after: bigint): boolean =>
  log.nowNs > after + TURN_S * BigInt(1 + log.seats.length + log.members.size) * SECOND_NS;

const seconds = (count: number): bigint => BigInt(count) * SECOND_NS;
