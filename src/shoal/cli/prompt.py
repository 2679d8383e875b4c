"""The prompt of `shoal shell`: completion, history and help as one types, and output that does not break the line.

prompt_toolkit runs on asyncio, in a thread of its own; the node stays on trio. What trio knows is handed over as a
snapshot, so that the two never look at one another's structures.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import trio
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter, WordCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory
from prompt_toolkit.patch_stdout import patch_stdout

from shoal.cli.show import printable
from shoal.shell.commands import Shell

HISTORY = "shell-history"
SNAPSHOT_S = 1.0
_PEERS, _TOPICS = frozenset({"connect"}), frozenset({"join", "leave", "read", "publish", "advertize", "train"})
_HCS = frozenset({"send-hcs", "query"})


@contextmanager
def whole_lines() -> Iterator[None]:
    """Whatever is printed while somebody types appears above the line that is typed."""
    with patch_stdout(raw=True):
        yield


async def ask_role(roles: Sequence[str]) -> str:
    """Until a role that there is."""
    session: PromptSession[str] = PromptSession(completer=WordCompleter(list(roles)))
    while True:
        role = (await _prompt(session, f"role ({', '.join(roles)}): ")).strip()
        if role in roles:
            return role
        print(f"{printable(role)}: there is no such role")  # noqa: T201


class Terminal:
    """Lines that somebody types.

    Args:
        directory: where the history is kept, for its owner only.
    """

    interactive = True

    def __init__(self, directory: Path, role: str) -> None:
        path = directory / HISTORY
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
        path.chmod(0o600)
        self._completer = _Words()
        self._question: PromptSession[str] = PromptSession()
        self._session: PromptSession[str] = PromptSession(
            history=FileHistory(str(path)),
            completer=self._completer,
            complete_while_typing=True,
            bottom_toolbar=self._usage,
            enable_history_search=False,
        )
        self._prompt = f"{role}> "
        self._shell: Shell | None = None

    def knows(self, shell: Shell) -> None:
        """Whose commands are completed and explained."""
        self._shell = shell
        self._completer.commands = {each.name: each.help for each in shell.commands.values()}

    async def lines(self) -> AsyncIterator[str]:
        """Until Ctrl-D; Ctrl-C drops the line."""
        while True:
            self._take_snapshot()
            try:
                yield await _prompt(self._session, self._prompt)
            except KeyboardInterrupt:
                continue
            except EOFError:
                return

    async def ask(self, what: str) -> bool:
        try:
            answer = await _prompt(self._question, f"{what}? [y/N] ")
        except (KeyboardInterrupt, EOFError):
            return False
        return answer.strip().lower() in ("y", "yes")

    def _usage(self) -> str:
        """What the command that is being typed takes."""
        words = self._session.default_buffer.document.text.split()
        command = self._shell.commands.get(words[0]) if self._shell is not None and words else None
        return f"{command.usage}: {command.help}" if command else "Tab completes, `help` explains, Ctrl-D leaves"

    def _take_snapshot(self) -> None:
        if self._shell is None:
            return
        station = self._shell.station
        offered = [each.topic for each in station.offers.all()]
        free = [each.name for each in station.network.topics() if not each.name.startswith("shoal/")]
        self._completer.topics = [name for name in dict.fromkeys([*free, *offered]) if name.isprintable()]
        self._completer.addresses = [address for peer in station.network.peers() for address in peer.addresses]
        kept = station.store.get("shell", "topic")
        self._completer.hcs = [kept.decode()] if kept else []


class _Words(Completer):
    """Commands first, then what each of them takes."""

    def __init__(self) -> None:
        self.commands: dict[str, str] = {}
        self.topics: list[str] = []
        self.addresses: list[str] = []
        self.hcs: list[str] = []
        self._paths = PathCompleter(expanduser=True)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        words = document.text_before_cursor.split(" ")
        typed = words[-1]
        if len(words) == 1:
            for name, help_ in self.commands.items():
                if name.startswith(typed):
                    yield Completion(name, -len(typed), display_meta=help_)
            return
        if words[0] == "train" and len(words) > 2:
            yield from self._paths.get_completions(Document(typed, len(typed)), complete_event)
            return
        for each in self._arguments(words[0], len(words)):
            if each.startswith(typed):
                yield Completion(each, -len(typed))

    def _arguments(self, name: str, count: int) -> Iterable[str]:
        if name == "help":
            return list(self.commands)
        if count != 2:
            return ()
        if name in _PEERS:
            return self.addresses
        return self.topics if name in _TOPICS else self.hcs if name in _HCS else ()


async def _prompt(session: PromptSession[str], text: str) -> str:
    """Read a line in a thread; cancelled, the terminal is given back as it was.

    Raises:
        EOFError: Ctrl-D, or the node ends.
        KeyboardInterrupt: Ctrl-C.
    """
    result: list[str] = []
    failure: list[BaseException] = []

    def read() -> None:
        try:
            result.append(session.prompt(text))
        except (EOFError, KeyboardInterrupt) as error:
            failure.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(_end_with_us, session)
        await trio.to_thread.run_sync(read)
        nursery.cancel_scope.cancel()
    if failure:
        raise failure[0]
    return result[0]


async def _end_with_us(session: PromptSession[str]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        app, loop = session.app, session.app.loop
        if loop is not None and app.is_running and not loop.is_closed():
            loop.call_soon_threadsafe(_leave, session)


def _leave(session: PromptSession[str]) -> None:
    if session.app.is_running and not session.app.is_done:
        session.app.exit(exception=EOFError())
