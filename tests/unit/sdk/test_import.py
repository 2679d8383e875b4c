"""`import shoal` is the whole Python API, and costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import shoal

HEAVY = ("torch", "numpy", "grpc", "trio", "anyio", "pydantic", "libp2p", "hiero_sdk_python", "boto3", "pyarrow")


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_is_cheap() -> None:
    assert python(f"import sys, shoal; print([name for name in {HEAVY} if name in sys.modules])") == "[]"
    assert python(f"import sys; from shoal import DataError; print([n for n in {HEAVY} if n in sys.modules])") == "[]"


def test_every_name_is_there_and_no_other() -> None:
    assert shoal.__all__ == sorted(shoal.__all__) == dir(shoal)
    for name in shoal.__all__:
        found = getattr(shoal, name)
        assert name in ("Tinybar", "asyncio", "trio") or found.__doc__ or issubclass(found, shoal.ShoalError)
    assert not hasattr(shoal, "nothing")
    assert callable(shoal.local), "no package of that name hides it"


def test_the_flavours_have_the_same_names_and_words() -> None:
    for kind in ("Net", "Run", "Offer"):
        flavours = [getattr(module, kind) for module in (shoal, shoal.trio, shoal.asyncio)]
        names = [{name for name in dir(each) if not name.startswith("_")} for each in flavours]
        extra = {"close"} if kind == "Net" else set()
        inside = {"bid", "began", "drive", "examined", "is_complete", "outcome", "quote", "state", "stepped"}
        assert names[0] - extra == names[2]
        assert names[1] - inside <= names[0] | inside and names[0] - extra <= names[1]
    assert shoal.Net.quote.__doc__ == shoal.asyncio.Net.quote.__doc__ == shoal.trio.Net.quote.__doc__
