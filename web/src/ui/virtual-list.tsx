/** A list of any length: only what is in sight is in the page. */

import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef } from "react";

export function VirtualList<T>({ items, label, estimate = 36, stick, tall, render }: {
  items: readonly T[];
  label: string;
  estimate?: number;
  /** Keep the end in sight while it is in sight. */
  stick?: boolean;
  tall?: boolean;
  render: (item: T, index: number) => ReactNode;
}) {
  const box = useRef<HTMLDivElement>(null);
  const atEnd = useRef(true);
  const virtual = useVirtualizer({
    count: items.length,
    getScrollElement: () => box.current,
    estimateSize: () => estimate,
    overscan: 12,
  });
  useEffect(() => {
    if (stick && atEnd.current && items.length) virtual.scrollToIndex(items.length - 1, { align: "end" });
  }, [items.length, stick, virtual]);
  return (
    <div
      ref={box}
      className={`list-scroll${tall ? " tall" : ""}`}
      role="region"
      aria-label={label}
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        atEnd.current = scrollHeight - scrollTop - clientHeight < 48;
      }}
    >
      <div className="list-inner" role="list" style={{ height: virtual.getTotalSize() }}>
        {virtual.getVirtualItems().map((row) => (
          <div
            key={row.key}
            ref={virtual.measureElement}
            data-index={row.index}
            role="listitem"
            aria-setsize={items.length}
            aria-posinset={row.index + 1}
            className="list-item"
            style={{ transform: `translateY(${row.start}px)` }}
          >
            {render(items[row.index]!, row.index)}
          </div>
        ))}
      </div>
    </div>
  );
}
