/** The peers as this node sees them: a force-directed picture, laid out once and kept still. */

import { forceCenter, forceCollide, forceLink, forceManyBody, forceSimulation, type SimulationNodeDatum } from "d3-force";
import { useMemo } from "react";

export interface MeshPeer {
  id: string;
  label: string;
  role: string;
  connected: boolean;
  me?: boolean;
}

const WIDTH = 320;
const HEIGHT = 240;
const COLOURS: Record<string, string> = {
  me: "var(--accent)",
  trainer: "var(--t4)",
  bootstrap: "var(--t1)",
  validator: "var(--t2)",
  client: "var(--t0)",
};

export function meshColour(role: string): string {
  return COLOURS[role] ?? "var(--soft)";
}

export default function Mesh({ peers }: { peers: MeshPeer[] }) {
  const key = peers.map((each) => `${each.id}${each.connected}`).join();
  const placed = useMemo(() => layout(peers), [key]);
  const me = placed.find((each) => each.peer.me);
  const connected = peers.filter((each) => each.connected && !each.me).length;
  return (
    <svg className="mesh" viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`This node is connected to ${connected} of ${peers.length - 1} peers that it knows`}>
      {me
        ? placed
            .filter((each) => each.peer.connected && !each.peer.me)
            .map((each) => <line key={each.peer.id} x1={me.x} y1={me.y} x2={each.x} y2={each.y} stroke="var(--line)" strokeWidth={1.5} />)
        : null}
      {placed.map(({ peer, x, y }) => (
        <g key={peer.id} opacity={peer.connected || peer.me ? 1 : 0.45}>
          <circle cx={x} cy={y} r={peer.me ? 11 : 8} fill={meshColour(peer.me ? "me" : peer.role)} stroke="var(--card)" strokeWidth={2.5}>
            <title>{`${peer.label}: ${peer.role}${peer.connected || peer.me ? "" : ", not connected"}`}</title>
          </circle>
          {placed.length <= 24 ? (
            <text x={x} y={(y ?? 0) + 25} textAnchor="middle" fontSize={11.5} fill="var(--soft)">
              {peer.label}
            </text>
          ) : null}
        </g>
      ))}
    </svg>
  );
}

interface Placed extends SimulationNodeDatum {
  peer: MeshPeer;
}

function layout(peers: MeshPeer[]): Placed[] {
  const nodes: Placed[] = peers.map((peer) => ({ peer }));
  const mine = nodes.find((each) => each.peer.me);
  const links = mine ? nodes.filter((each) => each !== mine).map((each) => ({ source: mine, target: each })) : [];
  const spread = Math.max(30, Math.min(78, 300 / Math.sqrt(peers.length)));
  forceSimulation(nodes)
    .force("charge", forceManyBody().strength(-260))
    .force("link", forceLink(links).distance(spread).strength(0.5))
    .force("apart", forceCollide(26))
    .force("centre", forceCenter(WIDTH / 2, HEIGHT / 2 - 6))
    .stop()
    .tick(300);
  for (const node of nodes) {
    node.x = Math.min(WIDTH - 40, Math.max(40, node.x ?? 0));
    node.y = Math.min(HEIGHT - 34, Math.max(18, node.y ?? 0));
  }
  return nodes;
}
