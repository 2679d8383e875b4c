/** One training, live: asked again whenever its stream tells that something happened. */

import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { useEffect } from "react";

import { peers as peersQuery, mesh as meshQuery, task as taskQuery, taskLog } from "../../api/queries";
import { useStory } from "../../api/use-story";
import { Page } from "../../ui/bits";
import { Ask } from "../../ui/state";
import { TaskView } from "./view";

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

  if (!query.data) {
    return (
      <Page title="Training">
        <Ask query={query}>{() => null}</Ask>
      </Page>
    );
  }
  return (
    <TaskView
      record={query.data}
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
