"""A test double that speaks the routes of Pinata, of Kubo's RPC and of a trustless gateway, over content of a store.

Written after Pinata's documentation and SDK, Kubo's RPC reference and the gateway specification; it is none of them.
Each fault can be switched on: a busy service, wrong bytes, a lie about a CID, a connection that breaks.
"""

from __future__ import annotations

import base64
import email.parser
import email.policy
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from shoal.adapters.ipfs.cid import Cid, CidError, to_varint
from shoal.adapters.ipfs.unixfs import NodeError, read_node

from .ipfs_stores import MemoryStore

JWT, KEY, SECRET = "jwt-canary-4711", "key-canary-4712", "secret-canary-4713"
CAR, RAW = "application/vnd.ipld.car", "application/vnd.ipld.raw"
HEADER = bytes.fromhex(
    "3aa265726f6f747381d82a5825000155122000000000000000000000000000000000000000000000000000000000000000006776657273696f6e01"
)
"""A CARv1's header. Its root is made up: a gateway may put anything there."""


@dataclass
class File:
    id: str
    cid: Cid
    name: str
    size: int
    network: str


@dataclass
class Double:
    """What the services know, what they were asked, and what is wrong with them."""

    store: MemoryStore
    files: list[File] = field(default_factory=list)
    uploads: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    busy: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    """Answers given instead, one after the other."""
    wrong_bytes: bool = False
    lies: bool = False
    """Uploads get the CID of other bytes."""
    formats: tuple[str, ...] = (CAR, RAW)
    """Of the gateway, beside whole files."""
    breaks_after: int | None = None
    """Bytes of the next long answer after which its connection breaks."""
    loses_pieces: int = 0
    """So many tus pieces are half taken, and their connection breaks."""
    loses_answers: int = 0
    """So many tus pieces are taken, and their answer is lost."""
    full_after: int | None = None
    """Bytes of tus pieces after which the next is refused for good."""
    tells_cid: bool = True
    received: int = 0

    def keep(self, data: bytes, name: str, network: str) -> File:
        cid = self.store.add(data + b"!" if self.lies else data)
        file = File(secrets.token_hex(8), cid, name, len(data), network)
        self.files.insert(0, file)
        return file


# ---------------------------------------------------------------- the server


@asynccontextmanager
async def serving(double: Double) -> AsyncIterator[Double]:
    """On a free port of loopback."""
    config = Config()
    config.bind = ["127.0.0.1:0"]
    config.errorlog = config.accesslog = None
    config.graceful_timeout = 0.1
    app = Starlette(routes=routes(double))
    async with trio.open_nursery() as nursery:
        urls = await nursery.start(hypercorn.trio.serve, app, config)
        double.url = urls[0]
        yield double
        nursery.cancel_scope.cancel()


def routes(double: Double) -> list[Route]:
    def route(path: str, method: str, handler: Any, auth: str = "") -> Route:
        async def endpoint(request: Request) -> Response:
            double.asked.append(f"{request.method} {request.url.path}")
            if double.busy:
                status, headers = double.busy.pop(0)
                return JSONResponse({"error": {"reason": "RATE_LIMITED", "details": JWT}}, status, headers)
            if auth and not allowed(request, auth):
                reason = {"error": {"reason": "INVALID_CREDENTIALS", "details": f"bad {JWT}"}}
                return JSONResponse(reason, 401)
            answer: Response = await handler(double, request)
            return answer

        return Route(path, endpoint, methods=[method])

    return [
        route("/v3/files", "POST", upload, "jwt"),
        route("/v3/files/{id}/tus", "PATCH", tus_piece, "jwt"),
        route("/v3/files/{id}/tus", "HEAD", tus_state, "jwt"),
        route("/v3/files/public/pin_by_cid", "POST", pin_by_cid, "jwt"),
        route("/v3/files/private/download_link", "POST", download_link, "jwt"),
        route("/v3/files/{network}", "GET", list_files, "jwt"),
        route("/v3/files/{network}/{id}", "GET", one_file, "jwt"),
        route("/v3/files/{network}/{id}", "DELETE", delete_file, "jwt"),
        route("/pinning/pinFileToIPFS", "POST", pin_file, "keys"),
        route("/pinning/pinByHash", "POST", pin_by_hash, "keys"),
        route("/pinning/unpin/{cid}", "DELETE", unpin, "keys"),
        route("/data/pinList", "GET", pin_list, "keys"),
        route("/files/{cid}", "GET", private_file),
        route("/ipfs/{cid}", "GET", gateway),
        route("/api/v0/add", "POST", kubo_add),
        route("/api/v0/pin/ls", "POST", kubo_pins),
        route("/api/v0/pin/add", "POST", kubo_pin),
        route("/api/v0/pin/rm", "POST", kubo_unpin),
        route("/api/v0/dag/export", "POST", kubo_export),
        route("/api/v0/block/get", "POST", kubo_block),
    ]


