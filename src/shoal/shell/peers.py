"""Commands about peers and the mesh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from shoal.core.ids import address_text
from shoal.core.task import SECOND_NS
from shoal.errors import NetworkError
from shoal.ports import Network, NodeSummary
from shoal.shell.station import Answer, Call, Station, wrong

CONNECT_S = 15.0
ASK_S = 10.0


async def peers(call: Call, arguments: Sequence[str]) -> Answer:
    none(arguments, "peers")
    return {"peers": known_peers(call.station.network)}


def known_peers(network: Network) -> list[Answer]:
    """Peers that introduced themselves, as plain records; addresses and roles are their own words."""
    return [
        {
            "peer_id": peer.peer_id,
            "addresses": list(peer.addresses),
            "roles": list(peer.roles),
            "connected": peer.connected,
            "relayed": peer.relayed,
            "latency_s": peer.latency_s,
            "score": peer.score,
        }
        for peer in network.peers()
    ]


async def roles(call: Call, arguments: Sequence[str]) -> Answer:
    none(arguments, "roles")
    found: dict[str, list[str]] = {}
    for peer in call.station.network.peers():
        for role in peer.roles:
            found.setdefault(role, []).append(peer.peer_id)
    return {"roles": found}


async def connect(call: Call, arguments: Sequence[str]) -> Answer:
    if len(arguments) != 1:
        raise wrong("connect MULTIADDRESS")
    peer_id = await call.station.network.connect(arguments[0], timeout_s=CONNECT_S)
    return {"peer_id": peer_id, "connected": True}


async def local(call: Call, arguments: Sequence[str]) -> Answer:
    none(arguments, "local")
    return {"role": call.station.role, **_local(call.station)}


def _local(station: Station) -> Answer:
    network, desk = station.network, station.desk
    own: Answer = {"peer_id": network.peer_id, "addresses": network.addresses(), "network": station.settings.network}
    if desk is None:
        return own
    ledger = desk.ledger
    return {
        **own,
        "account": ledger.account,
        "address": address_text(ledger.address),
        "contract": ledger.contract,
    }


async def status(call: Call, arguments: Sequence[str]) -> Answer:
    none(arguments, "status")
    station = call.station
    network, found = station.network.status(), station.network.peers()
    row: Answer = {
        "role": station.role,
        **_local(station),
        "reachability": network.reachability,
        "peers_connected": sum(peer.connected for peer in found),
        "peers_known": len(found),
        "peers_cut_off": len(network.cut_off),
    }
    if station.desk is not None:
        ledger = station.desk.ledger
        row["balance_tinybar"] = int(await ledger.balance())
        row["consensus_time"] = await ledger.watermark() / SECOND_NS
    return row


async def mesh(call: Call, arguments: Sequence[str]) -> Answer:
    none(arguments, "mesh")
    return {"mesh": summaries(call.station.network.mesh())}


async def bootmesh(call: Call, arguments: Sequence[str]) -> Answer:
    """The first bootstrap node that answers; a bootstrap node is its own."""
    none(arguments, "bootmesh")
    station = call.station
    if station.role == "bootstrap":
        return {"bootstrap": station.network.peer_id, "mesh": summaries(station.network.mesh())}
    failure: NetworkError | None = None
    for peer_id in bootstrap_ids(station):
        try:
            found = await station.network.ask_mesh(peer_id, timeout_s=ASK_S)
        except NetworkError as error:
            failure = error
        else:
            return {"bootstrap": peer_id, "mesh": summaries(found)}
    raise NetworkError(
        "no bootstrap node answers" + (f": {failure.message}" if failure else ""),
        code="SHOAL-N09",
        hint="`connect` to one, or is the setting bootstrap right?",
    )


def bootstrap_ids(station: Station) -> list[str]:
    """Those of the settings, then connected peers that say that they are one."""
    named = [address.rpartition("/p2p/")[2] for address in station.settings.bootstrap]
    said = [peer.peer_id for peer in station.network.peers() if peer.connected and "bootstrap" in peer.roles]
    return list(dict.fromkeys([*named, *said]))


def summaries(found: Sequence[NodeSummary]) -> list[Answer]:
    """Nodes as plain records.

    >>> summaries([])
    []
    """
    return [
        {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(each).items()}
        for each in found
    ]


def none(arguments: Sequence[str], name: str) -> None:
    if arguments:
        raise wrong(f"{name} takes no arguments")
