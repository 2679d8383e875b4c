"""The official JavaScript SDK, over gRPC and its browser build over gRPC-web (needs `npm ci` in js/)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .harness import PROBE, Devnet

JS = Path(__file__).parents[1] / "js"


@pytest.mark.skipif(not (JS / "node_modules").is_dir(), reason="npm ci has not been run in tests/js")
def test_the_javascript_sdk_works_unmodified(devnet: Devnet) -> None:
    command = ["node", "conformance.mjs", json.dumps(devnet.endpoints), PROBE.hex()]
    done = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("ok ") == 5
