"""One demo network for all tests of this folder that only look at it or use it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from .harness import Running, gone


@dataclass(frozen=True)
class Demo:
    """A demo left running by `--keep`."""

    running: Running
    directory: Path
    report: dict[str, Any]

    @property
    def client(self) -> Path:
        return self.directory / "client"


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """As `make demo ARGS=--keep`, in an empty directory."""
    home = tmp_path_factory.mktemp("demo")
    running = Running(["demo", "--keep", "--json", "--dir", str(home / "network")], home)
    report = running.until(lambda: next((value for value in running.json() if "task_id" in value), None))
    yield Demo(running, home / "network", report)
    processes = running.tree()
    status = running.end()
    assert status == 130, running.story()
    assert gone(processes) == []
