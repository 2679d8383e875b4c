"""One real S3 server and one ledger for all contract tests that need them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from shoal.adapters.hedera import LedgerSettings
from shoal.adapters.s3 import S3Blobs
from shoal.adapters.transfer import HttpTransfer

from .ledger import Devnet, provision


@dataclass(frozen=True)
class Store:
    """A running SeaweedFS."""

    process: subprocess.Popen[str]
    directory: Path
    endpoint: str
    access_key: str
    secret_key: str

    def blobs(self, transfer: HttpTransfer, **changes: Any) -> S3Blobs:
        values: dict[str, Any] = {
            "endpoint": self.endpoint,
            "region": "akave-network",
            "bucket": "contract",
            "access_key": self.access_key,
            "secret_key": self.secret_key,
            "write_once": True,
            "transfer": transfer,
        }
        return S3Blobs(**{**values, **changes})


@contextmanager
def running_store(directory: Path, *arguments: str) -> Iterator[Store]:
    command = [sys.executable, "-m", "shoal.adapters.seaweed", "--dir", str(directory), "--json", *arguments]
    with (directory.parent / f"{directory.name}.err").open("ab") as errors:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, Path(errors.name).read_text()
        ready = json.loads(line)
        keys = json.loads(Path(ready["credentials"]).read_text())
        yield Store(process, directory, ready["endpoint"], keys["access_key"], keys["secret_key"])
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with running_store(tmp_path_factory.mktemp("seaweed") / "s3") as running:
        yield running


@pytest.fixture
async def transfer() -> AsyncIterator[HttpTransfer]:
    async with HttpTransfer(allow_private=True) as opened:
        yield opened


@pytest.fixture
async def blobs(store: Store, transfer: HttpTransfer) -> S3Blobs:
    made = store.blobs(transfer)
    await made.ensure_bucket()
    return made


@pytest.fixture(scope="package")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    running = Devnet(tmp_path_factory.mktemp("devnet"))
    yield running
    running.kill()


@pytest.fixture(scope="package")
def market(devnet: Devnet) -> LedgerSettings:
    return provision(devnet)
