"""The `Transfer` port: against a real S3 server, and against servers that cut, lie, stall and lead astray."""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.s3 import S3Blobs
from shoal.adapters.transfer import HttpTransfer, guard
from shoal.adapters.transfer.guard import PublicOnly, is_public
from shoal.adapters.transfer.target import Target
from shoal.errors import CryptoError, ShoalError, StorageError

MIB = 1024 * 1024
SECRET = "X-Amz-Signature=5ec4e7"
ONE = hashlib.sha256(b"x").digest()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.adapters.transfer.http._FIRST_PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def no_url_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)
    yield
    assert "X-Amz" not in caplog.text
    assert "/secret/path" not in caplog.text


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def refused(code: str, act: Callable[[], Awaitable[None]], *, timeout_s: float = 20) -> ShoalError:
    """The error, of the right code, that tells a user what to do, and nobody the URL."""
    with trio.fail_after(timeout_s), pytest.raises((StorageError, CryptoError)) as caught:
        await act()
    error = caught.value
    assert error.code == code, error
    told = [error, error.__cause__] if error.__cause__ or error.__suppress_context__ else [error, error.__context__]
    for text in [f"{each!r} {each}" for each in told] + [str(error.as_dict())]:
        assert "X-Amz" not in text
        assert "secret/path" not in text
    return error


# ---------------------------------------------------------------- servers that we script

Script = Callable[[trio.SocketStream, bytes], Awaitable[None]]


@asynccontextmanager
async def server(script: Script) -> AsyncIterator[str]:
    """A URL at a server that reads the head of each request, follows the script, and hangs up."""

    async def serve(stream: trio.SocketStream) -> None:
        with trio.move_on_after(20):
            try:
                head = b""
                while b"\r\n\r\n" not in head:
                    if not (data := await stream.receive_some(65_536)):
                        return
                    head += data
                await script(stream, head)
            except trio.BrokenResourceError:
                pass

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, serve, 0)
        port = listeners[0].socket.getsockname()[1]
        yield f"http://127.0.0.1:{port}/secret/path?X-Amz-Credential=me&{SECRET}"
        nursery.cancel_scope.cancel()


