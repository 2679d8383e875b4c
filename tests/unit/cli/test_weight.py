"""What a process does not load it does not pay for: a machine runs several nodes, each a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

ML = ("torch", "numpy", "pyarrow", "pandas", "fastapi", "hypercorn", "boto3", "eth")


@pytest.mark.parametrize(
    ("modules", "without"),
    [
        ("shoal.cli.main", (*ML, "libp2p", "hiero_sdk_python", "grpc")),
        ("shoal.cli.node, shoal.cli.roles", ML),
        ("shoal.adapters.seaweed.__main__", (*ML, "libp2p", "hiero_sdk_python")),
        ("shoal.adapters.devnet.__main__", ("torch", "numpy", "pyarrow", "pandas", "libp2p", "boto3")),
    ],
)
def test_a_process_loads_only_what_it_is_for(modules: str, without: tuple[str, ...]) -> None:
    code = f"import sys, {modules}; print(sorted({set(without)!r} & set(sys.modules)))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
