"""The web app, where it was built: files of the package, with the policies that a page with a wallet needs."""

from __future__ import annotations

import mimetypes
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import APIRouter
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, HTMLResponse, Response

DIST = Path(__file__).parents[1] / "web" / "dist"
"""Where `make web` puts it."""
NONCE = "__CSP_NONCE__"
"""In index.html: replaced by a fresh nonce for style elements that the app makes, at each request."""
_HASHED = re.compile(r".*[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+")
_FOR_EVER, _ASK = "public, max-age=31536000, immutable", "no-cache"
_NOT_PAGES = ("api/", "healthz", "readyz", "assets/")
_WALLETS = (
    "https://*.walletconnect.com", "https://*.walletconnect.org", "wss://*.walletconnect.com",
    "wss://*.walletconnect.org", "https://*.web3modal.org",
)  # fmt: skip
_ICONS = ("https://*.walletconnect.com", "https://*.walletconnect.org")
_FRAMES = ("https://verify.walletconnect.com", "https://verify.walletconnect.org")
_HEDERA = ("https://*.hedera.com", "https://*.hashgraph.com")
_MISSING = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>shoal</title>
<h1>shoal</h1>
<p>This node runs. Its web app is not built: <code>make web</code> in the source tree does it; then start the node
again.</p>
<p>The HTTP API is at <a href="/api/v1/openapi.json">/api/v1</a>.</p>
</html>
"""


def policy(nonce: str, *, connect: Sequence[str], wallets: bool) -> str:
    """The Content-Security-Policy of a page: own scripts only, none inline; and the servers that it needs.

    Args:
        connect: URLs of the mirror node, of gRPC-web and of storage.
        wallets: whether WalletConnect is used, with Hedera's public servers.
    """
    origins = sorted({f"{parts.scheme}://{parts.netloc}" for url in connect if (parts := urlsplit(url)).netloc})
    others = [*_WALLETS, *_HEDERA] if wallets else []
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self' 'wasm-unsafe-eval'",
            f"style-src 'self' 'nonce-{nonce}'",
            " ".join(["img-src 'self' data: blob:", *(_ICONS if wallets else ())]),
            "font-src 'self'",
            " ".join(["connect-src 'self'", *origins, *others]),
            "worker-src 'self' blob:",
            "manifest-src 'self'",
            " ".join(["frame-src", *(_FRAMES if wallets else ("'none'",))]),
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "object-src 'none'",
        )
    )


def router(*, connect: Sequence[str], wallets: bool, dist: Path = DIST) -> APIRouter:
    """`/` and everything below it that no other route has: to be added last.

    Any path without a file gets the app itself, which knows its own pages.
    """
    routes = APIRouter(include_in_schema=False)
    # Looked up by name, so that no path leads anywhere else.
    files = {str(each.relative_to(dist)): each for each in sorted(dist.rglob("*")) if each.is_file()}
    files.pop("index.html", None)

    @routes.get("/{path:path}")
    async def get_page(path: str) -> Response:
        if path in files:
            return _file(files[path])
        if path.startswith(_NOT_PAGES):
            raise HTTPException(404, "there is nothing at this path")
        index = dist / "index.html"
        nonce = secrets.token_urlsafe(16)
        text = index.read_text().replace(NONCE, nonce) if index.is_file() else _MISSING
        headers = {
            "Content-Security-Policy": policy(nonce, connect=connect, wallets=wallets),
            "Cache-Control": "no-store",
            "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
        }
        return HTMLResponse(text, headers=headers)

    return routes


def _file(path: Path) -> Response:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    is_hashed = path.parent.name == "assets" and _HASHED.fullmatch(path.name) is not None
    return FileResponse(path, media_type=kind, headers={"Cache-Control": _FOR_EVER if is_hashed else _ASK})
