"""The bearer token of a node: made at its first start, kept in a file of its owner's, compared in constant time."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from shoal.errors import ConfigError
from shoal.redact import know

FILE = "api-token"
_BYTES = 32


@dataclass(frozen=True, slots=True)
class Token:
    """Only its hash is kept here, so that no traceback can show it; logs are kept clean of it."""

    digest: bytes
    path: Path
    fresh: str = ""
    """The token itself, where it has just been made: shown to its owner once."""

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Read the token of a node, or make it.

        Raises:
            ConfigError: SHOAL-C22, others can read it; C27, it cannot be read.
        """
        path = directory / FILE
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            text = _read(path)
            know(text)
            return cls(_digest(text), path)
        except OSError as error:
            raise _unreadable(path, str(error.strerror)) from error
        text = secrets.token_urlsafe(_BYTES)
        know(text)
        with os.fdopen(descriptor, "w") as file:
            file.write(text + "\n")
        return cls(_digest(text), path, text)

    def admits(self, header: str | None) -> bool:
        """Whether an Authorization header holds this token.

        >>> Token(_digest("secret"), Path("api-token")).admits("Bearer secret")
        True
        """
        scheme, _, given = (header or "").partition(" ")
        return hmac.compare_digest(_digest(given.strip()), self.digest) and scheme.lower() == "bearer"


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _read(path: Path) -> str:
    try:
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            raise ConfigError(
                f"others can read {path}",
                code="SHOAL-C22",
                hint=f"chmod 600 {path}; or remove it, and a new token is made",
            )
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, str(error)) from error
    if len(text) < _BYTES:
        raise _unreadable(path, "it holds no token")
    return text


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"cannot use the token in {path}: {why}", code="SHOAL-C27", hint="remove it, and a new token is made"
    )
