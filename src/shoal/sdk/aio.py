"""The market for asyncio programs: the objects of `shoal.sdk.net`, awaited from asyncio while trio runs in a thread."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from torch import nn

from shoal.client.story import Told
from shoal.sdk import net as inner
from shoal.sdk import run as runs
from shoal.sdk.portal import Held, HeldOffer, HeldRun, Portal, closing_after, described_by, wait_in_asyncio
from shoal.settings import Settings

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


def _awaiting(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """The same method of the object that is held, awaited from asyncio."""

    @described_by(method)
    async def call(self: Any, /, *args: P.args, **options: P.kwargs) -> T:
        result: T = await wait_in_asyncio(self._portal.start(method, self._held, *args, **options))
        return result

    return call


class Run(HeldRun):
    """One task, driven to its end in the background; of another account's, its log.

    >>> run = await net.train(model, (x, y), budget="5 hbar")  # doctest: +SKIP
    >>> async for event in run.watch():
    ...     print(event)
    >>> model.load_state_dict(await run.weights())
    """

    wait = _awaiting(runs.Run.wait)
    weights = _awaiting(runs.Run.weights)
    save = _awaiting(runs.Run.save)
    detach = _awaiting(runs.Run.detach)
    event = _awaiting(runs.Run.event)

    async def watch(self, start: int = 0) -> AsyncIterator[Told]:
        """Everything that happens, from the beginning or the `start`-th happening on, until the weights are here.

        Raises:
            ShoalError: at the end, why there are no weights.
        """
        while (told := await self.event(start)) is not None:
            yield told
            start += 1


class Offer(HeldOffer):
    """What a training would cost at most, and what was found in model and data. Nothing is spent, nothing has left."""

    async def accept(self) -> Run:
        """Buy it: the escrow is paid, and the run goes on in the background. Raises as `shoal.trio.Offer.accept`."""
        return Run(self._portal, await wait_in_asyncio(self._portal.start(inner.Offer.accept, self._held)))


class Net(Held):
    """An ML user's place on a network."""

    @property
    def settings(self) -> Settings:
        held: inner.Net = self._held
        return held.settings

    @described_by(inner.Net.quote)
    async def quote(self, model: nn.Module | str | Path, dataset: Any = None, **options: Any) -> Offer:
        asked = self._portal.start(inner.Net.quote, self._held, model, dataset, **options)
        return Offer(self._portal, await wait_in_asyncio(asked))

    @described_by(inner.Net.train)
    async def train(
        self,
        model: nn.Module | str | Path,
        dataset: Any = None,
        *,
        confirm: Callable[[Offer], object] | None = None,
        budget: inner.Budget | None = None,
        **options: Any,
    ) -> Run:
        inner.need_consent(budget, confirm)
        offer = await self.quote(model, dataset, budget=budget, **options)
        if confirm is not None:
            answer = confirm(offer)
            inner.check_consent(await answer if inspect.isawaitable(answer) else answer)
        return await offer.accept()

    @described_by(inner.Net.get)
    async def get(self, task_id: str) -> Run:
        return Run(self._portal, await wait_in_asyncio(self._portal.start(inner.Net.get, self._held, task_id)))

    tasks = _awaiting(inner.Net.tasks)
    verify = _awaiting(inner.Net.verify)


@asynccontextmanager
async def _opened(opener: Callable[[], AbstractAsyncContextManager[inner.Net]]) -> AsyncIterator[Net]:
    portal = await asyncio.to_thread(Portal, opener)
    error: BaseException | None = None
    try:
        yield Net(portal, await wait_in_asyncio(portal.opened))
    except BaseException as raised:
        error = raised
        raise
    finally:
        with closing_after(error):
            await asyncio.shield(_close(portal))


async def _close(portal: Portal) -> None:
    try:
        await wait_in_asyncio(portal.stop())
    finally:
        await asyncio.to_thread(portal.join)


def connect(
    dir: str | Path | None = None, *, settings: Settings | None = None, **values: Any
) -> AbstractAsyncContextManager[Net]:
    """Join a network; arguments and errors are those of `shoal.trio.connect`.

    >>> async with shoal.asyncio.connect() as net:  # doctest: +SKIP
    ...     print(await net.tasks())
    """
    return _opened(functools.partial(inner.connect, dir, settings=settings, **values))


def local(*, trainers: int = 4, dir: str | Path | None = None) -> AbstractAsyncContextManager[Net]:
    """A whole network on this machine, each part a process of its own, which ends with the block.

    Arguments and errors are those of `shoal.trio.local`.

    >>> async with shoal.asyncio.local() as net:  # doctest: +SKIP
    ...     run = await net.train("examples/digits", rounds=5, budget="5 hbar")
    """
    return _opened(functools.partial(inner.local, trainers=trainers, dir=dir))
