/** Questions to the node, and how long an answer is good. */

import { infiniteQueryOptions, keepPreviousData, queryOptions } from "@tanstack/react-query";

import { api, data, type LogRecord, type Movement, type TaskRow, type Trainer } from "./client";

const SECOND = 1000;
/** The states that a task does not leave. */
export const OVER = new Set(["settled", "cancelled", "expired"]);

export function isOver(phase: string): boolean {
  return OVER.has(phase);
}

export const tasks = (all: boolean) =>
  infiniteQueryOptions({
    queryKey: ["tasks", { all }],
    queryFn: async ({ pageParam, signal }) =>
      data(await api.GET("/api/v1/tasks", { params: { query: { all, cursor: pageParam, limit: 50 } }, signal })),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    select: (pages): { items: TaskRow[] } => ({ items: pages.pages.flatMap((page) => page.items) }),
    refetchInterval: 15 * SECOND,
  });

export const task = (id: string) =>
  queryOptions({
    queryKey: ["task", id],
    queryFn: async ({ signal }) => data(await api.GET("/api/v1/tasks/{task}", { params: { path: { task: id } }, signal })),
    // Events tell when to ask; this is for what happens between two of them, such as deliveries in a round.
    refetchInterval: (query) => (query.state.data && isOver(query.state.data.phase) ? false : 3 * SECOND),
  });

export const taskLog = (id: string) =>
  infiniteQueryOptions({
    queryKey: ["task", id, "log"],
    queryFn: async ({ pageParam, signal }) =>
      data(
        await api.GET("/api/v1/tasks/{task}/log", {
          params: { path: { task: id }, query: { cursor: pageParam, limit: 200 } },
          signal,
        }),
      ),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => page.next ?? undefined,
    select: (pages): { items: LogRecord[] } => ({ items: pages.pages.flatMap((page) => page.items) }),
    refetchInterval: 15 * SECOND,
  });

export const movements = infiniteQueryOptions({
  queryKey: ["movements"],
  queryFn: async ({ pageParam, signal }) =>
    data(await api.GET("/api/v1/ledger/movements", { params: { query: { cursor: pageParam, limit: 200 } }, signal })),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => page.next ?? undefined,
  select: (pages): { items: Movement[] } => ({ items: pages.pages.flatMap((page) => page.items) }),
  refetchInterval: 30 * SECOND,
});

export const peers = queryOptions({
  queryKey: ["peers"],
  queryFn: async ({ signal }) => data(await api.GET("/api/v1/peers", { signal })).items,
  refetchInterval: 5 * SECOND,
  placeholderData: keepPreviousData,
});

export const mesh = queryOptions({
  queryKey: ["mesh"],
  queryFn: async ({ signal }) => data(await api.GET("/api/v1/mesh", { signal })),
  refetchInterval: 5 * SECOND,
});

export const trainers = infiniteQueryOptions({
  queryKey: ["trainers"],
  queryFn: async ({ pageParam, signal }) =>
    data(await api.GET("/api/v1/trainers", { params: { query: { cursor: pageParam, limit: 100 } }, signal })),
  initialPageParam: undefined as string | undefined,
  getNextPageParam: (page) => page.next ?? undefined,
  select: (pages): { items: Trainer[] } => ({ items: pages.pages.flatMap((page) => page.items) }),
  refetchInterval: 15 * SECOND,
});

export const readiness = queryOptions({
  queryKey: ["readiness"],
  queryFn: async ({ signal }) => data(await api.GET("/readyz", { signal })) as { status: string; checks: Record<string, boolean> },
  refetchInterval: 5 * SECOND,
});
