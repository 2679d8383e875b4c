"""The registry of commands: name, arguments, help and what each does, for the HTTP door and an interactive shell."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.client.desk import Desk
from shoal.core import limits
from shoal.core.ids import address_text, entity_number
from shoal.core.task import SECOND_NS
from shoal.errors import UsageError
from shoal.ports import Message

TOPIC_BYTES = 200
MEMO_BYTES = 100
"""Hedera's own limit."""
QUERIED = 25
MOST_QUERIED = 200

Answer = dict[str, Any]
Work = Callable[[Desk, Sequence[str]], Awaitable[Answer]]


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

    >>> await Shell(desk).run("peers", [])  # doctest: +SKIP
    {'peers': [...]}
    """

    def __init__(self, desk: Desk, commands: Sequence[Command] = ()) -> None:
        self._desk = desk
        help_ = Command("help", "[COMMAND...]", "what there is", self._help)
        self.commands = {command.name: command for command in (help_, *COMMANDS, *commands)}

    async def run(self, name: str, arguments: Sequence[str]) -> Answer:
        """Do one command.

        Raises:
            UsageError: SHOAL-U59, there is no such command; U62, its arguments are wrong.
            LedgerError, NetworkError: as of the ports.
        """
        return await self._find(name).run(self._desk, arguments)

    async def _help(self, desk: Desk, arguments: Sequence[str]) -> Answer:
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


# ---------------------------------------------------------------- peers


async def _peers(desk: Desk, arguments: Sequence[str]) -> Answer:
    _none(arguments, "peers")
    return {
        "peers": [
            {
                "peer_id": peer.peer_id,
                "addresses": list(peer.addresses),
                "roles": list(peer.roles),
                "connected": peer.connected,
            }
            for peer in desk.network.peers()
        ]
    }


async def _roles(desk: Desk, arguments: Sequence[str]) -> Answer:
    _none(arguments, "roles")
    roles: dict[str, list[str]] = {}
    for peer in desk.network.peers():
        for role in peer.roles:
            roles.setdefault(role, []).append(peer.peer_id)
    return {"roles": roles}


async def _local(desk: Desk, arguments: Sequence[str]) -> Answer:
    _none(arguments, "local")
    return {
        "peer_id": desk.network.peer_id,
        "addresses": desk.network.addresses(),
        "account": desk.ledger.account,
        "address": address_text(desk.ledger.address),
        "network": desk.settings.network,
        "contract": desk.ledger.contract,
    }


async def _publish(desk: Desk, arguments: Sequence[str]) -> Answer:
    topic, text = _two(arguments, "publish TOPIC TEXT")
    if len(topic.encode()) > TOPIC_BYTES or topic.startswith("shoal/"):
        raise _wrong(f"a topic has up to {TOPIC_BYTES} bytes, and those that begin with shoal/ are the market's own")
    data = text.encode()
    if len(data) > limits.GOSSIP_BYTES:
        raise _wrong(f"{len(data)} bytes, at most {limits.GOSSIP_BYTES} are gossiped")
    await desk.network.publish(topic, data)
    return {"topic": topic, "size_bytes": len(data)}


# ---------------------------------------------------------------- ledger


async def _create_hcs(desk: Desk, arguments: Sequence[str]) -> Answer:
    memo = " ".join(arguments)
    if len(memo.encode()) > MEMO_BYTES:
        raise _wrong(f"a memo has at most {MEMO_BYTES} bytes")
    return {"topic_id": f"0.0.{await desk.ledger.create_topic(memo)}", "memo": memo}


async def _send_hcs(desk: Desk, arguments: Sequence[str]) -> Answer:
    topic, text = _two(arguments, "send-hcs TOPIC TEXT")
    data = text.encode()
    if len(data) > limits.LOG_ENTRY_BYTES:
        raise _wrong(f"{len(data)} bytes, at most {limits.LOG_ENTRY_BYTES} fit a topic's message")
    await desk.ledger.submit(_topic(topic), data)
    return {"topic_id": topic, "size_bytes": len(data)}


async def _query(desk: Desk, arguments: Sequence[str]) -> Answer:
    if not 1 <= len(arguments) <= 2 or (len(arguments) == 2 and not arguments[1].isdecimal()):
        raise _wrong("query TOPIC [COUNT]")
    count = min(int(arguments[1]), MOST_QUERIED) if len(arguments) == 2 else QUERIED
    ledger = desk.ledger
    messages = await ledger.messages(_topic(arguments[0]), after_ns=0, until_ns=await ledger.watermark())
    last = messages[-count:] if count else []
    return {"topic_id": arguments[0], "total": len(messages), "messages": [_message(each) for each in last]}


async def _status(desk: Desk, arguments: Sequence[str]) -> Answer:
    _none(arguments, "status")
    peers, ledger = desk.network.peers(), desk.ledger
    return {
        **await _local(desk, ()),
        "peers_connected": sum(peer.connected for peer in peers),
        "peers_known": len(peers),
        "balance_tinybar": int(await ledger.balance()),
        "consensus_time": await ledger.watermark() / SECOND_NS,
    }


COMMANDS = (
    Command("status", "", "this node in one record: account, balance, peers, consensus time", _status),
    Command("local", "", "this node's peer id, addresses and account", _local),
    Command("peers", "", "peers that introduced themselves", _peers),
    Command("roles", "", "which peers say that they have which role", _roles),
    Command("publish", "TOPIC TEXT", "gossip a text to whoever has joined a topic", _publish),
    Command("create-hcs", "[MEMO]", "a new topic on Hedera's Consensus Service", _create_hcs, spends=True),
    Command("send-hcs", "TOPIC TEXT", "put a message on a topic, for good", _send_hcs, spends=True),
    Command("query", "TOPIC [COUNT]", "the last messages of a topic", _query),
)


def _message(each: Message) -> Answer:
    row: Answer = {
        "sequence_number": each.sequence_number,
        "consensus_time": each.time_ns / SECOND_NS,
        "payer": each.payer,
    }
    try:
        return {**row, "text": each.data.decode()}
    except UnicodeDecodeError:
        return {**row, "hex": each.data.hex()}


def _none(arguments: Sequence[str], usage: str) -> None:
    if arguments:
        raise _wrong(f"{usage} takes no arguments")


def _two(arguments: Sequence[str], usage: str) -> tuple[str, str]:
    """A first word, and the text that the others make."""
    if len(arguments) < 2 or not arguments[0]:
        raise _wrong(usage)
    return arguments[0], " ".join(arguments[1:])


def _topic(text: str) -> int:
    try:
        return entity_number(text)
    except ValueError as error:
        raise _wrong(str(error)) from error


def _wrong(what: str) -> UsageError:
    return UsageError(what, code="SHOAL-U62", hint="`help` shows what a command takes", money="nothing was spent")
