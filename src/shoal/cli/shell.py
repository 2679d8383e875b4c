"""`shoal shell`: a node in this process, commanded by words; from a terminal, a file or a pipe."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import trio

from shoal.api.server import serving_commands
from shoal.cli import output
from shoal.cli.node import show_token, until_told
from shoal.cli.roles import ROLES, confirm_role, opener_of
from shoal.cli.show import printable, show
from shoal.errors import NetworkError, ShoalError, UsageError, first_error
from shoal.ports import Network
from shoal.settings import Settings
from shoal.shell.commands import Command, Shell, split
from shoal.shell.offers import is_free_topic
from shoal.shell.station import Answer, Call, Station, wrong
from shoal.shell.topics import message

LISTEN_S = 0.2
MOST_WAIT_S = 3_600.0
LINE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Wish:
    """What was asked for on the command line."""

    role: str | None
    script: Path | None = None
    keep_going: bool = False
    commands: bool = False
    """Whether the command port is served as well."""
    yes: bool = False


class Front(Protocol):
    """Where lines come from, and where their answers go."""

    interactive: bool

    def lines(self) -> AsyncIterator[str]: ...

    async def ask(self, what: str) -> bool: ...


async def run_shell(settings: Settings, wish: Wish, *, as_json: bool) -> int:
    """Until `exit`, the end of the input, a failure in a script, or a signal; returns the exit status."""
    status = output.INTERRUPTED
    async with until_told():
        status = await _opened(settings, wish, as_json=as_json)
    return status


async def _opened(settings: Settings, wish: Wish, *, as_json: bool) -> int:
    terminal = wish.script is None and sys.stdin.isatty()
    if not terminal and wish.role is None:
        raise UsageError("say which role the node has", code="SHOAL-U01", hint=f"--role {' or '.join(ROLES)}")
    if not terminal:
        return await _run(settings, wish, wish.role or "", _Script(wish), as_json=as_json)
    from shoal.cli.prompt import Terminal, ask_role, whole_lines  # only people need it

    with whole_lines():
        role = wish.role or await ask_role(list(ROLES))
        settings.dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return await _run(settings, wish, role, Terminal(settings.dir, role), as_json=as_json)


async def _run(settings: Settings, wish: Wish, role: str, front: Any, *, as_json: bool) -> int:
    opener = opener_of(role)
    confirm_role(settings, role, yes=wish.yes)
    async with AsyncExitStack() as stack:
        opened = await stack.enter_async_context(opener(settings))
        if wish.commands:
            served = await stack.enter_async_context(serving_commands(opened.station))
            output.say(f"command_url {served.command_url}\ntoken_file {served.token.path}")
            show_token(served)
        nursery = await stack.enter_async_context(trio.open_nursery())
        nursery.start_soon(opened.run)
        opened.station.listeners.append(_tell)
        if front.interactive:
            nursery.start_soon(_print_messages, opened.network)
            output.say(f"{role} {opened.network.peer_id}; `help` lists the commands, `exit` leaves")
        status = await Loop(opened.station, front, wish, as_json=as_json).run()
        nursery.cancel_scope.cancel()
    return status


class Loop:
    """Takes lines one after the other, and shows what each gives."""

    def __init__(self, station: Station, front: Any, wish: Wish, *, as_json: bool) -> None:
        self._front, self._wish, self._as_json = front, wish, as_json
        call = Call(station, ask=self._ask, tell=_tell, waits=not front.interactive)
        self.shell = Shell(station, OWN, call=call)
        if front.interactive:
            front.knows(self.shell)

    async def run(self) -> int:
        """The status to exit with: that of the first failure of a script, else 0."""
        status = 0
        async with aclosing(self._front.lines()) as lines:
            async for line in lines:
                try:
                    words = split(line)
                except UsageError as error:
                    failed: ShoalError | None = error
                    self._fail(line.split()[0], error)
                else:
                    if not words:
                        continue
                    if words[0] in ("exit", "quit"):
                        break
                    failed = await self._do(words)
                if failed is not None and not self._front.interactive:
                    status = status or failed.exit_status
                    if not self._wish.keep_going:
                        break
        return status

    async def _do(self, words: Sequence[str]) -> ShoalError | None:
        """One command; Ctrl-C ends it, and not the node."""
        try:
            answer = await _interruptible(lambda: self.shell.run(words[0], words[1:]))
        except (ShoalError, BaseExceptionGroup) as error:
            found = first_error(error)
            if not isinstance(found, ShoalError):
                raise
            self._fail(words[0], found)
            return found
        if answer is None:
            output.say("interrupted")
        elif self._as_json:
            output.print_json({"command": words[0], "status": "ok", **answer})
        else:
            show(answer)
        return None

    def _fail(self, name: str, error: ShoalError) -> None:
        if self._as_json:
            output.print_json({"command": name, "status": "error", "error": output.record_of(error)})
        else:
            output.show_error(error, as_json=False)

    async def _ask(self, what: str) -> bool:
        return self._wish.yes or await self._front.ask(what)


async def _interruptible(work: Callable[[], Any]) -> Answer | None:
    """None if a Ctrl-C came before it was done."""
    answer: Answer | None = None
    with trio.open_signal_receiver(signal.SIGINT) as signals:
        async with trio.open_nursery() as nursery:

            async def watch() -> None:
                async for _ in signals:
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch)
            answer = await work()
            nursery.cancel_scope.cancel()
    return answer


class _Script:
    """Lines of a file, or of a pipe as they come."""

    interactive = False

    def __init__(self, wish: Wish) -> None:
        self._path = wish.script

    async def lines(self) -> AsyncIterator[str]:
        if self._path is None:
            # A pipe may be silent for ever. The stubs are those of an older trio.
            while line := await trio.to_thread.run_sync(_read_line, abandon_on_cancel=True):  # type: ignore[call-arg]
                yield line
            return
        try:
            text = await trio.Path(self._path).read_text()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not UTF-8"
            raise UsageError(
                f"{self._path} cannot be read: {why}", code="SHOAL-U64", hint="give a text file, a command a line"
            ) from error
        for line in text.splitlines():
            yield line

    async def ask(self, what: str) -> bool:
        return False


def _read_line() -> str:
    return sys.stdin.readline(LINE_BYTES)


def _tell(text: str, record: Answer) -> None:
    output.say(printable(text))


async def _print_messages(network: Network) -> None:
    """What comes on joined topics, as it comes."""
    read: dict[str, int] = {}
    while True:
        joined = [each.name for each in network.topics() if each.joined and is_free_topic(each.name)]
        for topic in joined:
            try:
                found = network.read(topic, after=read.get(topic, 0))
            except NetworkError:
                continue  # it has just been left
            for each in found:
                row = message(each)
                text = row.get("text") or f"{len(each.data)} bytes"
                output.say(printable(f"[{topic}] {each.peer_id[-8:]}: {text}"))
                read[topic] = each.number
        for topic in set(read) - set(joined):
            del read[topic]
        await trio.sleep(LISTEN_S)


async def _wait(call: Call, arguments: Sequence[str]) -> Answer:
    try:
        [text] = arguments
        seconds = float(text)
        if not 0 <= seconds <= MOST_WAIT_S:
            raise ValueError
    except ValueError:
        raise wrong(f"wait SECONDS, up to {MOST_WAIT_S:.0f}") from None
    await trio.sleep(seconds)
    return {"waited_s": seconds}


async def _exit(call: Call, arguments: Sequence[str]) -> Answer:
    raise AssertionError("the loop takes it")


OWN = (
    Command("wait", "SECONDS", "do nothing for a while: for scripts", _wait),
    Command("exit", "", "end the node and leave", _exit),
)
"""Commands of a shell that make no sense over HTTP."""
