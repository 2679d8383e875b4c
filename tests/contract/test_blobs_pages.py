"""The `Blobs` port against a real S3 server, as far as pages need it: parts that resume, and other origins (CORS)."""

from __future__ import annotations

import contextlib
import http.server
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio

from shoal.adapters.s3 import S3Blobs
from shoal.adapters.transfer import HttpTransfer

MIB = 1024 * 1024
PAGE, STRANGER = "http://127.0.0.1:8420", "https://elsewhere.example"


@pytest.fixture
def key() -> str:
    return f"uploads/{secrets.token_hex(8)}"


async def ask(method: str, url: str, body: bytes = b"", **headers: str) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.request(method, url, content=body or None, headers=headers)


async def test_an_object_in_parts_shows_what_has_arrived_and_becomes_whole(blobs: S3Blobs, key: str) -> None:
    pieces = [os.urandom(5 * MIB), os.urandom(5 * MIB), os.urandom(1_000)]
    parts_id = await blobs.begin_parts(key)
    assert await blobs.parts(key, parts_id) == {}

    def url(number: int) -> str:
        return blobs.presign_part(key, parts_id, number, size_bytes=len(pieces[number - 1]), expires_s=60)

    assert (await ask("PUT", url(3), pieces[2])).status_code == 200
    assert (await ask("PUT", url(1), pieces[0][:-1])).status_code == 403, "a part has the size that was signed"
    assert (await ask("PUT", url(1), pieces[0])).status_code == 200
    assert await blobs.parts(key, parts_id) == {1: 5 * MIB, 3: 1_000}
    assert await blobs.size_of(key) is None
    assert (await ask("PUT", url(2), pieces[1])).status_code == 200
    await blobs.join_parts(key, parts_id)
    assert await blobs.size_of(key) == 10 * MIB + 1_000
    assert (await ask("GET", blobs.presign_get(key, expires_s=60))).content == b"".join(pieces)


async def test_what_is_given_up_is_gone(blobs: S3Blobs, key: str) -> None:
    parts_id = await blobs.begin_parts(key)
    await ask("PUT", blobs.presign_part(key, parts_id, 1, size_bytes=10, expires_s=60), b"0123456789")
    await blobs.drop_parts(key, parts_id)
    await blobs.drop_parts(key, parts_id)  # again is harmless
    assert await blobs.parts(key, parts_id) == {}
    assert await blobs.size_of(key) is None


async def test_a_url_may_be_used_again_where_its_owner_wants_that(blobs: S3Blobs, key: str) -> None:
    url = blobs.presign_put(key, size_bytes=3, expires_s=60, again=True)
    assert [(await ask("PUT", url, body)).status_code for body in (b"one", b"two")] == [200, 200]
    assert (await ask("GET", blobs.presign_get(key, expires_s=60))).content == b"two"


async def test_everything_below_a_prefix_is_removed_and_nothing_beside_it(blobs: S3Blobs, key: str) -> None:
    for name in ("a", "b/c", "b/d"):
        await ask("PUT", blobs.presign_put(f"{key}/{name}", size_bytes=1, expires_s=60, again=True), b"x")
    await blobs.remove(f"{key}/b/")
    await blobs.remove(f"{key}/b/")
    sizes = [await blobs.size_of(f"{key}/{name}") for name in ("a", "b/c", "b/d")]
    assert sizes == [1, None, None]


async def test_pages_of_allowed_origins_may_put_and_get_and_no_others(
    store: Any, transfer: HttpTransfer, key: str
) -> None:
    blobs = store.blobs(transfer, bucket=f"pages-{secrets.token_hex(4)}")
    await blobs.ensure_bucket()
    await blobs.allow_origins([PAGE])
    url = blobs.presign_put(key, size_bytes=3, expires_s=60, again=True)
    wanted = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-none-match,content-type"}
    preflight = await ask("OPTIONS", url, Origin=PAGE, **wanted)
    assert preflight.status_code in (200, 204)
    assert preflight.headers["access-control-allow-origin"] == PAGE
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    refused = await ask("OPTIONS", url, Origin=STRANGER, **wanted)
    assert refused.headers.get("access-control-allow-origin") not in (STRANGER, "*")
    put = await ask("PUT", url, b"abc", Origin=PAGE)
    assert (put.status_code, put.headers["access-control-allow-origin"]) == (200, PAGE)
    other = "http://127.0.0.1:8421"
    await blobs.allow_origins([other])  # another node with the same bucket
    for origin in (PAGE, other):
        preflight = await ask("OPTIONS", url, Origin=origin, **wanted)
        assert preflight.headers["access-control-allow-origin"] == origin
    got = await ask("GET", blobs.presign_get(key, expires_s=60), Origin=PAGE)
    assert (got.content, got.headers["access-control-allow-origin"]) == (b"abc", PAGE)


PAGE_TEXT = """<!doctype html><title>page</title><body>waiting<script>
(async () => {{
  try {{
    const once = {{ "If-None-Match": "*" }};
    const put = await fetch({put!r}, {{ method: "PUT", body: new Uint8Array([1, 2, 3]), headers: once }});
    const part = await fetch({part!r}, {{ method: "PUT", body: new Blob([new Uint8Array(10)]) }});
    const got = await fetch({get!r});
    const bytes = new Uint8Array(await got.arrayBuffer());
    document.body.textContent = `done ${{put.status}} ${{part.status}} ${{got.status}} ${{[...bytes]}}`;
  }} catch (error) {{ document.body.textContent = `failed ${{error}}`; }}
}})();
</script>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
@pytest.mark.parametrize(("allowed", "wanted"), [(True, "done 200 200 200 1,2,3"), (False, "failed TypeError")])
async def test_a_real_browser_puts_and_gets(
    store: Any, transfer: HttpTransfer, key: str, tmp_path: Path, allowed: bool, wanted: str
) -> None:
    blobs = store.blobs(transfer, bucket=f"pages-{secrets.token_hex(4)}")
    await blobs.ensure_bucket()
    parts_id = await blobs.begin_parts(f"{key}-parts")
    urls = {
        "put": blobs.presign_put(key, size_bytes=3, expires_s=60),
        "part": blobs.presign_part(f"{key}-parts", parts_id, 1, size_bytes=10, expires_s=60),
        "get": blobs.presign_get(key, expires_s=60),
    }
    with page_server(PAGE_TEXT.format(**urls).encode()) as origin:
        await blobs.allow_origins([origin if allowed else STRANGER])
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
                   "--virtual-time-budget=20000", "--dump-dom", origin]  # fmt: skip
        with trio.fail_after(120):
            shown = await trio.run_process(command, capture_stdout=True, capture_stderr=True)
    assert wanted in shown.stdout.decode()


@contextlib.contextmanager
def page_server(page: bytes) -> Iterator[str]:
    """Serves one page at every path; its origin."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