def answers(status: str, body: bytes = b"", **headers: str) -> Script:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    reply = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def script(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(reply)

    return script


class Cutter:
    """Serves ranges of `data`, and hangs up after `most` bytes of each answer."""

    def __init__(self, data: bytes, most: int, *, etag: str = '"1"', ranges: bool = True) -> None:
        self.data, self.most, self.etag, self.ranges = data, most, etag, ranges
        self.asked: list[int] = []

    async def __call__(self, stream: trio.SocketStream, head: bytes) -> None:
        fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        start = int(fields.get(b"Range", b"bytes=0-")[6:-1]) if self.ranges else 0
        if fields.get(b"If-Range", self.etag.encode()) != self.etag.encode():
            start = 0
        self.asked.append(start)
        rest = self.data[start:]
        status = (
            f"206 Partial\r\nContent-Range: bytes {start}-{len(self.data) - 1}/{len(self.data)}" if start else "200"
        )
        await stream.send_all(
            f"HTTP/1.1 {status}\r\nContent-Length: {len(rest)}\r\nETag: {self.etag}\r\n\r\n".encode()
            + rest[: self.most]
        )


# ---------------------------------------------------------------- the real store


@pytest.mark.parametrize("size", [0, 1, 65_536, 5 * MIB + 1])
async def test_up_and_down(blobs: S3Blobs, transfer: HttpTransfer, tmp_path: Path, size: int) -> None:
    key, source, out = secrets.token_hex(8), tmp_path / "source", tmp_path / "out"
    source.write_bytes(os.urandom(size))
    await transfer.upload(blobs.presign_put(key, size_bytes=size, expires_s=60), source, timeout_s=60)
    digest = hashlib.sha256(source.read_bytes()).digest()
    url = blobs.presign_get(key, expires_s=60)
    for expected in (digest, None):
        await transfer.download(url, out, sha256=expected, max_bytes=size, timeout_s=60)
        assert out.read_bytes() == source.read_bytes()
    assert files(tmp_path) == ["out", "source"]


async def test_a_slot_of_another_size(blobs: S3Blobs, transfer: HttpTransfer, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(bytes(101))
    url = blobs.presign_put(secrets.token_hex(8), size_bytes=100, expires_s=60)
    await refused("SHOAL-S03", lambda: transfer.upload(url, source, timeout_s=30))


async def test_missing_and_tampered(blobs: S3Blobs, transfer: HttpTransfer, tmp_path: Path) -> None:
    url, out = blobs.presign_get("secret/path", expires_s=60), tmp_path / "out"

    async def get(url: str) -> None:
        await transfer.download(url, out, sha256=None, max_bytes=100, timeout_s=30)

    await refused("SHOAL-S05", lambda: get(url))
    error = await refused("SHOAL-S03", lambda: get(url[:-4] + "0000"))
    assert "SignatureDoesNotMatch" in error.message
    assert files(tmp_path) == []


async def test_other_bytes_than_promised(blobs: S3Blobs, transfer: HttpTransfer, tmp_path: Path) -> None:
    key, source, out = secrets.token_hex(8), tmp_path / "source", tmp_path / "out"
    source.write_bytes(b"weights")
    out.write_bytes(b"before")
    await blobs.put(key, source)
    url = blobs.presign_get(key, expires_s=60)
    await refused("SHOAL-K02", lambda: transfer.download(url, out, sha256=ONE, max_bytes=100, timeout_s=30))
    assert out.read_bytes() == b"before"
    assert files(tmp_path) == ["out", "source"]


async def test_a_larger_object_than_allowed(blobs: S3Blobs, transfer: HttpTransfer, tmp_path: Path) -> None:
    key, source = secrets.token_hex(8), tmp_path / "source"
    source.write_bytes(bytes(1_000))
    await blobs.put(key, source)
    url = blobs.presign_get(key, expires_s=60)
    await refused(
        "SHOAL-S06", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=999, timeout_s=30)
    )
    assert files(tmp_path) == ["source"]


# ---------------------------------------------------------------- connections that break


@pytest.mark.parametrize("most", [100_000, 1_500_000])
async def test_a_broken_download_goes_on_where_it_broke(transfer: HttpTransfer, tmp_path: Path, most: int) -> None:
    data, out = os.urandom(3 * MIB if most > MIB else 450_000), tmp_path / "out"
    cutter = Cutter(data, most)
    async with server(cutter) as url:
        await transfer.download(url, out, sha256=hashlib.sha256(data).digest(), max_bytes=len(data), timeout_s=20)
    assert out.read_bytes() == data
    assert cutter.asked == list(range(0, len(data), most))
    assert files(tmp_path) == ["out"]


async def test_an_object_that_changes_underway_is_read_again(transfer: HttpTransfer, tmp_path: Path) -> None:
    """Without a hash, only the ETag tells that the rest would be another object's."""
    old, new = Cutter(b"a" * 1_000, 600, etag='"a"'), Cutter(b"b" * 1_000, 1_000, etag='"b"')

    async def script(stream: trio.SocketStream, head: bytes) -> None:
        await (new if old.asked else old)(stream, head)

    async with server(script) as url:
        await transfer.download(url, tmp_path / "out", sha256=None, max_bytes=1_000, timeout_s=20)
    assert (tmp_path / "out").read_bytes() == b"b" * 1_000


async def test_a_server_without_ranges(transfer: HttpTransfer, tmp_path: Path) -> None:
    cutter = Cutter(b"c" * 1_000, 600, ranges=False)

    async def script(stream: trio.SocketStream, head: bytes) -> None:
        await cutter(stream, head)
        cutter.most = 1_000

    async with server(script) as url:
        await transfer.download(url, tmp_path / "out", sha256=None, max_bytes=1_000, timeout_s=20)
    assert (tmp_path / "out").read_bytes() == b"c" * 1_000


async def test_a_range_that_was_not_asked_for(transfer: HttpTransfer, tmp_path: Path) -> None:
    """A 206 that starts elsewhere is not appended; in the end nothing is kept."""
    script = answers("206 Partial", b"zzz", Content_Range="bytes 5-7/8")
    async with server(script) as url:
        await refused(
            "SHOAL-S07", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=99, timeout_s=20)
        )
    assert files(tmp_path) == []


async def test_it_gives_up_on_a_server_that_always_cuts(transfer: HttpTransfer, tmp_path: Path) -> None:
    cutter = Cutter(b"d" * 1_000, 0)
    async with server(cutter) as url:
        await refused(
            "SHOAL-S09", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=1_000, timeout_s=20)
        )
    assert 3 < len(cutter.asked) < 10
    assert files(tmp_path) == []


@pytest.mark.parametrize("status", ["500 Oops", "503 Slow Down", "429 Too Many"])
async def test_a_busy_server_is_asked_again(transfer: HttpTransfer, tmp_path: Path, status: str) -> None:
    asked = 0

    async def script(stream: trio.SocketStream, head: bytes) -> None:
        nonlocal asked
        asked += 1
        await (answers("200 OK", b"x") if asked == 3 else answers(status, b"<Code>SlowDown</Code>"))(stream, head)

    async with server(script) as url:
        await transfer.download(url, tmp_path / "out", sha256=ONE, max_bytes=1, timeout_s=20)
    async with server(answers(status, b"<Code>SlowDown</Code>")) as url:
        error = await refused(
            "SHOAL-S07", lambda: transfer.download(url, tmp_path / "out", sha256=ONE, max_bytes=1, timeout_s=20)
        )
        assert "SlowDown" in error.message


