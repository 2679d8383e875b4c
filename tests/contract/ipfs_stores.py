"""Where the test doubles of IPFS services keep content: in a real Kubo, or in memory in a layout of one's choice."""

from __future__ import annotations

import base64
import io
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shoal.adapters.ipfs.cid import Cid
from shoal.adapters.ipfs.unixfs import MIB_1024, Layout, file_cid, read_node


class MemoryStore:
    """Blocks in memory. The layout is one that services use, or one that nobody knows."""

    def __init__(self, layout: Layout = MIB_1024) -> None:
        self._layout = layout
        self._blocks: dict[tuple[int, bytes], bytes] = {}

    def add(self, data: bytes) -> Cid:
        return file_cid(io.BytesIO(data), self._layout, self.put)

    def put(self, cid: Cid, block: bytes) -> None:
        self._blocks[cid.block] = block

    def block(self, cid: Cid) -> bytes | None:
        return self._blocks.get(cid.block)

    def read(self, cid: Cid) -> bytes:
        node = read_node(cid, self._blocks[cid.block])
        return node.data + b"".join(self.read(child) for child, _ in node.links)


class KuboStore(MemoryStore):
    """A real Kubo cuts files and puts them together again; its blocks are read from its own repository."""

    def __init__(self, process: subprocess.Popen[str], repo: Path) -> None:
        super().__init__()
        self._process, self._repo = process, repo

    @property
    def pid(self) -> int:
        return self._process.pid

    def add(self, data: bytes) -> Cid:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            return Cid.parse(self._ask("add", file.name))

    def block(self, cid: Cid) -> bytes | None:
        # flatfs, as the repository's SHARDING file says: /repo/flatfs/shard/v1/next-to-last/2
        name = base64.b32encode(b"\x12\x20" + cid.digest).decode().rstrip("=")
        path = self._repo / "blocks" / name[-3:-1] / f"{name}.data"
        return path.read_bytes() if path.is_file() else super().block(cid)

    def read(self, cid: Cid) -> bytes:
        with tempfile.TemporaryDirectory() as directory:
            out = Path(directory) / "out"
            assert self._ask("get", str(cid), str(out)) == "0"
            return out.read_bytes()

    def _ask(self, *command: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return str(json.loads(self._process.stdout.readline()))


@contextmanager
def running_kubo(repo: Path) -> Iterator[KuboStore]:
    """It does not end by itself when asked to, so it is killed."""
    command = [sys.executable, str(Path(__file__).with_name("kubo_child.py")), str(repo)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and json.loads(process.stdout.readline()) == {"ready": True}
        yield KuboStore(process, repo)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
