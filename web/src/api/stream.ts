/** A task's story as it happens: Server-Sent Events that go on after a break, and the state of the stream itself. */

import { createParser } from "eventsource-parser";

import { asProblem, type Problem } from "./problem";
import { send } from "./transport";

/** One happening, as `docs/api.md` describes it. */
export interface Told {
  event: string;
  at_s: number;
  text: string;
  [key: string]: unknown;
}

export type Line = { state: "connecting" | "live" | "ended" } | { state: "broken"; problem: Problem; retryAt: number };

/** What a reader of a story knows. */
export interface Story {
  events: readonly Told[];
  line: Line;
  /** When the node was last heard, in milliseconds of this machine's clock; keep-alive comments count. */
  heardAt: number | null;
}

export const UNTOLD: Story = { events: [], line: { state: "connecting" }, heardAt: null };

/** Pauses grow from one second to half a minute, so that many pages do not storm a node that comes back. */
export function pauseMs(failures: number): number {
  return Math.min(30_000, 1000 * 2 ** Math.max(0, failures - 1));
}

/** Numbers tell what is known already: a stream that begins again repeats nothing. */
export function placed(events: readonly Told[], fresh: readonly { id: number; told: Told }[]): readonly Told[] {
  const next = events.slice();
  for (const { id, told } of fresh) if (id >= next.length) next[id] = told;
  return next;
}

/**
 * Read a story to its end, through breaks.
 *
 * @param path of the stream
 * @param tell is called with what changed, at most once a frame
 */
export async function follow(path: string, signal: AbortSignal, tell: (change: (story: Story) => Story) => void): Promise<void> {
  let last: number | null = null;
  let failures = 0;
  let ended = false;
  while (!signal.aborted && !ended) {
    try {
      const headers = new Headers({ Accept: "text/event-stream" });
      if (last !== null) headers.set("Last-Event-ID", String(last));
      const response = await send(new Request(new URL(path, location.origin), { headers, signal }));
      let waiting: { id: number; told: Told }[] = [];
      const parser = createParser({
        onEvent: (event) => {
          if (event.event === "end") ended = true;
          else if (event.id !== undefined) waiting.push({ id: (last = Number(event.id)), told: JSON.parse(event.data) as Told });
        },
      });
      tell((story) => ({ ...story, line: { state: "live" }, heardAt: Date.now() }));
      const text = response.body!.pipeThrough(new TextDecoderStream()).getReader();
      for (;;) {
        const { done, value } = await text.read();
        if (done) break;
        failures = 0;
        parser.feed(value);
        const fresh = waiting;
        waiting = [];
        tell((story) => ({ ...story, events: fresh.length ? placed(story.events, fresh) : story.events, heardAt: Date.now() }));
      }
      if (!ended && !signal.aborted) throw new Error("the stream ended before the story did");
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      const pause = pauseMs(failures);
      const problem = asProblem(error);
      tell((story) => ({ ...story, line: { state: "broken", problem, retryAt: Date.now() + pause } }));
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  if (ended) tell((story) => ({ ...story, line: { state: "ended" } }));
}
