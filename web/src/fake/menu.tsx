/** Chooses the state that a page is shown in. */

import { useRouterState } from "@tanstack/react-router";

import { stateNow, statesOf } from "./states";

export default function FakeMenu() {
  const path = useRouterState({ select: (state) => state.location.pathname });
  if (new URLSearchParams(location.search).has("quiet")) return null;
  return (
    <aside className="fake" aria-label="Recorded data">
      <label>
        Recorded data, state{" "}
        <select
          value={stateNow()}
          onChange={(event) => {
            location.search = `?state=${event.currentTarget.value}`;
          }}
        >
          {statesOf(path).map((state) => (
            <option key={state}>{state}</option>
          ))}
        </select>
      </label>
    </aside>
  );
}
