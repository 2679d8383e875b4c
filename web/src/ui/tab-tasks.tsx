/** Trainings that this browser has in its hands, so that one finds back to them after a reload. */

import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";

import { tabTasks } from "../tab/runs";
import { Notice } from "./state";

export function TabTasks() {
  const { data } = useQuery(tabTasks);
  const open = (data ?? []).filter((each) => !each.over);
  if (!open.length) return null;
  return (
    <Notice title={open.length === 1 ? "This browser is the client of a training" : `This browser is the client of ${open.length} trainings`}>
      <ul className="plain-list">
        {open.slice(0, 5).map((each) => (
          <li key={each.task}>
            <Link to="/tasks/$task" params={{ task: each.task }}>
              {each.name}
            </Link>{" "}
            <span className="soft small">{each.created ? "paid" : each.uploaded ? "sent, not paid yet" : "not sent yet"}</span>
          </li>
        ))}
      </ul>
    </Notice>
  );
}
