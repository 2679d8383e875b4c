/** One training, live: asked again whenever its stream tells that something happened. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { lazy, Suspense, useEffect } from "react";

import { peers as peersQuery, mesh as meshQuery, task as taskQuery, taskLog } from "../../api/queries";
import { useStory } from "../../api/use-story";
import { useTabTask } from "../../tab/runs";
import { Page } from "../../ui/bits";
import { Ask, Bones } from "../../ui/state";
import { TaskView } from "./view";

const TabPanel = lazy(() => import("./tab-panel"));

export default function Task() {
  const { task: id } = useParams({ from: "/tasks/$task" });
  const query = useQuery(taskQuery(id));
  const log = useInfiniteQuery(taskLog(id));
  const story = useStory(id);
  const queries = useQueryClient();
  const told = story.events.length;
  useEffect(() => {
    if (told) void queries.invalidateQueries({ queryKey: ["task", id] });
  }, [told, id, queries]);
  const { data: peers } = useQuery(peersQuery);
  const { data: mesh } = useQuery(meshQuery);
  const mine = useTabTask(id);
  const panel = mine ? (
    <Suspense fallback={<Bones />}>
      <TabPanel record={mine} phase={query.data?.phase ?? null} />
    </Suspense>
  ) : null;

  if (!query.data) {
    return (
      <Page title={mine?.name ?? "Training"}>{panel ?? <Ask query={query}>{() => null}</Ask>}</Page>
    );
  }
  return (
    <TaskView
      record={query.data}
      panel={panel}
      fetchedAt={query.dataUpdatedAt}
      problem={query.error}
      story={story}
      log={log.data?.items ?? []}
      more={log.hasNextPage ? () => void log.fetchNextPage() : null}
      peers={peers ?? []}
      myPeer={mesh?.peer_id ?? null}
    />
  );
}
