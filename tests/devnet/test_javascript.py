"""The official JavaScript SDK, over gRPC and its browser build over gRPC-web (needs `npm ci` in js/)."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from .harness import PROBE, Devnet

JS = Path(__file__).parents[1] / "js"
STEPS = ("accounts", "hollow", "keyLists", "prechecks", "topics", "files", "contracts", "network")


@pytest.mark.skipif(not (JS / "node_modules").is_dir(), reason="npm ci has not been run in tests/js")
@pytest.mark.parametrize("version", ["2.79", "2.87"])
def test_the_javascript_sdk_works_unmodified(devnet: Devnet, version: str) -> None:
    command = ["node", "conformance.mjs", f"hiero-sdk-{version}", json.dumps(devnet.endpoints), PROBE.hex()]
    done = subprocess.run(command, cwd=JS, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line.split()[1:3] for line in done.stdout.splitlines() if line.startswith("ok ")]
    assert said == [[transport, step] for transport in ("grpc", "browser") for step in STEPS]
