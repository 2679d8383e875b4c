"""What parent and child say to each other: length-prefixed JSON over pipes, and how a child is set up."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

REQUEST_BYTES = 1024 * 1024
REPLY_BYTES = 256 * 1024
PREFIX = struct.Struct(">I")
REASON_CHARS = 200
FARTHEST = 1e9
"""A distance that stands for all beyond it: JSON has no infinity."""


@dataclass(frozen=True, slots=True)
class Setup:
    """How one child is to live; travels as its only argument, so it holds no secret."""

    job_dir: str
    """Readable."""
    scratch: str
    """The only directory it may write to."""
    canary: str
    """A file of the parent that the child must fail to read."""
    memory_limit_bytes: int
    threads: int
    walled: bool
    bubblewrap: bool
    """Whether bubblewrap stands around it already."""
    parent_pid: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Setup:
        return cls(**json.loads(text))


def encode(message: Mapping[str, Any]) -> bytes:
    """One frame. Raises ValueError for a number that is not finite."""
    body = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    return PREFIX.pack(len(body)) + body


def decode(body: bytes) -> Any:
    """The content of one frame, from a sender that is not trusted. Raises ValueError."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")
