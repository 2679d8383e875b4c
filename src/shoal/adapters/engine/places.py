"""What a training process may read: the Python installation, the system's libraries, and what they ask of the machine.

Never all of `sys.path`: it may hold the current directory, with its `.env`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import shoal

_SYSTEM = ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/nix/store", "/gnu/store")
_MACHINE = (
    "/etc/ld.so.cache",
    "/dev/null",
    "/dev/urandom",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
)
_PACKAGES = ("site-packages", "dist-packages")


def readable() -> list[Path]:
    """Files and directories to import torch and this package from; some may not exist."""
    prefixes = {sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix}
    libraries = {Path(prefix, name) for prefix in prefixes for name in ("lib", "lib64")}
    packages = {Path(entry) for entry in sys.path if Path(entry).name in _PACKAGES and Path(entry).is_absolute()}
    own = {Path(entry).absolute() for entry in shoal.__path__}
    return [*sorted(libraries | packages | own), *map(Path, (*_SYSTEM, *_MACHINE))]


def own_process() -> Path:
    """The kernel's files on this process; those on others show their environment."""
    return Path("/proc", str(os.getpid()))


def start_up() -> list[Path]:
    """What is needed besides to start Python itself."""
    links = {Path(sys.executable).parent, Path(os.path.realpath(sys.executable)).parent}
    prefixes = (Path(sys.prefix), Path(sys.base_prefix))
    return [*sorted(links | {prefix / "bin" for prefix in prefixes}), Path(sys.prefix) / "pyvenv.cfg"]
