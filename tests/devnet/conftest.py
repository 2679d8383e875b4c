"""One devnet for the tests that only add to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .harness import Devnet


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kill-rounds", type=int, default=3, help="how often a devnet is killed under load")


@pytest.fixture(scope="session")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    net = Devnet(tmp_path_factory.mktemp("devnet"))
    yield net
    assert net.stop() == 0
