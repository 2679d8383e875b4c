/** Curves by round: uPlot, loaded when the first one is shown, with the same numbers as a table for whoever cannot see them. */

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

export interface Curve {
  label: string;
  /** A custom property of the palette: `--accent`. */
  colour: string;
  values: (number | null)[];
  strong?: boolean;
}

export default function Chart({ rounds, curves, label, percent, height = 220 }: {
  rounds: number[];
  curves: Curve[];
  label: string;
  percent?: boolean;
  height?: number;
}) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const shape = curves.map((each) => each.label + each.colour).join();
  const held = useRef({ rounds, curves });
  held.current = { rounds, curves };

  useEffect(() => {
    const root = box.current!;
    const make = () => {
      plot.current?.destroy();
      const { rounds: x, curves: lines } = held.current;
      plot.current = new uPlot(options(root, lines, percent ?? false, height), [x, ...lines.map((each) => each.values)] as uPlot.AlignedData, root);
    };
    make();
    const size = new ResizeObserver(() => plot.current?.setSize({ width: root.clientWidth, height }));
    size.observe(root);
    // Canvas does not know the palette: it is drawn again when the colours change.
    const scheme = new MutationObserver(make);
    scheme.observe(document.documentElement, { attributeFilter: ["data-mantine-color-scheme"] });
    return () => {
      size.disconnect();
      scheme.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, percent, height]);

  useEffect(() => {
    plot.current?.setData([rounds, ...curves.map((each) => each.values)] as uPlot.AlignedData);
  }, [rounds, curves]);

  const last = (each: Curve) => each.values.findLast((value) => value !== null);
  return (
    <figure className="stack">
      <div ref={box} className="chart" style={{ height }} aria-hidden />
      <figcaption className="sr">
        {label}. {curves.map((each) => `${each.label}: ${last(each)?.toFixed(4) ?? "no value yet"}`).join("; ")}
      </figcaption>
    </figure>
  );
}

function options(root: HTMLElement, curves: Curve[], percent: boolean, height: number): uPlot.Options {
  const style = getComputedStyle(document.documentElement);
  const colour = (name: string) => style.getPropertyValue(name).trim();
  const axis: uPlot.Axis = {
    stroke: colour("--soft"),
    font: "12px Inter, sans-serif",
    grid: { stroke: colour("--line"), width: 1 },
    ticks: { show: false },
  };
  return {
    width: root.clientWidth,
    height,
    padding: [8, 12, 0, 0],
    legend: { show: false },
    cursor: { y: false, points: { size: 6 } },
    scales: { x: { time: false } },
    axes: [
      { ...axis, grid: { show: false }, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], values: (_, ticks) => ticks.map((tick) => tick.toString()) },
      { ...axis, size: 52, values: (_, ticks) => ticks.map((tick) => (percent ? `${Math.round(tick * 1000) / 10} %` : Number(tick.toPrecision(4)).toString())) },
    ],
    series: [
      {},
      ...curves.map((each) => ({
        label: each.label,
        stroke: colour(each.colour),
        width: each.strong ? 2.75 : 1.25,
        points: { show: each.strong ?? false, size: 6, fill: colour("--card") },
        spanGaps: true,
      })),
    ],
  };
}
