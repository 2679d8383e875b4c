"""Checks of this machine: Python, libraries, disk, ports, keys, graphics cards, and the walls around training."""

from __future__ import annotations

import os
import re
import socket
import stat
import sys
import tempfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import psutil

from shoal import node as composition
from shoal.core.limits import MIB
from shoal.doctor.checks import Check, Finding, fail, ok, skip, warn
from shoal.earn import power
from shoal.earn.control import Control
from shoal.settings import Settings

PYTHON = (3, 11)
LEAST_DISK_MIB = 500
"""Less than this and a task may not fit at all."""
SHOWN = 6
"""Most libraries that are named."""
_CONSTRAINTS = (Path(__file__).parents[3] / "constraints.txt", Path(__file__).parents[1] / "_constraints.txt")
"""Beside the source tree, or inside the wheel."""
_TCP = re.compile(r"^/ip[46]/([^/]+)/tcp/(\d+)")


def checks(settings: Settings) -> list[Check]:
    """Those that need no ledger, no peers and no storage."""

    def plain(name: str, about: str, look: Callable[[], Finding]) -> Check:
        async def ask() -> Finding:
            return look()

        return Check(name, about, ask)

    no_walls = "strangers' models would run without walls, so this machine does not train"
    return [
        Check("sandbox", no_walls, lambda: _sandbox(settings), 150.0),
        plain("keys", "a node has no identity, or somebody else could use it", lambda: keys(settings)),
        plain("disk", "work does not fit", lambda: disk(settings.dir, settings.earn_min_disk_mib)),
        plain("python", "shoal does not run on it", lambda: python(sys.version_info[:3])),
        plain("libraries", "this set of libraries was never tested together", lambda: libraries(_CONSTRAINTS)),
        plain("ports", "a part of the node cannot listen", lambda: ports(settings)),
        plain("gpu", "", lambda: gpu(power.gpus())),
    ]


def python(version: tuple[int, ...]) -> Finding:
    text = f"Python {'.'.join(map(str, version))}"
    return ok(text) if version[:2] >= PYTHON else fail(text, f"install Python {PYTHON[0]}.{PYTHON[1]} or newer")


def libraries(places: tuple[Path, ...]) -> Finding:
    """Installed versions against the ones that shoal is tested with."""
    path = next((each for each in places if each.is_file()), None)
    if path is None:
        return skip("the list of tested versions is not in this installation")
    pinned = dict(line.strip().split("==", 1) for line in path.read_text().splitlines() if "==" in line)
    others, same = [], 0
    for name, version in pinned.items():
        try:
            found = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue  # of an extra that is not installed, or of another system
        if found.split("+")[0] == version.split("+")[0]:  # torch's builds name their processor after the +
            same += 1
        else:
            others.append(f"{name} {found} (tested: {version})")
    if not others:
        return ok(f"all {same} libraries have the tested versions")
    more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return warn(
        f"other versions than were tested: {', '.join(others[:SHOWN])}{more}",
        "install shoal again with `--constraint constraints.txt`",
    )


def disk(directory: Path, wanted_mib: int) -> Finding:
    """Whether the node's directory can be written, and how much is free."""
    home = next(each for each in (directory, *directory.parents) if each.exists())
    if not os.access(home, os.W_OK):
        return fail(f"{home} cannot be written", "let this user write there, or name another directory with --dir")
    free_mib = psutil.disk_usage(str(home)).free // MIB
    text = f"{free_mib:,} MiB free at {home}"
    if free_mib < LEAST_DISK_MIB:
        return fail(text, "free some space")
    if free_mib < wanted_mib:
        return warn(f"{text}, fewer than earn_min_disk_mib ({wanted_mib:,})", "free some space: `shoal earn` pauses")
    return ok(text)


def ports(settings: Settings) -> Finding:
    """Whether the ports that a node would listen on are free; one that runs with this directory holds its own."""
    wanted = {"api_listen": settings.api_listen, "command_listen": settings.command_listen}
    for address in settings.listen:
        if match := _TCP.match(address):
            wanted[f"listen {address}"] = (
                f"{match[1]}:{match[2]}" if ":" not in match[1] else f"[{match[1]}]:{match[2]}"
            )
    taken, unusable = [], []
    for name, address in wanted.items():
        error = _try(address)
        if isinstance(error, OSError) and error.errno == 98:
            taken.append(f"{address} ({name})")
        elif error is not None:
            unusable.append(f"{address} ({name}): {error}")
    if unusable:
        return fail(f"cannot listen on {', '.join(unusable)}", "give an address of this machine in shoal.toml")
    if not taken:
        return ok(f"{len(wanted)} addresses can be listened on")
    if Control(settings.dir).running():
        return ok(f"a node runs with this directory; in use: {', '.join(taken)}")
    return warn(
        f"in use by another program: {', '.join(taken)}",
        "end that program, or choose another port in shoal.toml; port 0 takes a free one",
    )


def _try(address: str) -> Exception | None:
    host, _, port = address.rpartition(":")
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(place)
    except (OSError, OverflowError, ValueError) as error:
        return error
    return None


def keys(settings: Settings) -> Finding:
    """Whether the node's keys and the operator's key are there, are whole, and are nobody else's to read."""
    directory = settings.dir / "keys"
    notes = []
    if directory.exists():
        composition.load_keys(settings)
        open_ = [each.name for each in directory.iterdir() if stat.S_IMODE(each.stat().st_mode) & 0o077]
        if open_:
            return fail(f"others can read {', '.join(open_)} in {directory}", f"chmod 600 {directory}/*", "SHOAL-C22")
        notes.append("the node's keys are whole and private")
    else:
        notes.append("the node has no keys yet: they are made at its first start")
    if settings.operator_id:
        composition.operator_key(settings)
        notes.append(f"there is a key for {settings.operator_id}")
    return ok("; ".join(notes))


def gpu(cards: tuple[power.Gpu, ...]) -> Finding:
    """This version does not use any; it says so."""
    if not cards:
        return skip("no NVIDIA driver answers; this version trains on the processor only")
    return skip(
        f"{', '.join(card.name for card in cards)}: there, and not used: this version trains on the processor only"
    )


async def _sandbox(settings: Settings) -> Finding:
    with tempfile.TemporaryDirectory(prefix="shoal-doctor-") as place:
        return walls(await composition.sandbox_walls(settings, Path(place) / "job"))


def walls(stand: str) -> Finding:
    """What the training process said of the walls around it, which have proved themselves there."""
    if stand == "none":
        return warn("allow_unsandboxed is set: strangers' models run without walls", "unset allow_unsandboxed")
    if "bubblewrap" in stand:
        return ok(f"{stand} stand")
    return ok(f"{stand} stand; bubblewrap, one more wall, is not here, or may not make namespaces")
