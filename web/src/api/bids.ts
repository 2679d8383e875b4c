/** Bids as their bidders opened them to the client; only the task's owner may see them, and only after the deadline. */

import { queryOptions } from "@tanstack/react-query";

import { optional } from "./client";

export interface OpenedBid {
  trainer: string;
  unit_price_tinybar: number;
  units: number;
  unit_s: number;
}

export const openedBids = (task: string, connected: boolean) =>
  queryOptions({
    queryKey: ["task", task, "bids", connected],
    queryFn: async ({ signal }) => (await optional<{ opened: OpenedBid[] | null }>(`/api/v1/tasks/${task}/bids`, signal))?.opened ?? null,
    staleTime: 10_000,
  });