def allowed(request: Request, auth: str) -> bool:
    if auth == "jwt":
        return request.headers.get("authorization") == f"Bearer {JWT}"
    keys = (request.headers.get("pinata_api_key"), request.headers.get("pinata_secret_api_key"))
    return keys == (KEY, SECRET)


async def form(request: Request) -> tuple[dict[str, str], str, bytes]:
    """Fields, the file's name and its bytes, by the standard library's parser of MIME."""
    head = f"Content-Type: {request.headers['content-type']}\r\n\r\n".encode()
    body = await request.body()
    assert request.headers.get("content-length") in (None, str(len(body)))
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    fields, name, data = {}, "", b""
    for part in message.iter_parts():
        if part.get_filename() is not None:
            name, data = str(part.get_filename()), part.get_payload(decode=True)
        else:
            fields[str(part.get_param("name", header="content-disposition"))] = part.get_payload(decode=True).decode()
    return fields, name, data


# ---------------------------------------------------------------- Pinata: files API


def told(file: File) -> dict[str, Any]:
    return {
        "id": file.id, "name": file.name, "cid": str(file.cid), "size": file.size, "number_of_files": 1,
        "mime_type": "application/octet-stream", "group_id": None, "created_at": "2026-11-24T10:00:00.000Z",
    }  # fmt: skip


async def upload(double: Double, request: Request) -> Response:
    if "upload-length" in request.headers:
        return await tus_create(double, request)
    fields, _, data = await form(request)
    # Pinata takes what does not say its network as private.
    file = double.keep(data, fields["name"], fields.get("network", "private"))
    return JSONResponse({"data": told(file)})


async def list_files(double: Double, request: Request) -> Response:
    query = request.query_params
    chosen = [f for f in double.files if f.network == request.path_params["network"]]
    chosen = [f for f in chosen if not query.get("cid") or str(f.cid) == query["cid"]]
    start, limit = int(query.get("pageToken") or 0), int(query.get("limit") or 10)
    page = chosen[start : start + limit]
    token = str(start + limit) if start + limit < len(chosen) else ""
    return JSONResponse({"data": {"files": [told(f) for f in page] or None, "next_page_token": token}})


async def one_file(double: Double, request: Request) -> Response:
    for file in double.files:
        if file.id == request.path_params["id"] and file.network == request.path_params["network"]:
            return JSONResponse({"data": told(file)})
    return JSONResponse({"error": {"reason": "NOT_FOUND"}}, 404)


async def delete_file(double: Double, request: Request) -> Response:
    double.files = [f for f in double.files if f.id != request.path_params["id"]]
    return JSONResponse({"data": None})


async def pin_by_cid(double: Double, request: Request) -> Response:
    value = await request.json()
    double.files.insert(0, File(secrets.token_hex(8), Cid.parse(value["cid"]), value.get("name", ""), 0, "public"))
    return JSONResponse({"data": {"id": "1", "cid": value["cid"], "status": "prechecking"}})


async def download_link(double: Double, request: Request) -> Response:
    value = await request.json()
    assert value["method"] == "GET" and value["expires"] > 0 and value["date"] > 0
    return JSONResponse({"data": f"{value['url']}?X-Algorithm=PINATA1&X-Signature={SECRET}"})


async def private_file(double: Double, request: Request) -> Response:
    if request.query_params.get("X-Signature") != SECRET:
        return JSONResponse({"error": "ERR_ID:00023"}, 403)
    return whole(double, Cid.parse(request.path_params["cid"]), "private")


# ---------------------------------------------------------------- Pinata: tus


