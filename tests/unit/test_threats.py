"""Every test that THREATS.md names exists."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
NAMED = re.compile(r"`([a-z0-9_/]*\.py)?::(\w+)`")


def test_every_named_test_exists() -> None:
    checked = 0
    for line in (TESTS.parent / "THREATS.md").read_text().splitlines():
        path = ""
        for file, name in NAMED.findall(line):
            path = file or path
            source = (TESTS / path).read_text()
            assert re.search(rf"(def|class) {name}\b", source) or f"{name} =" in source, f"{path}::{name}"
            checked += 1
    assert checked > 60
