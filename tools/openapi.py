"""Write the API's OpenAPI document to web/openapi.json, from which the web app's client is generated; `--check` compares."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from shoal.api.app import resource_app
from shoal.api.token import Token
from shoal.settings import Settings

PLACE = Path(__file__).resolve().parent.parent / "web" / "openapi.json"


def document() -> str:
    """What `GET /api/v1/openapi.json` answers; no node is needed, since routes touch theirs only when they are asked."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(dir=Path(folder))
        desk = SimpleNamespace(settings=settings, store=None, ledger=None, network=None)
        service = cast(Any, SimpleNamespace(desk=desk))
        app = resource_app(service, Token.load(Path(folder)), peer_id_of=lambda key: "")
        return json.dumps(app.openapi(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    """0 if the document is written, or is the same already."""
    made = document()
    if "--check" not in sys.argv[1:]:
        PLACE.write_text(made)
        return 0
    if PLACE.read_text() == made:
        return 0
    sys.stderr.write("web/openapi.json is not what the API says of itself: run `python tools/openapi.py`\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
