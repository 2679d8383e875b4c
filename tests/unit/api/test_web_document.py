"""The document that the web app's client is generated from is the one that the API serves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx

from .desk import Served

ROOT = Path(__file__).parents[3]
DOCUMENT = ROOT / "web" / "openapi.json"


def test_the_committed_document_is_the_served_one(served: Served) -> None:
    answer = httpx.get(f"{served.url}/api/v1/openapi.json", timeout=30)
    assert json.loads(DOCUMENT.read_text()) == answer.json()


def test_the_tool_agrees() -> None:
    done = subprocess.run(
        [sys.executable, "tools/openapi.py", "--check"], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stderr) == (0, "")
