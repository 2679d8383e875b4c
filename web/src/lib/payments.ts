/** Movements of money as lines that people can check: what, with whom, how much, and whether all of it adds up. */

import type { Movement } from "../api/client";

export interface Line {
  transaction: string;
  at: number;
  what: string;
  result: string;
  /** What the account gained or lost, Hedera's fee included. */
  change: number;
  /** The fee, where this account paid it. */
  fee: number;
  /** The change without the fee. */
  net: number;
  /** Everyone else whose balance changed. */
  others: string[];
  balance: number;
}

const NAMES: Record<string, string> = {
  CRYPTOTRANSFER: "Transfer",
  CRYPTOCREATEACCOUNT: "Account created",
  CONTRACTCALL: "Contract call",
  ETHEREUMTRANSACTION: "Contract call",
  CONTRACTCREATEINSTANCE: "Contract deployed",
  CONSENSUSSUBMITMESSAGE: "Message to a topic",
  CONSENSUSCREATETOPIC: "Topic created",
  FILECREATE: "File stored",
  FILEAPPEND: "File stored",
};

export function nameOf(movement: Movement, net = 0): string {
  if (/^(CONTRACTCALL|ETHEREUMTRANSACTION)$/.test(movement.name) && net) return net < 0 ? "Paid into the contract" : "Came back from the contract";
  return NAMES[movement.name] ?? movement.name.charAt(0) + movement.name.slice(1).toLowerCase();
}

/** The account that all movements are of: the one that is in each of them. */
export function accountOf(movements: readonly Movement[]): string | null {
  let left: Set<string> | null = null;
  for (const { transfers } of movements) {
    const names: string[] = Object.keys(transfers);
    left = left === null ? new Set(names) : new Set(names.filter((name) => left!.has(name)));
  }
  // Fees go to one account each time too: it gains, while ours pays.
  const [first, ...more] = left ?? [];
  if (!first) return null;
  if (!more.length) return first;
  const payers = new Map<string, number>();
  for (const { payer } of movements) payers.set(payer, (payers.get(payer) ?? 0) + 1);
  return [first, ...more].sort((a, b) => (payers.get(b) ?? 0) - (payers.get(a) ?? 0))[0]!;
}

/** Lines in the order of the ledger, each with the balance after it, counted from nothing. */
export function linesOf(movements: readonly Movement[], account: string): Line[] {
  let balance = 0;
  return movements.map((movement) => {
    const change = movement.transfers[account] ?? 0;
    const fee = movement.payer === account ? movement.fee_tinybar : 0;
    balance += change;
    const others = Object.entries(movement.transfers).filter(([name, amount]) => name !== account && amount !== 0 && !isFeeAccount(name)).map(([name]) => name);
    return { transaction: movement.transaction, at: movement.at, what: nameOf(movement, change + fee), result: movement.result, change, fee, net: change + fee, others, balance };
  });
}

export interface Totals {
  received: number;
  paid: number;
  fees: number;
  balance: number;
}

/** Sums over lines; `received - paid - fees` is the balance, to the tinybar. */
export function totalsOf(lines: readonly Line[]): Totals {
  const sum = (pick: (line: Line) => number) => lines.reduce((total, line) => total + pick(line), 0);
  return {
    received: sum((line) => Math.max(0, line.net)),
    paid: sum((line) => Math.max(0, -line.net)),
    fees: sum((line) => line.fee),
    balance: lines.at(-1)?.balance ?? 0,
  };
}

/** Nodes and Hedera's own accounts, to which fees go. */
function isFeeAccount(name: string): boolean {
  const number = Number(name.split(".")[2]);
  return number >= 3 && number <= 40 ? true : [98, 800, 801].includes(number);
}
