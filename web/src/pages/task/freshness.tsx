/** How fresh the page is: whether its stream lives, and how old its numbers are. */

import type { Story } from "../../api/stream";
import { span } from "../../lib/time";
import { Pill, useNow } from "../../ui/bits";
import { Notice, sentence } from "../../ui/state";

export function Freshness({ story, fetchedAt, over }: { story: Story; fetchedAt: number; over: boolean }) {
  const now = useNow();
  const { line } = story;
  const age = Math.max(0, now - fetchedAt / 1000);
  const numbers = `numbers read ${age < 2 ? "just now" : `${span(Math.floor(age))} ago`}`;
  if (line.state === "broken") {
    return (
      <Notice kind="warn" title="The live stream is broken">
        <p>
          {line.problem.isDisconnected ? "The node does not answer." : sentence(line.problem.body.detail)} It is tried again in {span(Math.max(0, Math.ceil(line.retryAt / 1000 - now)))};{" "}
          {numbers}. The training itself does not need this page.
        </p>
      </Notice>
    );
  }
  if (over && line.state === "ended") return null;
  return (
    <div className="row soft small" aria-live="off">
      <Pill tone={line.state === "live" ? "live" : ""} dot>
        {line.state === "live" ? "Live" : line.state === "ended" ? "Story complete" : "Connecting"}
      </Pill>
      <span>{numbers}</span>
      {story.heardAt && line.state === "live" ? <span>stream heard {span(Math.max(0, Math.floor(now - story.heardAt / 1000)))} ago</span> : null}
    </div>
  );
}
