"""Following a task on the terminal: one line, or one JSON record, for everything that happens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from shoal.cli import output
from shoal.client.story import Story, Told


def tell(told: Told, *, as_json: bool) -> None:
    """One happening."""
    if as_json:
        output.print_json(told.as_dict())
    else:
        output.stderr.print(f"[dim]{told.at_s:7.1f} s[/]  ", end="")
        output.stderr.print(told.text, markup=False, soft_wrap=True)


async def telling(story: Story, work: Callable[[], Awaitable[None]], *, as_json: bool) -> None:
    """Do something while a task's story is told."""
    told = 0

    async def tell_all() -> None:
        nonlocal told
        async for each in story.follow():
            told += 1
            tell(each, as_json=as_json)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(tell_all)
        await work()
        nursery.cancel_scope.cancel()
    for each in story.told[told:]:
        tell(each, as_json=as_json)