async def tus_create(double: Double, request: Request) -> Response:
    pairs = (pair.split(" ") for pair in request.headers["upload-metadata"].split(","))
    metadata = {key: base64.b64decode(value).decode() for key, value in pairs}
    # Pinata's own SDK leaves it out, against the protocol.
    assert request.headers.get("tus-resumable", "1.0.0") == "1.0.0"
    file_id = secrets.token_hex(8)
    size = int(request.headers["upload-length"])
    double.uploads[file_id] = {"data": b"", "size": size, "metadata": metadata}
    return Response(status_code=201, headers={"Location": f"{double.url}/v3/files/{file_id}/tus"})


async def tus_state(double: Double, request: Request) -> Response:
    state = double.uploads.get(request.path_params["id"])
    if state is None:
        return Response(status_code=404)
    return Response(headers={"Upload-Offset": str(len(state["data"])), "Upload-Length": str(state["size"])})


async def tus_piece(double: Double, request: Request) -> Response:
    state = double.uploads[request.path_params["id"]]
    assert request.headers["content-type"] == "application/offset+octet-stream"
    if int(request.headers["upload-offset"]) != len(state["data"]):
        return Response(status_code=409)
    if double.full_after is not None and double.received >= double.full_after:
        return JSONResponse({"error": {"reason": "STORAGE_LIMIT_REACHED"}}, 403)
    body = await request.body()
    double.received += len(body)
    if double.loses_pieces:
        double.loses_pieces -= 1
        state["data"] += body[: len(body) // 2]
        return lost()
    state["data"] += body
    headers = {"Upload-Offset": str(len(state["data"]))}
    if len(state["data"]) == state["size"]:
        metadata = state["metadata"]
        file = double.keep(state["data"], metadata["filename"], metadata["network"])
        file.id = request.path_params["id"]
        headers |= {"upload-cid": str(file.cid)} if double.tells_cid else {}
    if double.loses_answers:
        double.loses_answers -= 1
        return lost()
    return Response(status_code=204, headers=headers)


def lost() -> Response:
    """An answer whose connection breaks in the middle."""

    async def breaking() -> AsyncIterator[bytes]:
        yield b" "
        raise ConnectionError("lost")

    return StreamingResponse(breaking())


# ---------------------------------------------------------------- Pinata: pinning API


async def pin_file(double: Double, request: Request) -> Response:
    fields, _, data = await form(request)
    assert json.loads(fields["pinataOptions"]) == {"cidVersion": 1}
    file = double.keep(data, json.loads(fields["pinataMetadata"])["name"], "pins")
    return JSONResponse({"IpfsHash": str(file.cid), "PinSize": file.size, "Timestamp": "2026-11-24T10:00:00.000Z"})


async def pin_by_hash(double: Double, request: Request) -> Response:
    value = await request.json()
    cid = Cid.parse(value["hashToPin"])
    double.files.insert(0, File(secrets.token_hex(8), cid, value["pinataMetadata"]["name"], 0, "pins"))
    return JSONResponse({"id": "1", "ipfsHash": str(cid), "status": "prechecking"})


async def unpin(double: Double, request: Request) -> Response:
    left = [f for f in double.files if str(f.cid) != request.path_params["cid"]]
    if len(left) == len(double.files):
        return JSONResponse({"error": {"reason": "CURRENT_USER_HAS_NOT_PINNED_CID"}}, 400)
    double.files = left
    return PlainTextResponse("OK")


async def pin_list(double: Double, request: Request) -> Response:
    query = request.query_params
    start, limit = int(query.get("pageOffset") or 0), int(query.get("pageLimit") or 10)
    rows = [
        {"ipfs_pin_hash": str(f.cid), "size": f.size, "metadata": {"name": f.name}, "date_pinned": "2026-11-24"}
        for f in double.files
        if f.network == "pins" and query.get("cid") in (None, str(f.cid))
    ]
    return JSONResponse({"rows": rows[start : start + limit]})


# ---------------------------------------------------------------- gateways


async def gateway(double: Double, request: Request) -> Response:
    try:
        cid = Cid.parse(request.path_params["cid"])
    except CidError:
        return PlainTextResponse("invalid cid", 400)
    accept = request.headers.get("accept", "")
    for form_ in (CAR, RAW):
        if accept.startswith(form_) and form_ not in double.formats:
            return PlainTextResponse("no such format", 406)
    if accept.startswith(RAW):
        block = wrong(double, double.store.block(cid))
        return PlainTextResponse("not found", 404) if block is None else Response(block, media_type=RAW)
    if accept.startswith(CAR):
        if double.store.block(cid) is None:
            return PlainTextResponse("not found", 404)
        return StreamingResponse(Long(double, car(double, cid)), media_type=f"{CAR}; version=1; order=dfs; dups=n")
    return whole(double, cid, "public")


def whole(double: Double, cid: Cid, network: str) -> Response:
    """A file as it is; of a directory its listing, as a page."""
    if double.store.block(cid) is None:
        return PlainTextResponse("not found", 404)
    try:
        data = double.store.read(cid)
    except NodeError:
        return Response(b"<html>Index of /</html>", media_type="text/html")
    return StreamingResponse(Long(double, [wrong(double, data) or b""]), headers={"Content-Length": str(len(data))})


def wrong(double: Double, data: bytes | None) -> bytes | None:
    if data and double.wrong_bytes:
        return data[:-1] + bytes([data[-1] ^ 1])
    return data


class Long:
    """A long answer, whose connection may be made to break; no generator, since clients may leave before its end."""

    def __init__(self, double: Double, parts: list[bytes]) -> None:
        self._left, double.breaks_after = double.breaks_after, None
        self._pieces = [part[at : at + 10_000] for part in parts for at in range(0, len(part), 10_000)]

    def __aiter__(self) -> Long:
        return self

    async def __anext__(self) -> bytes:
        if not self._pieces:
            raise StopAsyncIteration
        piece = self._pieces.pop(0)
        if self._left is not None:
            self._left -= len(piece)
            if self._left < 0:
                raise ConnectionError("broken")
        return piece


def car(double: Double, root: Cid) -> list[bytes]:
    """Depth first, without duplicates: Kubo's order."""
    parts, seen, todo = [HEADER], set(), [root]
    while todo:
        cid = todo.pop()
        if cid.block in seen:
            continue
        seen.add(cid.block)
        block = double.store.block(cid)
        assert block is not None
        section = cid.to_bytes() + (wrong(double, block) or b"")
        parts.append(to_varint(len(section)) + section)
        with suppress(NodeError):
            todo += [child for child, _ in reversed(read_node(cid, block).links)]
    return parts


# ---------------------------------------------------------------- Kubo's RPC


def failed(message: str) -> Response:
    return JSONResponse({"Message": message, "Code": 0, "Type": "error"}, 500)


async def kubo_add(double: Double, request: Request) -> Response:
    _, name, data = await form(request)
    file = double.keep(data, request.query_params.get("pin-name", ""), "kubo")
    return PlainTextResponse(json.dumps({"Name": name, "Hash": str(file.cid), "Size": str(file.size)}) + "\n")


async def kubo_pins(double: Double, request: Request) -> Response:
    lines = [{"Cid": str(f.cid), "Name": f.name, "Type": "recursive"} for f in double.files if f.network == "kubo"]
    return PlainTextResponse("".join(json.dumps(line) + "\n" for line in lines))


async def kubo_pin(double: Double, request: Request) -> Response:
    cid = Cid.parse(request.query_params["arg"])
    if double.store.block(cid) is None:
        return failed("block was not found locally (offline): ipld: could not find")
    double.files.insert(0, File("", cid, request.query_params.get("name", ""), 0, "kubo"))
    return PlainTextResponse(json.dumps({"Progress": 1}) + "\n" + json.dumps({"Pins": [str(cid)]}) + "\n")


async def kubo_unpin(double: Double, request: Request) -> Response:
    left = [f for f in double.files if str(f.cid) != request.query_params["arg"]]
    if len(left) == len(double.files):
        return failed("not pinned or pinned indirectly")
    double.files = left
    return JSONResponse({"Pins": [request.query_params["arg"]]})


async def kubo_export(double: Double, request: Request) -> Response:
    cid = Cid.parse(request.query_params["arg"])
    if double.store.block(cid) is None:
        return failed("block was not found locally (offline): ipld: could not find")
    return StreamingResponse(Long(double, car(double, cid)), media_type="application/vnd.ipld.car")


async def kubo_block(double: Double, request: Request) -> Response:
    block = wrong(double, double.store.block(Cid.parse(request.query_params["arg"])))
    return failed("block was not found locally (offline)") if block is None else PlainTextResponse(block)
