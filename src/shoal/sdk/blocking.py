"""The market for plain programs and notebooks: the objects of `shoal.sdk.net`, whose methods wait."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from torch import nn

from shoal.client.story import Told
from shoal.sdk import net as inner
from shoal.sdk import run as runs
from shoal.sdk.portal import HeldOffer, HeldRun, Portal, closing_after, described_by, wait
from shoal.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


def _waiting(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Any, P], T]:
    """The same method of the object that is held, which waits for its result."""

    @described_by(method)
    def call(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        result: T = wait(self._portal.start(method, self._held, *args, **options))
        return result

    return call


class Run(HeldRun):
    """One task, driven to its end in the background; of another account's, its log.

    >>> run = net.train(model, (x, y), budget="5 hbar")  # doctest: +SKIP
    >>> for event in run.watch():
    ...     print(event)
    >>> model.load_state_dict(run.weights())
    """

    wait = _waiting(runs.Run.wait)
    weights = _waiting(runs.Run.weights)
    save = _waiting(runs.Run.save)
    detach = _waiting(runs.Run.detach)
    event = _waiting(runs.Run.event)

    def watch(self, start: int = 0) -> Iterator[Told]:
        """Everything that happens, from the beginning or the `start`-th happening on, until the weights are here.

        Raises:
            ShoalError: at the end, why there are no weights.
        """
        while (told := self.event(start)) is not None:
            yield told
            start += 1


class Offer(HeldOffer):
    """What a training would cost at most, and what was found in model and data. Nothing is spent, nothing has left.

    >>> offer = net.quote(model, (x, y), rounds=10)  # doctest: +SKIP
    >>> print(offer)
    >>> run = offer.accept()
    """

    def accept(self) -> Run:
        """Buy it: the escrow is paid, and the run goes on in the background. Raises as `shoal.trio.Offer.accept`."""
        return Run(self._portal, wait(self._portal.start(inner.Offer.accept, self._held)))


class Net:
    """An ML user's place on a network, open until `close` or the end of the `with` block."""

    def __init__(self, opener: Callable[[], AbstractAsyncContextManager[inner.Net]]) -> None:
        self._portal = Portal(opener)
        atexit.register(self.close)
        try:
            self._held = wait(self._portal.opened)
        except BaseException:
            # Ctrl-C too: what was started already is ended, and waited for. Why it failed is known.
            with suppress(Exception):
                self.close()
            raise

    @property
    def settings(self) -> Settings:
        return self._held.settings

    @described_by(inner.Net.quote)
    def quote(self, model: nn.Module | str | Path, dataset: Any = None, **options: Any) -> Offer:
        return Offer(self._portal, wait(self._portal.start(inner.Net.quote, self._held, model, dataset, **options)))

    @described_by(inner.Net.train)
    def train(
        self,
        model: nn.Module | str | Path,
        dataset: Any = None,
        *,
        confirm: Callable[[Offer], object] | None = None,
        budget: inner.Budget | None = None,
        **options: Any,
    ) -> Run:
        inner.need_consent(budget, confirm)
        offer = self.quote(model, dataset, budget=budget, **options)
        if confirm is not None:  # in this thread, which may ask at a terminal
            inner.check_consent(confirm(offer))
        return offer.accept()

    @described_by(inner.Net.get)
    def get(self, task_id: str) -> Run:
        return Run(self._portal, wait(self._portal.start(inner.Net.get, self._held, task_id)))

    tasks = _waiting(inner.Net.tasks)
    verify = _waiting(inner.Net.verify)

    def close(self) -> None:
        """Leave the network; a local one ends, with all of its processes. Runs that have started go on without us.

        Raises:
            ShoalError: what went wrong in the background, such as a process of a local network that died.
        """
        atexit.unregister(self.close)
        try:
            wait(self._portal.stop())
        finally:
            self._portal.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with closing_after(error):
            self.close()


def connect(dir: str | Path | None = None, *, settings: Settings | None = None, **values: Any) -> Net:
    """Join a network; arguments and errors are those of `shoal.trio.connect`.

    >>> with shoal.connect(dir="~/.shoal") as net:  # doctest: +SKIP
    ...     print(net.tasks())
    """
    return Net(functools.partial(inner.connect, dir, settings=settings, **values))


def local(*, trainers: int = 4, dir: str | Path | None = None) -> Net:
    """A whole network on this machine, each part a process of its own, which ends with the block, or with `close`.

    Arguments and errors are those of `shoal.trio.local`.

    >>> with shoal.local() as net:  # doctest: +SKIP
    ...     run = net.train("examples/digits", rounds=5, budget="5 hbar")
    ...     run.save("weights.safetensors")
    """
    return Net(functools.partial(inner.local, trainers=trainers, dir=dir))
