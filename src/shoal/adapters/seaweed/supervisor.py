"""Keeps `weed` running: starts it, starts it again when it dies, and ends it when we are told to or left alone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TextIO

from shoal.adapters.seaweed.command import HOST, Layout
from shoal.adapters.seaweed.logfile import LogFile
from shoal.adapters.seaweed.probe import is_ready
from shoal.errors import ProcessError

READY_S = 30.0
STOP_S = 3.5
"""Given to weed to end by itself; whoever stops us may wait for 5."""
_STARTS = 3
"""Tries to come up, each on other ports, since somebody may take a port between our look and weed's."""
_POLL_S = 0.03
_WATCH_S = 1.0
_HEALTHY_S = 60.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 10.0
_PR_SET_PDEATHSIG = 1
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class Supervisor:
    """One `weed` in one directory; single-threaded, since it forks.

    >>> Supervisor(Layout.open(Path("s3")), port_base=0, talk=sys.stderr).run(print)  # doctest: +SKIP
    http://127.0.0.1:12345
    """

    def __init__(self, layout: Layout, *, port_base: int, talk: TextIO) -> None:
        self._layout, self._wanted, self._talk = layout, port_base, talk
        self._log = LogFile(layout.directory / "weed.log", layout.secrets())
        self._weed: subprocess.Popen[bytes] | None = None
        self._base = 0
        self._ending = False
        self._parent = os.getppid()
        self._libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def run(self, announce: Callable[[str], None]) -> None:
        """Until SIGTERM, SIGINT, or the end of our parent.

        Args:
            announce: called once, with the endpoint's URL, when an object has been put successfully.

        Raises:
            ProcessError: SHOAL-P02, no ports; P05, it does not come up; P06, it is not installed.
        """
        with selectors.DefaultSelector() as self._selector, self._signals():
            try:
                self._come_up()
                if not self._ending:
                    announce(f"http://{HOST}:{self._base}")
                    self._keep_up()
            finally:
                self._stop()

    # ------------------------------------------------------------

    def _come_up(self) -> None:
        for attempt in range(_STARTS):
            self._base = self._layout.choose_base(self._wanted, again=attempt > 0)
            self._start()
            deadline = time.monotonic() + READY_S
            while not self._ending and self._is_alive() and time.monotonic() < deadline:
                if is_ready(self._base, self._layout.credentials):
                    return
                self._wait(_POLL_S)
            if self._ending:
                return
            self._stop()
        raise ProcessError(
            f"the S3 server did not come up; the end of its log:\n{self._log.tail()}",
            code="SHOAL-P05",
            hint=f"its whole log is {self._log.path}",
        )

    def _keep_up(self) -> None:
        pause, started = _FIRST_PAUSE_S, time.monotonic()
        while not self._ending:
            self._wait(_WATCH_S)
            if self._ending or self._is_alive():
                continue
            assert self._weed is not None
            if time.monotonic() - started > _HEALTHY_S:
                pause = _FIRST_PAUSE_S
            self._say(f"weed ended with status {self._weed.returncode}; starting it again in {pause:.1f} s")
            self._stop()
            until = time.monotonic() + pause
            while not self._ending and time.monotonic() < until:
                self._wait(max(0.0, until - time.monotonic()))
            if not self._ending:
                self._start()
            pause, started = min(pause * 2, _LONGEST_PAUSE_S), time.monotonic()

    def _start(self) -> None:
        self._layout.remove_sockets(self._base)
        self._weed = subprocess.Popen(
            self._layout.command(self._base),
            env=self._layout.environment(),
            cwd=self._layout.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[self._layout.lock],
            preexec_fn=self._die_with_parent,
        )
        assert self._weed.stdout is not None, "opened with a pipe"
        os.set_blocking(self._weed.stdout.fileno(), False)
        self._selector.register(self._weed.stdout, selectors.EVENT_READ, self._take_log)

    def _die_with_parent(self) -> None:
        """In the child: not even our SIGKILL leaves it behind (prctl(2); where there is none, the lock tells)."""
        if self._libc is not None:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def _stop(self) -> None:
        """End weed and whatever it started, if it is not over yet."""
        weed, self._weed = self._weed, None
        if weed is None:
            return
        assert weed.stdout is not None, "opened with a pipe"
        with contextlib.suppress(ProcessLookupError):
            os.killpg(weed.pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_S
            while weed.poll() is None and time.monotonic() < deadline:
                self._wait(_POLL_S)
            os.killpg(weed.pid, signal.SIGKILL)
        weed.wait()
        self._take_log(weed.stdout.fileno())
        self._selector.unregister(weed.stdout)
        weed.stdout.close()
        self._log.flush()
        self._layout.remove_sockets(self._base)

    def _is_alive(self) -> bool:
        return self._weed is not None and self._weed.poll() is None

    # ------------------------------------------------------------ waiting

    def _wait(self, timeout_s: float) -> None:
        """Sleep until a signal, a line of weed's, or the time has come."""
        for key, _ in self._selector.select(timeout_s):
            key.data(key.fd)
        if os.getppid() != self._parent:
            self._ending = True

    def _take_log(self, descriptor: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := os.read(descriptor, 65_536):
                self._log.write(data)
            # The end of the pipe would be readable for ever: poll tells of the death, after a pause.
            time.sleep(0.01)

    def _take_signal(self, descriptor: int) -> None:
        for number in os.read(descriptor, 64):
            if number in _ENDING:
                self._ending = True

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        """Turn signals into bytes that `_wait` sees, so that none is lost between a look and a sleep."""
        receiver, sender = socket.socketpair()
        with receiver, sender:
            receiver.setblocking(False)
            sender.setblocking(False)
            signal.set_wakeup_fd(sender.fileno())
            for number in (*_ENDING, signal.SIGCHLD):
                signal.signal(number, _ignore)
            self._selector.register(receiver, selectors.EVENT_READ, self._take_signal)
            try:
                yield
            finally:
                signal.set_wakeup_fd(-1)

    def _say(self, text: str) -> None:
        self._talk.write(f"{text}\n")
        self._talk.flush()


def _ignore(number: int, frame: FrameType | None) -> None:
    """A handler must exist for the wakeup descriptor to be written to."""
