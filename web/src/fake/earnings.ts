/** A trainer's record, composed by hand after the API's model: the node that the rest was recorded from does not train. */

import type { Earnings, EarningTotal } from "../api/earnings";

const HBAR = 100_000_000;

export function earningsIn(state: "earning" | "paused"): Earnings {
  const now = Math.floor(Date.now() / 1000);
  const paused = state === "paused";
  const line = (hours: number, what: string, earned: number, fee: number, task: string | null) => ({
    at: now - hours * 3600,
    transaction: `0.0.1007-${now - hours * 3600}-345999549`,
    kind: earned ? "payment" : "fee",
    what,
    task_id: task,
    earned_tinybar: earned,
    penalty_tinybar: 0,
    fee_tinybar: fee,
    net_tinybar: earned - fee,
  });
  const items = [
    line(1, "paid for 12 work units and 3 averages", 0.744 * HBAR, 0.023 * HBAR, "90c1767188ed"),
    line(2, "round 12: update of chunk 0", 0, 0.011 * HBAR, "90c1767188ed"),
    line(3, "accepted a seat", 0, 0.081 * HBAR, "90c1767188ed"),
    line(4, "sealed bid", 0, 0.011 * HBAR, "90c1767188ed"),
    line(30, "stake deposited", 0, 0.06 * HBAR, null),
  ];
  const total = (share: number): EarningTotal => {
    const earned = Math.round(0.744 * HBAR * share);
    const fees = Math.round(0.126 * HBAR * share);
    return { earned_tinybar: earned, penalties_tinybar: 0, fees_tinybar: fees, profit_tinybar: earned - fees };
  };
  return {
    account: "0.0.1007",
    state: {
      state: paused ? "pause" : "run",
      why: paused ? "Somebody is at the machine." : "Nobody is at the machine, and it has work.",
      until: paused ? "it goes on once nobody has touched keyboard or mouse for 5 min" : "it pauses when somebody comes",
      obstacles: paused ? [{ name: "touched", why: "somebody is at the machine", until: "it goes on once nobody has touched it for 5 min" }, { name: "battery", why: "it runs on battery", until: "it goes on once it is plugged in" }] : [],
      seats: paused ? 0 : 1,
      since: now - 700,
      at: now - 1,
    },
    read_at: now - 3,
    withdrawable_tinybar: 2.112 * HBAR,
    stake_tinybar: 5 * HBAR,
    today: total(1),
    days_7: total(4),
    days_30: total(11),
    items,
  };
}