async def test_a_server_that_stalls(transfer: HttpTransfer, tmp_path: Path) -> None:
    async def script(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        await trio.sleep_forever()

    async with server(script) as url:
        await refused(
            "SHOAL-S09", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=100, timeout_s=0.5)
        )
    assert files(tmp_path) == []


async def test_nobody_listens(transfer: HttpTransfer, tmp_path: Path) -> None:
    url = f"http://127.0.0.1:9/secret/path?{SECRET}"
    await refused("SHOAL-S01", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=1, timeout_s=20))


# ---------------------------------------------------------------- servers that lie


async def test_an_endless_answer_is_left_early(transfer: HttpTransfer, tmp_path: Path) -> None:
    sent = 0

    async def script(stream: trio.SocketStream, head: bytes) -> None:
        nonlocal sent
        await stream.send_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await stream.send_all(b"10000\r\n" + bytes(65_536) + b"\r\n")
            sent += 65_536

    async with server(script) as url:
        await refused(
            "SHOAL-S06",
            lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=300_000, timeout_s=20),
        )
    assert sent < 20 * MIB
    assert files(tmp_path) == []


async def test_an_announced_length_is_believed_at_once(transfer: HttpTransfer, tmp_path: Path) -> None:
    async def script(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        await trio.sleep_forever()

    async with server(script) as url:
        await refused(
            "SHOAL-S06", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=999, timeout_s=20)
        )


async def test_redirects_are_not_followed(transfer: HttpTransfer, tmp_path: Path) -> None:
    async with server(answers("200 OK", b"inside")) as inside:
        async with server(answers("302 Found", Location=inside)) as url:
            await refused(
                "SHOAL-S07", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=99, timeout_s=20)
            )


async def test_compressed_answers_are_not_unpacked(transfer: HttpTransfer, tmp_path: Path) -> None:
    bomb = b"\x1f\x8b\x08\0" + bytes(50)
    async with server(answers("200 OK", bomb, Content_Encoding="gzip")) as url:
        await transfer.download(url, tmp_path / "out", sha256=None, max_bytes=99, timeout_s=20)
    assert (tmp_path / "out").read_bytes() == bomb


async def test_an_errors_text_is_not_repeated(transfer: HttpTransfer, tmp_path: Path) -> None:
    """It is a stranger's: only a code of letters is shown."""
    body = b"<Code>\x1b[31mFake</Code><Message>/secret/path X-Amz</Message>" + bytes(100_000)
    async with server(answers("403 No", body)) as url:
        await refused(
            "SHOAL-S03", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=99, timeout_s=20)
        )


# ---------------------------------------------------------------- uploads


async def test_an_upload_is_tried_again_from_the_start(transfer: HttpTransfer, tmp_path: Path) -> None:
    source, bodies = tmp_path / "source", []
    source.write_bytes(os.urandom(3 * MIB))

    async def script(stream: trio.SocketStream, head: bytes) -> None:
        head, _, body = head.partition(b"\r\n\r\n")
        assert f"content-length: {3 * MIB}".encode() in head.lower()
        most = MIB if not bodies else 3 * MIB
        while len(body) < most:
            body += await stream.receive_some(65_536)
        bodies.append(body)
        if len(bodies) > 1:
            await answers("200 OK")(stream, head)

    async with server(script) as url:
        await transfer.upload(url, source, timeout_s=20)
    assert bodies[1] == source.read_bytes()


@pytest.mark.parametrize(("status", "signed", "success"), [(412, True, True), (412, False, False), (409, True, False)])
async def test_conditional_answers(
    transfer: HttpTransfer, tmp_path: Path, status: int, signed: bool, success: bool
) -> None:
    source, heads = tmp_path / "source", []
    source.write_bytes(b"x")

    async def script(stream: trio.SocketStream, head: bytes) -> None:
        heads.append(head.lower())
        await answers(f"{status} No")(stream, head)

    async with server(script) as url:
        url += "&X-Amz-SignedHeaders=content-length%3Bhost" + ("%3Bif-none-match" if signed else "")
        if success:
            await transfer.upload(url, source, timeout_s=20)
        else:
            await refused("SHOAL-S07", lambda: transfer.upload(url, source, timeout_s=20))
    assert all((b"if-none-match: *" in head) is signed for head in heads)
    assert len(heads) == (6 if status == 409 else 1), "a conflict may pass"


