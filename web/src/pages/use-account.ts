/** Whose node this is, its movements, and what is bound in trainings that are under way. */

import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { useEffect, useMemo } from "react";

import { balance as balanceQuery } from "../api/balance";
import { session as sessionQuery, useInfo } from "../api/info";
import { isOver, movements as movementsQuery, tasks as tasksQuery } from "../api/queries";
import { accountOf, linesOf, totalsOf } from "../lib/payments";

export function useAccount() {
  const info = useInfo();
  const query = useInfiniteQuery(movementsQuery);
  const { data: session } = useQuery(sessionQuery);
  const { data: tasks } = useInfiniteQuery(tasksQuery(false));
  const { hasNextPage, isFetchingNextPage, fetchNextPage } = query;
  useEffect(() => {
    // The oldest come first: a balance needs them all.
    if (hasNextPage && !isFetchingNextPage) void fetchNextPage();
  }, [hasNextPage, isFetchingNextPage, fetchNextPage]);
  const items = query.data?.items;
  const account = session?.account ?? info?.account ?? (items ? accountOf(items) : null);
  const lines = useMemo(() => (items && account ? linesOf(items, account) : []), [items, account]);
  const { data: balance } = useQuery(balanceQuery(info, account));
  const reserved = (tasks?.items ?? []).filter((row) => !isOver(row.phase)).reduce((sum, row) => sum + row.escrow_tinybar, 0);
  return { info, query, account, lines, totals: useMemo(() => totalsOf(lines), [lines]), complete: !hasNextPage, balance: balance ?? null, reserved };
}
