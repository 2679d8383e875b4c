"""One child process as its parent sees it: start, ask, and end it whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import trio

from shoal.adapters.engine import wire
from shoal.adapters.engine.replies import Lie, clean
from shoal.errors import EngineError

_TAIL_BYTES = 4096
_LAST_WORDS_S = 0.5
_EXIT_S = 1.0
_KILLED_S = 10.0
_BLOCK_BYTES = 65_536
_TOO_LONG = b""
"""No frame is empty."""


class Child:
    """A process with pipes. After anything but a whole reply it is dead, and reaped.

    Spawned by this thread and not one of trio's, which end: a process whose death is tied to its parent's is killed
    when the thread that made it ends.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], directory: Path) -> None:
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=environment,
                cwd=directory,
                start_new_session=True,  # a group of its own, to be killed together
            )
        except OSError as error:
            raise EngineError(
                f"the training process cannot be started: {error}",
                code="SHOAL-E07",
                hint="is the Python installation complete, and may this user start processes?",
            ) from error
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self._stdin, self._stdout, self._stderr = (
            trio.lowlevel.FdStream(os.dup(pipe.fileno())) for pipe in pipes if pipe is not None
        )
        for pipe in pipes:
            assert pipe is not None
            pipe.close()
        self._tail = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None and self._process.poll() is None

    async def ask(self, message: Mapping[str, object] | None, *, what: str, timeout_s: float) -> bytes:
        """Send a message, if any, and wait for one frame.

        Raises:
            EngineError: SHOAL-E04 too slow; SHOAL-E05 it died; SHOAL-E08 its reply is too long.
        """
        frame = None
        try:
            with trio.move_on_after(timeout_s) as scope:
                frame = await self._exchange(b"" if message is None else wire.encode(message))
            if scope.cancelled_caught:
                raise EngineError(
                    f"{what} took longer than {timeout_s:g} s and was stopped",
                    code="SHOAL-E04",
                    hint="the machine may be overloaded, or the model larger than it looked",
                )
            if frame is None:
                raise await self._death(what)
            if frame == _TOO_LONG:
                frame = None
                raise Lie("has a length that no answer has")
            return frame
        finally:
            if frame is None:
                await self.aclose()

    async def aclose(self) -> None:
        """Kill it and everything it started, and wait until it is gone; not cancelled by the caller's end."""
        self._kill()
        with trio.CancelScope(shield=True):
            for stream in (self._stdin, self._stdout, self._stderr):
                await stream.aclose()
            if self._process.returncode is None:
                await trio.to_thread.run_sync(self._wait, _KILLED_S)

    # ------------------------------------------------------------

    async def _exchange(self, frame: bytes) -> bytes | None:
        """One frame; None at the end of the pipe. Meanwhile its stderr must not fill up."""
        reply = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drain)
            try:
                if frame:
                    await self._stdin.send_all(frame)
                reply = await self._receive()
            except trio.BrokenResourceError:
                pass
            nursery.cancel_scope.cancel()
        return reply

    async def _receive(self) -> bytes | None:
        prefix = await self._exactly(wire.PREFIX.size)
        if prefix is None:
            return None
        (size,) = wire.PREFIX.unpack(prefix)
        return await self._exactly(size) if 0 < size <= wire.REPLY_BYTES else _TOO_LONG

    async def _exactly(self, size: int) -> bytes | None:
        data = bytearray()
        while len(data) < size:
            more = await self._stdout.receive_some(min(size - len(data), _BLOCK_BYTES))
            if not more:
                return None
            data += more
        return bytes(data)

    async def _drain(self) -> None:
        while more := await self._stderr.receive_some(_BLOCK_BYTES):
            self._tail = (self._tail + more)[-_TAIL_BYTES:]

    async def _death(self, what: str) -> EngineError:
        """What can be said about a child that closed its pipe."""
        with trio.move_on_after(_LAST_WORDS_S):
            await self._drain()
        status = await trio.to_thread.run_sync(self._wait, _EXIT_S)
        lines = self._tail.decode(errors="replace").strip().splitlines()
        last = f": {clean(lines[-1], 300)}" if lines else ""
        if status is None:
            how = "stopped answering"
        elif number := _signal_number(status):
            how = f"was killed by {_signal_name(number)}"
        else:
            how = f"ended with status {status}"
        return EngineError(
            f"the training process {how} during {what}{last}",
            code="SHOAL-E05",
            hint="most often memory: raise engine_memory_mib or free some; it starts again with the next job",
        )

    def _wait(self, timeout_s: float) -> int | None:
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def _kill(self) -> None:
        if self.alive:  # else its number may be another's by now
            os.killpg(self._process.pid, signal.SIGKILL)


def _signal_number(status: int) -> int:
    """0 for none. bubblewrap, like a shell, reports 128 and the signal that ended what it ran."""
    if status < 0:
        return -status
    return status - 128 if 128 < status < 128 + 65 else 0


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
