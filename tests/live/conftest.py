"""Opt-in tests on a real ledger: skipped, and said so, unless the environment names one and an operator who pays."""

from __future__ import annotations

import os

import pytest

from shoal.settings import Settings

NEEDED = ("NETWORK", "OPERATOR_ID", "OPERATOR_KEY")
HINT = (
    f"set {', '.join(NEEDED)} to run them: NETWORK=testnet spends test HBAR of the operator (about 80), "
    "NETWORK=custom needs SHOAL_LEDGER_NODE and SHOAL_MIRROR_REST too; mainnet is refused"
)
_skipped: list[str] = []


def why_not() -> str:
    """Why these tests cannot run; empty if they can."""
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        return f"no credentials in the environment ({', '.join(missing)})"
    if Settings.load().network == "mainnet":
        return "they spend money, and are not for mainnet"
    return ""


@pytest.fixture(scope="session")
def ledger() -> Settings:
    """The ledger that the environment names."""
    return Settings.load()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_not()
    for item in items:
        if reason and item.path.parent.name == "live":
            item.add_marker(pytest.mark.skip(reason=reason))
            _skipped.append(item.name)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped:
        terminalreporter.write_line(f"live tests skipped: {why_not()}; {HINT}")
