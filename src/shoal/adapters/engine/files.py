"""The parent's side of files: names from callers, the child's scratch directory, and what comes out of it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from shoal.adapters.engine.replies import Lie
from shoal.core import limits
from shoal.errors import EngineError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
_BLOCK_BYTES = limits.MIB
_RESULT_BYTES = limits.WEIGHTS_BYTES + limits.MIB


def check_name(name: object) -> str:
    """A plain name of a file in the job directory; hidden ones are the engine's own.

    Raises:
        EngineError: SHOAL-E09.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise EngineError(
            f"{str(name)[:80]!r} is not a plain file name in the job directory",
            code="SHOAL-E09",
            hint="letters, digits, dots, dashes and underscores, without a directory",
        )
    return name


class JobFiles:
    """The job directory, which the child may only read, and beside its files the scratch directory for results.

    So no file that the child made or changed ever stands where the parent reads or writes by name.
    """

    def __init__(self, job_dir: Path) -> None:
        self.job_dir = job_dir.absolute()
        self.scratch = self.job_dir / ".engine"
        self.canary = self.job_dir.parent / f".{self.job_dir.name}.canary"

    def prepare(self) -> None:
        """For a new child: an empty scratch directory, and a file outside that it must fail to read.

        Raises:
            EngineError: SHOAL-E11.
        """
        with _own_trouble(f"{self.job_dir} cannot be prepared"):
            self.remove()
            self.job_dir.mkdir(parents=True, exist_ok=True)
            self.scratch.mkdir(mode=0o700)
            self.canary.write_text("a sandboxed process must not read this\n")

    def remove(self) -> None:
        """Whatever `prepare` made, as far as it goes."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        with suppress(OSError):
            self.canary.unlink()

    def take(self, name: str, sha256: str) -> None:
        """Copy a result out of the child's reach into the job directory, if it has the hash that the child claims.

        Copied and not moved: the child may hold it open, and change it after it was hashed.

        Raises:
            EngineError: SHOAL-E08, it is not there, not a regular file, too large, or has another hash; SHOAL-E11, it
                cannot be copied.
        """
        source, part = self.scratch / name, self.job_dir / f".{name}.part"
        try:
            # A pipe in the place of a file must not hold us up.
            handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            raise Lie(f"names {name}, which cannot be read: {error.strerror}") from error
        try:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode) or found.st_size > _RESULT_BYTES:
                raise Lie(f"names {name}, which is not a regular file of weights")
            with _own_trouble(f"the result {name} cannot be kept"):
                part.unlink(missing_ok=True)
                if _copy(handle, part, name) != sha256:
                    raise Lie(f"names another hash than that of {name}")
                part.replace(self.job_dir / name)
        finally:
            os.close(handle)
            for path in (part, source):
                with suppress(OSError):
                    path.unlink()


@contextmanager
def _own_trouble(what: str) -> Iterator[None]:
    """What this machine's disk does is neither the child's fault nor the model's."""
    try:
        yield
    except OSError as error:
        raise EngineError(
            f"{what}: {error.strerror}", code="SHOAL-E11", hint="free disk space, or check who may write there"
        ) from error


def _copy(handle: int, out: Path, name: str) -> str:
    digest = hashlib.sha256()
    size = 0
    with out.open("xb") as file:
        while block := os.read(handle, _BLOCK_BYTES):
            size += len(block)
            if size > _RESULT_BYTES:  # it may still grow
                raise Lie(f"names {name}, which is larger than weights may be")
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
