/** Which states a page can be shown in, on recorded data. */

export const STATES = [
  "normal", "empty", "loading", "error", "offline", "locked", "many",
  "open", "awarded", "running", "settling", "cancelled", "expired", "trouble", "broken", "earning", "paused",
] as const;
export type State = (typeof STATES)[number];

const EVERYWHERE: State[] = ["normal", "empty", "loading", "error", "offline"];
const PAGES: [RegExp, State[]][] = [
  [/^\/tasks\/[^/]+\/result$/, ["normal", "running", "locked", "loading", "error", "offline"]],
  [/^\/tasks\/./, ["normal", "open", "awarded", "running", "settling", "cancelled", "expired", "trouble", "broken", "many", "loading", "error", "offline"]],
  [/^\/(tasks|network|payments)$/, [...EVERYWHERE, "many"]],
  [/^\/earn$/, [...EVERYWHERE.filter((each) => each !== "empty"), "earning", "paused", "locked"]],
  [/^\/(train|wallet|settings)$/, [...EVERYWHERE, "locked"]],
];

export function statesOf(path: string): State[] {
  return PAGES.find(([pattern]) => pattern.test(path))?.[1] ?? EVERYWHERE;
}

/** The state that the address names; everything else is normal. */
export function stateNow(): State {
  const found = new URLSearchParams(location.search).get("state");
  return STATES.find((each) => each === found) ?? "normal";
}
