/** What the market contract says happened, each with its transaction; nodes of before have no such resource. */

import { queryOptions } from "@tanstack/react-query";

import { optional } from "./client";

export interface ContractEvent {
  at: number;
  index: number;
  transaction: string;
  name: string;
  task_id: string | null;
  fields: Record<string, unknown>;
}

const PAGES = 10;

/** Of one task, or of all; the oldest first. Null where the node cannot tell. */
export const contractEvents = (task: string | null) =>
  queryOptions({
    queryKey: task ? ["task", task, "contract-events"] : ["contract-events"],
    queryFn: async ({ signal }) => {
      const found: ContractEvent[] = [];
      let cursor: string | null = null;
      for (let page = 0; page < PAGES; page += 1) {
        const query: URLSearchParams = new URLSearchParams({ limit: "200", ...(task ? { task } : {}), ...(cursor ? { cursor } : {}) });
        const answer: { items: ContractEvent[]; next: string | null } | null = await optional(`/api/v1/ledger/contract-events?${query.toString()}`, signal);
        if (!answer) return null;
        found.push(...answer.items);
        if (!(cursor = answer.next)) break;
      }
      return found;
    },
    refetchInterval: (query) => (query.state.data ? 15_000 : false),
  });
