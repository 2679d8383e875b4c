"""A log that stays small and holds no secrets."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

_FILE_BYTES = 4 * 1024 * 1024
_LINE_BYTES = 16 * 1024
_TAIL_LINES = 12


class LogFile:
    """Takes what a process says, line by line; keeps this file and the one before it, 4 MiB each."""

    def __init__(self, path: Path, secrets: Sequence[bytes]) -> None:
        self.path = path
        self._secrets = list(secrets)
        self._line = b""

    def write(self, data: bytes) -> None:
        *lines, self._line = (self._line + data).split(b"\n")
        if len(self._line) > _LINE_BYTES:
            lines, self._line = [*lines, self._line], b""
        if lines:
            self._append(b"\n".join(lines) + b"\n")

    def flush(self) -> None:
        """Write out a last line that was not ended."""
        if self._line:
            self.write(b"\n")

    def tail(self) -> str:
        try:
            return "\n".join(self.path.read_text(errors="replace").splitlines()[-_TAIL_LINES:])
        except OSError:
            return ""

    def _append(self, data: bytes) -> None:
        for secret in self._secrets:
            data = data.replace(secret, b"***")
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(data)
            size = file.tell()
        if size > _FILE_BYTES:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))
