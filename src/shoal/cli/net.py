"""`shoal peers` and `shoal net`: what a running node sees of the network, or this program if it joins for a moment."""

from __future__ import annotations

from typing import Any

import httpx
import trio

from shoal.cli import output
from shoal.cli.show import table
from shoal.errors import NetworkError, ShoalError, revive
from shoal.node import open_bystander, running_at
from shoal.ports import Network
from shoal.settings import Settings
from shoal.shell.peers import known_peers, summaries

ASK_S = 30.0
JOIN_S = 6.0
SETTLE_S = 1.5
"""How long one who joins for a moment goes on listening, once somebody is there."""


async def run_peers(settings: Settings, *, as_json: bool) -> None:
    """Peers of the node that runs with this directory, else those that one meets who joins."""
    answer = await ask_running(settings, "peers")
    if answer is None:
        async with open_bystander(settings) as network:
            await _meet(network)
            answer = {"peers": known_peers(network)}
    _show(answer["peers"], "peers", as_json=as_json)


async def run_net(settings: Settings, *, as_json: bool) -> None:
    """The mesh: every node that has said something of itself of late."""
    answer = await ask_running(settings, "mesh")
    if answer is None:
        async with open_bystander(settings) as network:
            await _meet(network)
            answer = {"mesh": await _mesh(network)}
    _show(answer["mesh"], "nodes", as_json=as_json)


async def ask_running(settings: Settings, cmd: str, *arguments: str) -> dict[str, Any] | None:
    """A command's answer by the node that runs with this directory; None if none takes commands.

    Raises:
        ShoalError: what the node answered with.
    """
    body = {"cmd": cmd, "args": list(arguments)}
    return await request_running(settings, "command_url", "POST", "/command", body)


async def request_running(
    settings: Settings, door: str, method: str, path: str, body: dict[str, Any] | None = None
) -> dict[str, Any] | None:
    """A request to the node that runs with this directory, with its token; None if none is served there.

    Args:
        door: `url` of the API, or `command_url`.

    Raises:
        ShoalError: what the node answered with.
    """
    url, token = running_at(settings).get(door), settings.dir / "api-token"
    if url is None or not token.is_file():
        return None
    headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
    try:
        async with httpx.AsyncClient(base_url=url, timeout=ASK_S, headers=headers, trust_env=False) as http:
            said = await http.request(method, path, json=body)
            answer = said.json()
    except (httpx.HTTPError, ValueError):
        return None  # it is ending, or has just begun
    if said.is_success:
        return dict(answer)
    raise revive({**answer, "message": str(answer.get("detail", ""))})


async def _meet(network: Network) -> None:
    """Until somebody is there, and a moment more for what they tell.

    Raises:
        NetworkError: SHOAL-N09, nobody comes.
    """
    with trio.move_on_after(JOIN_S) as patience:
        while not any(peer.connected for peer in network.peers()):  # noqa: ASYNC110 - peers come and go
            await trio.sleep(0.1)
    if patience.cancelled_caught:
        raise NetworkError(
            f"nobody was met in {JOIN_S:.0f} s",
            code="SHOAL-N09",
            hint="is a bootstrap node running, and is the setting bootstrap right?",
        )
    await trio.sleep(SETTLE_S)


async def _mesh(network: Network) -> list[dict[str, Any]]:
    """As its peers know it; whoever is here for a moment only is left out."""
    found: dict[str, dict[str, Any]] = {}
    for peer in network.peers():
        if peer.connected:
            try:
                for row in summaries(await network.ask_mesh(peer.peer_id, timeout_s=ASK_S)):
                    if row["peer_id"] != network.peer_id:
                        found.setdefault(row["peer_id"], row)
            except ShoalError:
                continue  # the others will know
    return list(found.values())


def _show(rows: list[dict[str, Any]], what: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json(rows)
    elif rows:
        output.stdout.print(table(rows))
    else:
        output.say(f"no {what}")
