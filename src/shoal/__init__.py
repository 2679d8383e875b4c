"""Train a model on other people's computers, and pay them for it, without anyone in the middle.

>>> import shoal
>>> with shoal.local() as net:  # doctest: +SKIP
...     run = net.train(model, (x, y), rounds=10, budget="5 hbar")
...     for event in run.watch():
...         print(event)
...     model.load_state_dict(run.weights())

`shoal.trio` and `shoal.asyncio` have the same for asynchronous programs. `docs/python.md` tells all of it.
"""

from importlib import import_module as _import
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal import asyncio, trio
    from shoal.client.purchase import Report
    from shoal.client.story import Told
    from shoal.core.money import Tinybar
    from shoal.errors import (
        CallReverted,
        ConfigError,
        CryptoError,
        DataError,
        EngineError,
        LedgerError,
        LedgerUnreachable,
        MarketError,
        ModelError,
        NetworkError,
        ProcessError,
        ShoalError,
        StorageError,
        UsageError,
    )
    from shoal.sdk.blocking import Net, Offer, Run, connect, local
    from shoal.settings import Settings

__all__ = [
    "CallReverted",
    "ConfigError",
    "CryptoError",
    "DataError",
    "EngineError",
    "LedgerError",
    "LedgerUnreachable",
    "MarketError",
    "ModelError",
    "Net",
    "NetworkError",
    "Offer",
    "ProcessError",
    "Report",
    "Run",
    "Settings",
    "ShoalError",
    "StorageError",
    "Tinybar",
    "Told",
    "UsageError",
    "asyncio",
    "connect",
    "local",
    "trio",
]

_HOMES = {
    "Net": "shoal.sdk.blocking",
    "Offer": "shoal.sdk.blocking",
    "Report": "shoal.client.purchase",
    "Run": "shoal.sdk.blocking",
    "Settings": "shoal.settings",
    "Tinybar": "shoal.core.money",
    "Told": "shoal.client.story",
    "connect": "shoal.sdk.blocking",
    "local": "shoal.sdk.blocking",
}
"""Where a name is defined that is not an error: torch and grpc are imported when it is first asked for."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'shoal' has no attribute {name!r}")
    if name in ("asyncio", "trio"):
        return _import(f"shoal.{name}")
    found = getattr(_import(_HOMES.get(name, "shoal.errors")), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return list(__all__)
