/** Times as people read them. Consensus time is Unix seconds. */

const DAY_S = 86_400;

/** A span: `0.4 s`, `12 s`, `3 min 20 s`, `2 h 5 min`, `3 days`. */
export function span(seconds: number): string {
  const all = Math.max(0, seconds);
  if (all < 10) return `${(Math.round(all * 10) / 10).toString()} s`;
  const whole = Math.round(all);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return pair(Math.floor(whole / 60), "min", whole % 60, "s");
  if (whole < 2 * DAY_S) return pair(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return `${Math.floor(whole / DAY_S)} days`;
}

/** How long ago: `just now`, `12 s ago`, `3 days ago`. */
export function ago(at: number, now: number): string {
  const passed = now - at;
  return passed < 2 ? "just now" : `${span(Math.floor(passed))} ago`;
}

/** A moment in the reader's own time zone. */
export function moment(at: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" }).format(at * 1000);
}

export function day(at: number): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium" }).format(at * 1000);
}

/** Time into a task: `0:07`, `3:20`, `1:02:09`. */
export function clock(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (n: number) => n.toString().padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

function pair(first: number, unit: string, second: number, smaller: string): string {
  return second ? `${first} ${unit} ${second} ${smaller}` : `${first} ${unit}`;
}
