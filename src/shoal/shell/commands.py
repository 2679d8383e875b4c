"""The registry of commands: name, arguments, help and what each does, for the HTTP door and the interactive shell."""

from __future__ import annotations

import shlex
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from shoal.errors import UsageError
from shoal.shell import hcs, peers, topics, training
from shoal.shell.station import Answer, Call, Station

Work = Callable[[Call, Sequence[str]], Awaitable[Answer]]


@dataclass(frozen=True)
class Command:
    """One command.

    Args:
        arguments: their names for people; one in brackets may be left out, and the last takes all that is left.
        spends: whether it costs a fee on the ledger.
    """

    name: str
    arguments: str
    help: str
    run: Work
    spends: bool = False

    @property
    def usage(self) -> str:
        return f"{self.name} {self.arguments}".strip()


class Shell:
    """A node, commanded by words.

    >>> await Shell(station).run("peers", [])  # doctest: +SKIP
    {'peers': [...]}
    """

    def __init__(self, station: Station, commands: Sequence[Command] = (), *, call: Call | None = None) -> None:
        self.station = station
        self._call = Call(station) if call is None else call
        help_ = Command("help", "[COMMAND...]", "what there is", self._help)
        self.commands = {command.name: command for command in (help_, *COMMANDS, *commands)}

    def given_by(self, call: Call) -> Shell:
        """The same commands for somebody else: one who can be asked, or is told what happens."""
        some = [command for name, command in self.commands.items() if name != "help"]
        return Shell(self.station, some, call=replace(call, station=self.station))

    async def run(self, name: str, arguments: Sequence[str]) -> Answer:
        """Do one command.

        Raises:
            UsageError: SHOAL-U59, there is no such command; U62, its arguments are wrong; U63, not in this role.
            LedgerError, NetworkError: as of the ports.
        """
        return await self._find(name).run(self._call, arguments)

    async def _help(self, call: Call, arguments: Sequence[str]) -> Answer:
        wanted = [self._find(name) for name in arguments] or list(self.commands.values())
        return {"commands": [{"usage": each.usage, "help": each.help, "spends": each.spends} for each in wanted]}

    def _find(self, name: str) -> Command:
        if name not in self.commands:
            raise UsageError(
                f"there is no command {name[:64]!r}",
                code="SHOAL-U59",
                hint=f"one of {', '.join(sorted(self.commands))}",
            )
        return self.commands[name]


def split(line: str) -> list[str]:
    """The words of a line, quoted as in a shell; `#` begins a comment.

    >>> split("publish news 'hello, you'  # to all")
    ['publish', 'news', 'hello, you']

    Raises:
        UsageError: SHOAL-U62, a quotation mark is not closed.
    """
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        raise UsageError(f"the line cannot be read: {error}", code="SHOAL-U62", hint="close every quote") from error


COMMANDS = (
    Command("status", "", "this node in one record: account, balance, peers, consensus time", peers.status),
    Command("local", "", "this node's peer id, addresses and account", peers.local),
    Command("connect", "MULTIADDRESS", "dial a peer: /ip4/ADDRESS/tcp/PORT/p2p/PEER-ID", peers.connect),
    Command("peers", "", "peers that introduced themselves", peers.peers),
    Command("roles", "", "which peers say that they have which role", peers.roles),
    Command("mesh", "", "what this node knows of all nodes", peers.mesh),
    Command("bootmesh", "", "what the bootstrap node knows of all nodes", peers.bootmesh),
    Command("topics", "", "gossip topics that this node or a peer hears", topics.topics),
    Command("join", "TOPIC", "hear a gossip topic", topics.join),
    Command("leave", "TOPIC", "hear it no more, and offer no round on it", topics.leave),
    Command("read", "TOPIC [AFTER]", "kept messages of a joined topic, after a number", topics.read),
    Command("publish", "TOPIC TEXT", "gossip a text to whoever has joined a topic", topics.publish),
    Command("advertize", "TOPIC", "offer a training round on the mesh", topics.advertize),
    Command("offers", "", "training rounds that others offer", topics.offers),
    Command("train", training.USAGE.partition(" ")[2], "buy a training; a topic hears of it", training.train, True),
    Command("create-hcs", "[MEMO]", "a new topic on Hedera's Consensus Service", hcs.create_hcs, spends=True),
    Command("send-hcs", "[TOPIC] TEXT", "put a message on a topic, for good", hcs.send_hcs, spends=True),
    Command("query", "[TOPIC] [COUNT]", "the last messages of a topic", hcs.query),
)
