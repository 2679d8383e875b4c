"""A clock that begins at 0, as consensus time does here, and runs twenty times as fast; and a node to ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from .desk import Desk, Served, served_in_a_thread


@pytest.fixture
def clock() -> MockClock:
    """A test names it itself, since pytest-trio looks for it among the test's own arguments."""
    return MockClock(rate=20)


@pytest.fixture
async def desk(tmp_path: Path) -> Desk:
    return Desk.make(tmp_path)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A real server on a real port."""
    with served_in_a_thread(tmp_path) as served:
        yield served
