"""A trainer that cheats, for the devnet alone: `shoal demo --cheat` shows that it is found, and what it loses."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from shoal.ports import Engine
from shoal.roles.trainer import EngineOpener

_LENGTH_BYTES = 8


def false_updates(open_engine: EngineOpener) -> EngineOpener:
    """An engine whose every update is zero: right in form, made without any work, and averaged like the others."""

    @asynccontextmanager
    async def open_false(job_dir: Path) -> AsyncIterator[Engine]:
        async with open_engine(job_dir) as engine:
            yield cast(Engine, _False(engine))

    return open_false


class _False:
    """The engine but for `train`."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self.job_dir = engine, engine.job_dir

    async def train(self, *, out: str, **given: Any) -> Mapping[str, Any]:
        report = dict(await self._engine.train(out=out, **given))
        path = self.job_dir / out
        data = path.read_bytes()
        start = _LENGTH_BYTES + int.from_bytes(
            data[:_LENGTH_BYTES], "little"
        )  # safetensors: a header, then the numbers
        false = data[:start] + bytes(len(data) - start)
        path.unlink()
        path.write_bytes(false)
        return report | {"sha256": hashlib.sha256(false).hexdigest()}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)
