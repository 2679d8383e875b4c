"""The training engine: a stranger's model runs in a child process behind walls, one job at a time.

The child is a module of this package, so nothing heavy may be imported here: the engine itself comes when asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.adapters.engine.parent import SandboxedEngine as SandboxedEngine

__all__ = ["SandboxedEngine"]


def __getattr__(name: str) -> Any:
    if name == "SandboxedEngine":
        from shoal.adapters.engine.parent import SandboxedEngine

        return SandboxedEngine
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
