"""The document that the web app's client is generated from is the one that the API serves.

`SHOAL_WRITE=1 pytest tests/unit/api/test_web_document.py` writes it anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx

from .desk import Served

DOCUMENT = Path(__file__).parents[3] / "web" / "openapi.json"


def test_the_committed_document_is_the_served_one(served: Served) -> None:
    answer = httpx.get(f"{served.url}/api/v1/openapi.json", timeout=30).json()
    if os.environ.get("SHOAL_WRITE"):
        DOCUMENT.write_text(json.dumps(answer, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert json.loads(DOCUMENT.read_text()) == answer
