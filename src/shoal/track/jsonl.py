"""The story of a task as JSON lines, in its own directory: line N is happening N, whatever was killed in between."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import BinaryIO

from shoal.track.run import Record, RunFacts

NAME = "events.jsonl"


class Jsonl:
    """Always on. A line cut by a crash is written again; a story that is told otherwise replaces the old one."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._ends: list[int] = [0]
        """Where each line ends; the first is the file's beginning."""

    def begin(self, facts: RunFacts, run_id: str) -> str:
        self.end(over=False)
        path: Path = facts.home / NAME
        self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
        self._ends, end = [0], 0
        for line in self._file:
            end += len(line)
            if not line.endswith(b"\n"):
                break
            self._ends.append(end)
        self._cut(len(self._ends) - 1)
        return NAME

    def tell(self, number: int, record: Record) -> None:
        assert self._file is not None, "begun before"
        line = json.dumps(dict(record), separators=(", ", ": ")).encode() + b"\n"
        if number < len(self._ends) - 1:
            self._file.seek(self._ends[number])
            if self._file.read(self._ends[number + 1] - self._ends[number]) == line:
                return
            self._cut(number)
        self._file.seek(self._ends[-1])
        self._file.write(line)
        self._file.flush()
        self._ends.append(self._ends[-1] + len(line))

    def end(self, *, over: bool) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _cut(self, lines: int) -> None:
        assert self._file is not None, "begun before"
        del self._ends[lines + 1 :]
        self._file.truncate(self._ends[-1])
