"""`shoal up`: a local network that stays, with a client node in this process that serves the HTTP API."""

from __future__ import annotations

from pathlib import Path

import trio

from shoal.api.server import serving
from shoal.cli import output
from shoal.cli.node import served_at, show_token, until_told
from shoal.cli.pair import show
from shoal.localnet.stack import local_stack
from shoal.node import open_node, peer_id_of


async def run_up(
    directory: Path, *, trainers: int, listen: str | None, command_listen: str | None, as_json: bool
) -> None:
    """Until Ctrl-C or SIGTERM. The same directory again goes on with the same network, and with its tasks."""
    directory = directory.resolve()
    async with until_told(), local_stack(directory, trainers=trainers, say=output.say) as stack:
        wanted = {"api_listen": listen, "command_listen": command_listen}
        settings = stack.client.model_copy(update={name: value for name, value in wanted.items() if value})
        async with open_node(settings, roles=["client"]) as node, serving(node, peer_id_of=peer_id_of) as served:
            where = {**served_at(served), "dir": str(directory), "client_dir": str(settings.dir)}
            if as_json:
                output.print_json({"event": "up", **where})
            else:
                for name, value in where.items():
                    output.say(f"{name:12} {value}")
            show_token(served)
            show(served.url, served.access.new_code())
            output.say("the network runs until Ctrl-C; docs/api.md shows what can be asked of it")
            await trio.sleep_forever()
