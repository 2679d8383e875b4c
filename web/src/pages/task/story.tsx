/** What happened, in order; a screen reader hears what is new. */

import type { Story } from "../../api/stream";
import { clock } from "../../lib/time";
import { Card } from "../../ui/bits";
import { VirtualList } from "../../ui/virtual-list";

export function StoryCard({ story }: { story: Story }) {
  return (
    <Card title="What happened" aside={<span className="soft small num">{story.events.length} {story.events.length === 1 ? "event" : "events"}</span>}>
      {story.events.length ? (
        <VirtualList
          items={story.events}
          label="What happened"
          stick
          render={(told) => (
            <div className="told">
              <span className="soft num small">{clock(told.at_s)}</span>
              <span>{told.text}</span>
            </div>
          )}
        />
      ) : (
        <p className="soft">Nothing is told yet.</p>
      )}
      <p className="sr" role="status">
        {story.events.at(-1)?.text ?? ""}
      </p>
    </Card>
  );
}
