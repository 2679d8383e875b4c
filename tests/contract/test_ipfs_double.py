"""The test double of IPFS services is one to Pinata's own SDK and to Kubo's own client too."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import trio

from .ipfs_double import JWT, Double, serving
from .ipfs_stores import MemoryStore

SCRIPTS = Path(__file__).parents[1] / "js-ipfs"


@pytest.mark.skipif(
    not (SCRIPTS / "node_modules" / "pinata").is_dir() or shutil.which("node") is None,
    reason="needs node, and `npm ci` in tests/js-ipfs",
)
async def test_the_official_clients_work_with_it() -> None:
    async with serving(Double(MemoryStore())) as double:
        with trio.fail_after(120):
            done = await trio.run_process(
                ["node", str(SCRIPTS / "conformance.mjs"), double.url, JWT],
                capture_stdout=True,
                capture_stderr=True,
                check=False,
            )
    assert done.stdout == b"ok\n", done.stderr.decode()
