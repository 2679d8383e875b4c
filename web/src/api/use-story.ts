/** A task's story in a component. */

import { useEffect, useRef, useState } from "react";

import { follow, type Story, UNTOLD } from "./stream";

/** Follows while the component is there; changes are shown once a frame, however many come. */
export function useStory(taskId: string): Story {
  const [story, setStory] = useState<Story>(UNTOLD);
  const held = useRef<Story>(UNTOLD);
  useEffect(() => {
    const stop = new AbortController();
    let frame = 0;
    held.current = UNTOLD;
    setStory(UNTOLD);
    void follow(`/api/v1/tasks/${encodeURIComponent(taskId)}/events`, stop.signal, (change) => {
      held.current = change(held.current);
      // A timer, not an animation frame: those stop while the tab is hidden.
      frame ||= window.setTimeout(() => {
        frame = 0;
        setStory(held.current);
      }, 50);
    });
    return () => {
      stop.abort();
      clearTimeout(frame);
    };
  }, [taskId]);
  return story;
}
