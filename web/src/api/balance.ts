/** An account's balance, read from the mirror node by this page itself: the node need not be believed. */

import { queryOptions } from "@tanstack/react-query";

import type { Info } from "./info";

export const balance = (info: Info | null, account: string | null) =>
  queryOptions({
    queryKey: ["balance", account],
    queryFn: async ({ signal }): Promise<number> => {
      const rest = info!.mirror.rest.replace(/\/+$/, "").replace(/\/api\/v1$/, "");
      const answer = __FAKE__ ? new Response('{"balance":{"balance":0}}') : await fetch(`${rest}/api/v1/accounts/${account!}?transactions=false`, { signal });
      if (!answer.ok) throw new Error(`the mirror node answered with status ${answer.status}`);
      return ((await answer.json()) as { balance: { balance: number } }).balance.balance;
    },
    enabled: info !== null && account !== null && !__FAKE__,
    refetchInterval: 10_000,
  });
