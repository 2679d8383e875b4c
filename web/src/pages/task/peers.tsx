/** The peers that this node sees, as a picture. */

import type { Peer } from "../../api/client";
import Mesh, { type MeshPeer, meshColour } from "../../ui/mesh";

const SHOWN = 60;

export default function PeersCard({ peers, me }: { peers: readonly Peer[]; me: string | null }) {
  if (!peers.length) return <p className="soft small">This node sees no peer.</p>;
  const nodes = meshPeers(peers, me);
  const roles = [...new Set(nodes.filter((each) => !each.me).map((each) => each.role))];
  return (
    <>
      <Mesh peers={nodes.slice(0, SHOWN)} />
      <div className="legend">
        <span>
          <i className="dot" style={{ color: meshColour("me") }} /> this node
        </span>
        {roles.map((role) => (
          <span key={role}>
            <i className="dot" style={{ color: meshColour(role) }} /> {role}
          </span>
        ))}
        {nodes.length > SHOWN ? <span>{nodes.length - SHOWN} more are not drawn</span> : null}
      </div>
    </>
  );
}

/** Peers for the picture, this node first; whether it lists itself or not, it is there once. */
export function meshPeers(peers: readonly Peer[], me: string | null): MeshPeer[] {
  const others = peers
    .filter((each) => each.peer_id !== me)
    .map((each) => ({ id: each.peer_id, label: each.peer_id.slice(-5), role: each.roles[0] ?? "unknown", connected: each.connected }));
  return [{ id: me ?? "me", label: "this node", role: "me", connected: true, me: true }, ...others];
}
