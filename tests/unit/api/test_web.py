"""The web app as a node serves it: its own paths, what browsers keep of it, and what a page of it may do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from trio.testing import MockClock

from shoal.api import web

from .desk import Desk, api

INDEX = """<!doctype html><meta name="csp-nonce" content="__CSP_NONCE__">
<script type="module" src="/assets/index-a1b2c3d4.js"></script>
"""


@pytest.fixture
def client(tmp_path: Path) -> TestClient:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text(INDEX)
    (dist / "assets" / "index-a1b2c3d4.js").write_text("export {}")
    (dist / "manifest.webmanifest").write_text("{}")
    (tmp_path / "secret").write_text("not yours")
    app = FastAPI()
    app.include_router(
        web.router(connect=["http://127.0.0.1:5551/api", "http://127.0.0.1:8333"], wallets=False, dist=dist)
    )
    return TestClient(app)


def test_pages_are_the_app_and_files_are_files(client: TestClient) -> None:
    for path in ("/", "/tasks/ab12", "/train/plan", "/index.html"):
        page = client.get(path)
        assert page.status_code == 200 and "/assets/index-a1b2c3d4.js" in page.text, path
        assert page.headers["cache-control"] == "no-store"
    script = client.get("/assets/index-a1b2c3d4.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "immutable" in script.headers["cache-control"]
    other = client.get("/manifest.webmanifest")
    assert other.status_code == 200 and other.headers["cache-control"] == "no-cache"
    for path in ("/assets/gone-00000000.js", "/api/v1/nothing", "/healthz/x"):
        assert client.get(path).status_code == 404, path


def test_no_path_leads_out_of_it(client: TestClient) -> None:
    for path in ("/..%2fsecret", "/%2e%2e/secret", "/assets/..%2f..%2fsecret", "/%00", "//etc/passwd"):
        assert "not yours" not in client.get(path).text, path


def test_a_page_runs_no_inline_script_and_reaches_only_what_it_needs(client: TestClient) -> None:
    first, second = client.get("/"), client.get("/")
    policy = dict(part.split(" ", 1) for part in first.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert "unsafe-inline" not in first.headers["content-security-policy"]
    assert policy["script-src"] == "'self' 'wasm-unsafe-eval'"
    assert policy["connect-src"] == "'self' http://127.0.0.1:5551 http://127.0.0.1:8333"
    nonces = [re.search(r'content="([^"]{22})"', page.text) for page in (first, second)]
    assert nonces[0] and nonces[1] and nonces[0][1] != nonces[1][1]
    assert f"'nonce-{nonces[0][1]}'" in policy["style-src"]
    assert "https://*.walletconnect.org" in web.policy("x", connect=[], wallets=True)


async def test_a_node_without_the_app_says_how_to_build_it(clock: MockClock, desk: Desk) -> None:
    if (web.DIST / "index.html").exists():
        pytest.skip("the app is built here")
    async with api(desk) as it:
        page = await it.http.get("/")
        assert page.status_code == 200 and "make web" in page.text
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
