/** Trainings that this tab buys: they go on while one looks at other pages, and after a reload when they are opened again. */

import { queryOptions, useQuery } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";

import type { TaskClient, TaskRecord, Told } from "../market";
import { desk, market, store } from "./desk";

/** How many tasks this browser has prepared: others need not load the library to find out. */
const HINT = "shoal-tasks";

export interface Run {
  readonly told: Told | null;
  readonly busy: boolean;
  readonly error: unknown;
}

const IDLE: Run = { told: null, busy: false, error: null };
const runs = new Map<string, Run>();
const stops = new Map<string, AbortController>();
const listeners = new Set<() => void>();

function set(task: string, part: Partial<Run>): void {
  runs.set(task, { ...(runs.get(task) ?? IDLE), ...part });
  for (const each of listeners) each();
}

export function useRun(task: string): Run {
  return useSyncExternalStore(
    (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    () => runs.get(task) ?? IDLE,
  );
}

export const tabTasks = queryOptions({
  queryKey: ["tab-tasks"],
  queryFn: async (): Promise<TaskRecord[]> => (localStorage.getItem(HINT) ? (await market()).listTasks(await store()) : []),
  staleTime: 0,
  retry: false,
});

/** What this browser keeps of a task; null where another client bought it, undefined while it is looked up. */
export function useTabTask(task: string): TaskRecord | null | undefined {
  const { data, isPending } = useQuery(tabTasks);
  if (isPending) return undefined;
  return data?.find((each) => each.task.startsWith(task)) ?? null;
}

export function prepared(): void {
  localStorage.setItem(HINT, "yes");
}

/** Go on with a task until the tab may be closed. Called again while it runs, it does nothing. */
export function begin(task: string): void {
  drive(task, (client, options) => client.run(options));
}

/** Settle what is left, and take back what the contract still holds. */
export function finish(task: string): void {
  drive(task, (client, options) => client.finish(options));
}

export function pause(task: string): void {
  stops.get(task)?.abort(new DOMException("paused", "AbortError"));
}

function drive(task: string, work: (client: TaskClient, options: { signal: AbortSignal; onChange: (told: Told) => void }) => Promise<unknown>): void {
  if (runs.get(task)?.busy) return;
  const stop = new AbortController();
  stops.set(task, stop);
  set(task, { busy: true, error: null });
  void (async () => {
    const { resumeTask, taskOf } = await market();
    const client = await resumeTask(await desk(), taskOf(task));
    await work(client, { signal: stop.signal, onChange: (told) => set(task, { told }) });
  })().then(
    () => set(task, { busy: false }),
    (error: unknown) => set(task, { busy: false, error: stop.signal.aborted ? null : error }),
  );
}

/** Give a task up before it starts. Answers the transaction. */
export async function cancel(task: string): Promise<string> {
  const { resumeTask, taskOf } = await market();
  return (await (await resumeTask(await desk(), taskOf(task))).cancel()).transaction;
}

// A tab with something in its hands asks before it closes.
window.addEventListener("beforeunload", (event) => {
  if ([...runs.values()].some(({ busy, told }) => busy && told && !told.outlook.mayClose)) event.preventDefault();
});
