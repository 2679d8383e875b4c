"""Says which system packages are missing before an installation fails half-way; standard library only."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

OLDEST_PYTHON = (3, 11)


def missing_for_python() -> list[str]:
    """Debian packages that the Python part needs and this machine lacks."""
    missing = []
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        missing.append("python3-venv")
    if shutil.which("gcc") is None:
        missing.append("gcc")
    elif not _compiles("#include <gmp.h>"):
        missing.append("libgmp-dev")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        missing.append("python3-dev")
    return missing


def missing_for_node() -> list[str]:
    """Debian packages that compiling the contract and the JavaScript conformance test need."""
    return [package for package, program in (("nodejs", "node"), ("npm", "npm")) if shutil.which(program) is None]


def _compiles(source: str) -> bool:
    command = ["gcc", "-E", "-x", "c", "-o", "/dev/null", "-"]
    return subprocess.run(command, input=source, text=True, capture_output=True, check=False).returncode == 0


def main() -> int:
    """Exit status 1, and a line that mends it, when something is missing."""
    if sys.version_info < OLDEST_PYTHON:
        sys.stderr.write(f"shoal needs Python 3.11 or newer, this is {sys.version.split()[0]}: set PYTHON=...\n")
        return 1
    missing = missing_for_node() if sys.argv[1:] == ["node"] else missing_for_python()
    if missing:
        sys.stderr.write(f"missing system packages: {', '.join(missing)}\n  sudo apt install {' '.join(missing)}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