async def test_a_missing_file(transfer: HttpTransfer, tmp_path: Path) -> None:
    await refused("SHOAL-S11", lambda: transfer.upload("http://127.0.0.1:9/x", tmp_path / "none", timeout_s=5))


async def test_a_missing_directory(transfer: HttpTransfer, tmp_path: Path) -> None:
    out = tmp_path / "none" / "out"
    await refused(
        "SHOAL-S11", lambda: transfer.download("http://127.0.0.1:9/x", out, sha256=None, max_bytes=1, timeout_s=5)
    )


async def test_cancelled_downloads_leave_nothing(transfer: HttpTransfer, tmp_path: Path) -> None:
    async def script(stream: trio.SocketStream, head: bytes) -> None:
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
        await trio.sleep_forever()

    async with server(script) as url:
        with trio.move_on_after(0.3) as scope:
            await transfer.download(url, tmp_path / "out", sha256=None, max_bytes=100, timeout_s=20)
    assert scope.cancelled_caught
    assert files(tmp_path) == []


# ---------------------------------------------------------------- where URLs may lead


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "file:///etc/passwd", "ftp://example.com/x", "http://", "http:///x", "https://user:pw@example.com/x",
        "http://example.com:99999/", "http://[::1/", "http://exa mple.com/", "http://example.com/\r\nHost: x",
        "http://example.com/ü", "http://example.com/" + "x" * 9_000, "unix:///var/run/docker.sock",
    ],
)  # fmt: skip
async def test_what_is_no_url(transfer: HttpTransfer, tmp_path: Path, url: str) -> None:
    await refused("SHOAL-S08", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=1, timeout_s=5))
    await refused("SHOAL-S08", lambda: transfer.upload(url, tmp_path / "out", timeout_s=5))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.1", "2130706433", "0x7f000001", "localhost", "0.0.0.0", "[::1]", "[::]", "10.1.2.3",
        "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "[fe80::1]", "[fd00:ec2::254]",
        "[::ffff:127.0.0.1]", "[::ffff:a9fe:a9fe]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "224.0.0.1",
        "255.255.255.255",
    ],
)  # fmt: skip
async def test_strangers_cannot_lead_a_node_inside(tmp_path: Path, host: str) -> None:
    async with HttpTransfer(allow_private=False) as transfer:
        url = f"http://{host}:9/secret/path?{SECRET}"
        await refused(
            "SHOAL-S08", lambda: transfer.download(url, tmp_path / "out", sha256=None, max_bytes=1, timeout_s=10)
        )
        (tmp_path / "source").write_bytes(b"x")
        await refused("SHOAL-S08", lambda: transfer.upload(url, tmp_path / "source", timeout_s=10))


@pytest.mark.parametrize(
    "address", ["93.184.216.34", "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::808:808", "::ffff:8.8.8.8"]
)
def test_public_addresses(address: str) -> None:
    assert is_public(address)


async def test_a_name_with_one_inner_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(host: str, port: int, **_: object) -> list[Any]:
        return [(0, 0, 0, "", ("93.184.216.34", port)), (0, 0, 0, "", ("10.0.0.1", port))]

    monkeypatch.setattr(guard.trio.socket, "getaddrinfo", resolve)
    with pytest.raises(StorageError) as caught:
        await PublicOnly().connect_tcp("two.example", 80, timeout=5)
    assert caught.value.code == "SHOAL-S08"


async def test_it_connects_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads elsewhere when it is asked a second time (DNS rebinding) is not asked a second time."""
    asked, connected = [], []

    async def resolve(host: str, port: int, **_: object) -> list[Any]:
        asked.append(host)
        return [(0, 0, 0, "", ("93.184.216.34" if len(asked) == 1 else "127.0.0.1", port))]

    class Inner:
        async def connect_tcp(self, host: str, *_: object) -> str:
            connected.append(host)
            return "stream"

    monkeypatch.setattr(guard.trio.socket, "getaddrinfo", resolve)
    backend = PublicOnly()
    backend._inner = Inner()  # type: ignore[assignment]
    assert await backend.connect_tcp("rebinding.example", 80, timeout=5) == "stream"  # type: ignore[comparison-overlap]
    assert (asked, connected) == (["rebinding.example"], ["93.184.216.34"])


def test_a_target_shows_the_host_only() -> None:
    target = Target.parse(f"https://o3.example:8443/bucket/secret/path?{SECRET}")
    for text in (str(target), repr(target), str(target.status(403, b"")), str(target.unreachable("x"))):
        assert "o3.example:8443" in text
        assert "secret" not in text
        assert "X-Amz" not in text
