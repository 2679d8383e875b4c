"""Trio in a thread of its own, for programs that do not run on trio: one thread for each network that is open."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, contextmanager
from functools import partial
from typing import Any, ParamSpec, TypeVar, cast

import trio
from anyio.from_thread import start_blocking_portal

from shoal.core.money import Tinybar
from shoal.errors import ShoalError, first_error
from shoal.sdk.net import Net
from shoal.sdk.run import Facts, Run, closed

log = logging.getLogger("shoal")

P = ParamSpec("P")
T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def described_by(method: Callable[..., Any]) -> Callable[[F], F]:
    """As `functools.wraps`: name, signature and docstring are those of what is called in the thread."""
    return cast(Callable[[F], F], functools.wraps(method))


class Portal:
    """A network, open in a thread of its own that lives until `close` or the end of the program.

    The thread also starts the processes of a local network: they end when it does.
    """

    def __init__(self, opener: Callable[[], AbstractAsyncContextManager[Net]]) -> None:
        self._thread = start_blocking_portal("trio", name="shoal")
        self._portal = self._thread.__enter__()
        self._closing = trio.Event()
        self._ended = False
        self.opened: Future[Net] = Future()
        self._host = self._portal.start_task_soon(self._hold, opener)
        self._host.add_done_callback(self._tell)

    async def _hold(self, opener: Callable[[], AbstractAsyncContextManager[Net]]) -> None:
        async with opener() as net:
            self.opened.set_result(net)
            await self._closing.wait()

    def _tell(self, host: Future[None]) -> None:
        """It ended: whoever waits for it to open learns why."""
        if not self.opened.done():
            self.opened.set_exception(closed() if host.cancelled() else host.exception() or closed())

    def start(self, what: Callable[P, Awaitable[T]], *args: P.args, **options: P.kwargs) -> Future[T]:
        """Run something in the thread; cancelling the future cancels it there.

        Raises:
            UsageError: SHOAL-U41, the network is closed.
        """
        if self._host.done() or self._ended:
            raise closed()
        try:
            return self._portal.start_task_soon(partial(what, *args, **options))
        except RuntimeError as error:  # between the question and the start
            raise closed() from error

    def stop(self) -> Future[None]:
        """Begin to close the network; the future ends when all of it has, with what went wrong meanwhile."""
        if not self._host.done():
            self._portal.start_task_soon(self._stop)
        return self._host

    async def _stop(self) -> None:
        if self.opened.done():
            self._closing.set()
        else:
            self._host.cancel()

    def join(self) -> None:
        """End the thread, once the network is closed."""
        if not self._ended:
            self._ended = True
            self._thread.__exit__(None, None, None)


def wait(future: Future[T]) -> T:
    """Its result; what interrupts the wait, such as Ctrl-C, cancels the work too."""
    try:
        return future.result()
    except CancelledError:
        raise closed() from None
    except BaseException as error:
        future.cancel()
        raise (first_error(error) if isinstance(error, BaseExceptionGroup) else error) from None


async def wait_in_asyncio(future: Future[T]) -> T:
    """As `wait`, on asyncio: cancelling the waiter cancels the work."""
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        task: asyncio.Task[Any] | None = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise closed() from None
    except BaseExceptionGroup as group:
        raise first_error(group) from None


@contextmanager
def closing_after(error: BaseException | None) -> Iterator[None]:
    """Close after a block: a network that broke is the reason of what its user saw, any other error goes before."""
    try:
        yield
    except ShoalError as broken:
        if error is None or getattr(error, "code", "") == closed().code:
            raise
        if broken is not error:
            log.warning("%s", broken)


# ---------------------------------------------------------------- what lies on the other side


class Held:
    """An object of the thread, and the way to it."""

    def __init__(self, portal: Portal, held: Any) -> None:
        self._portal, self._held = portal, held


class HeldRun(Held, Facts):
    @property
    def _run(self) -> Run:
        held: Run = self._held
        return held


class HeldOffer(Held):
    @property
    def escrow_tinybar(self) -> Tinybar:
        """The worst case: what is locked until the end."""
        amount: Tinybar = self._held.escrow_tinybar
        return amount

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The name of each class id, as the model's output counts them."""
        names: tuple[str, ...] | None = self._held.classes
        return names

    def as_dict(self) -> dict[str, Any]:
        """The quote, what was found in the data, and the recipe, as plain values."""
        plain: dict[str, Any] = self._held.as_dict()
        return plain

    def __str__(self) -> str:
        return str(self._held)
