"""The same run every time: no threads beside the mock clock, one seed for trio's scheduler, no waiting for disks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import trio
import trio.lowlevel
from hypothesis import HealthCheck, settings

settings.register_profile(
    "steady", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("steady")


@pytest.fixture(autouse=True)
def alone_with_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """`autojump_clock` jumps while a thread is at work, and deadlines would pass that no real clock would reach."""

    async def inline(what: Callable[..., Any], *args: Any, **options: Any) -> Any:
        await trio.lowlevel.checkpoint()
        return what(*args)

    monkeypatch.setattr(trio.to_thread, "run_sync", inline)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    # pytest-trio hands it to hypothesis for the same reason; here it is for tests without examples.
    trio._core._run._r.seed(0)  # type: ignore[attr-defined]
