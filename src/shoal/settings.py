"""Settings of a node: defaults < shoal.toml < environment and .env < flags, each value with its origin."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator

from shoal.core import schedule
from shoal.core.ids import entity_number
from shoal.errors import ConfigError
from shoal.redact import know

_KNOWN_NAMES = {
    "operator_id": "OPERATOR_ID",
    "operator_key": "OPERATOR_KEY",
    "network": "NETWORK",
    "contract_id": "CONTRACT_ID",
    "bootstrap": "BOOTSTRAP_ADDR",
    "listen": "IP",
    "s3_access_key": "AWS_ACCESS_KEY_ID",
    "s3_secret_key": "AWS_SECRET_ACCESS_KEY",
    "pinata_jwt": "JWT_TOKEN",
    "pinata_api_key": "API_KEY",
    "pinata_api_secret": "API_SECRET",
    "pinata_gateway": "PINATA_GATEWAY",
}
"""Names that users of such tools know; every setting is also read from `SHOAL_<NAME>`, which wins."""
_BORROWED = frozenset({"IP", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "JWT_TOKEN", "API_KEY", "API_SECRET"})
"""Of these, the names that other programs use too: they count only where no shoal.toml says otherwise."""
VARIABLES = frozenset(_KNOWN_NAMES.values())
LISTS = frozenset({"listen", "bootstrap", "ipfs_gateways", "api_origins", "api_hosts", "trackers"})
"""Settings that a variable gives with commas."""
_OTHER_WAYS = {
    "operator_key": "or say where it lies with operator_key_file or operator_keyring",
    "contract_id": "`shoal contract deploy` makes a market of your own",
}
SECRETS = (
    "operator_key",
    "s3_secret_key",
    "pinata_jwt",
    "pinata_api_key",
    "pinata_api_secret",
    "pinata_gateway_key",
)
SERVING = "serving.json"
"""In the directory of a node that runs: at which addresses it is served."""
_HOST_PORT = r"^(\[[0-9a-fA-F:]+\]|[^\[\]:/\s]+):\d{1,5}$"


class Settings(BaseModel):
    """What a node needs to know. `shoal config show` prints every value with its origin.

    >>> Settings.load(flags={"network": "testnet"}).network
    'testnet'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dir: Path = Field(default_factory=lambda: Path.home() / ".shoal", description="where this node keeps its files")

    log: str = Field("info", description="a level, or several as in warning,shoal.trainer=debug")
    network: Literal["devnet", "solo", "testnet", "mainnet", "custom"] = "devnet"
    ledger_node: str = Field("", description="host:port of a consensus node; known for solo, testnet, mainnet")
    ledger_node_account: str = Field("0.0.3", description="that node's account")
    mirror_grpc: str = Field("", description="host:port of the mirror node's gRPC")
    mirror_rest: str = Field("", description="URL of the mirror node's REST")
    operator_id: str = Field("", description="the account that pays, 0.0.N")
    operator_key: SecretStr = Field(SecretStr(""), description="its private key")
    operator_key_file: str = Field("", description="a file that holds it, instead; mode 600")
    operator_keyring: bool = Field(False, description="it is in the system's keyring, as `shoal` and operator_id")
    contract_id: str = Field("", description="the market's contract, 0.0.N")
    mirror_margin_s: float = Field(0.0, ge=0, le=60, description="newest seconds left to settle; 0 takes the network's")
    ledger_timeout_s: float = Field(30.0, gt=0, le=600, description="how long a ledger that is away is waited for")
    poll_s: float = Field(0.4, gt=0, le=60, description="how often the mirror node is asked")

    listen: tuple[str, ...] = Field(("/ip4/127.0.0.1/tcp/0",), description="multiaddresses to listen on")
    bootstrap: tuple[str, ...] = Field((), description="multiaddresses of bootstrap nodes, with /p2p/<id>")
    lan: bool | None = Field(None, description="meet peers by mDNS; by default if it listens beyond loopback")

    api_listen: str = Field(
        "127.0.0.1:8420",
        pattern=_HOST_PORT,
        description="host:port of a client node's HTTP API; port 0 takes a free one",
    )
    command_listen: str = Field("127.0.0.1:9000", pattern=_HOST_PORT, description="host:port of POST /command")
    api_origins: tuple[str, ...] = Field((), description="origins whose pages may use the API (CORS)")
    api_hosts: tuple[str, ...] = Field((), description="names besides the loopback ones by which the API is called")
    api_upload_mib: int = Field(512, ge=1, le=4_096, description="largest upload: model and data")
    api_requests_per_minute: int = Field(1_200, ge=1, description="of one client address")

    metrics_listen: str = Field(
        "",
        pattern=f"^$|{_HOST_PORT}",
        description="host:port of a trainer's or bootstrap node's /metrics; a client's is its API's",
    )
    trackers: tuple[str, ...] = Field(
        (), description="where tasks are told too: tensorboard:DIR, mlflow:URI, wandb:PROJECT"
    )
    grpc_web: str = Field("", description="URL of gRPC-web for browsers; known for devnet, testnet, mainnet")
    walletconnect_project_id: str = Field("", pattern=r"^[0-9a-f]{0,64}$", description="of WalletConnect, for wallets")
    gateway: bool = Field(False, description="serve everyone who signs in with a wallet, not this account alone")
    gateway_daily_mib: int = Field(2_048, ge=1, description="that one user of a gateway may store in a day")
    gateway_kept_mib: int = Field(8_192, ge=1, description="that a gateway keeps for one user")
    gateway_objects: int = Field(2_000, ge=1, description="objects that a gateway keeps for one user")
    gateway_tasks: int = Field(8, ge=1, description="tasks of one user that a gateway serves at once")
    gateway_upload_hours: int = Field(24, ge=1, le=168, description="until an upload that no task names is removed")
    storage_fee: int = Field(0, ge=0, description="tinybar that a gateway asks for each GiB of a task")

    s3_endpoint: str = Field("", description="URL of an S3 store, such as Akave O3; clients only")
    s3_region: str = "akave-network"
    s3_bucket: str = "shoal"
    s3_access_key: str = ""
    s3_secret_key: SecretStr = SecretStr("")
    private_urls: bool = Field(
        False, description="follow URLs into this machine's local network: only where its S3 store is there"
    )
    s3_write_once: bool = Field(True, description="upload slots refuse a second object (If-None-Match)")

    ipfs_store: Literal["auto", "pinata", "kubo"] = Field(
        "auto", description="auto: Pinata if there is a key, else Kubo"
    )
    ipfs_gateways: tuple[str, ...] = Field(
        ("https://trustless-gateway.link", "https://ipfs.io"), description="trustless gateways, asked in this order"
    )
    ipfs_timeout_s: float = Field(3_600.0, gt=0, le=86_400, description="most that one upload or fetch may take")
    kubo_rpc: str = Field("", description="URL of one's own IPFS node's RPC, such as http://127.0.0.1:5001")
    pinata_jwt: SecretStr = Field(SecretStr(""), description="Pinata's token: the files API, public and private")
    pinata_api_key: SecretStr = Field(SecretStr(""), description="instead of it, with pinata_api_secret: public only")
    pinata_api_secret: SecretStr = SecretStr("")
    pinata_gateway: str = Field("", description="the account's gateway, such as fun-llama-300.mypinata.cloud")
    pinata_gateway_key: SecretStr = Field(SecretStr(""), description="for a gateway that asks for one")
    pinata_network: Literal["public", "private"] = Field("public", description="what is public stays public for ever")
    pinata_api_url: str = "https://api.pinata.cloud"
    pinata_uploads_url: str = "https://uploads.pinata.cloud"

    hbar_per_hour: float = Field(1.0, gt=0, description="asked for an hour of this machine's training")
    min_unit_tinybar: int = Field(1_000, ge=1, description="asked for a work unit at least, however short it is")
    cover_fees: bool = Field(True, description="bids also ask for Hedera's fees, which a trainer pays itself")
    max_chunks: int = Field(8, ge=1, description="chunks held at most for one task")
    stake_tinybar: int = Field(500_000_000, ge=1, description="deposited when a trainer registers")
    validator_stake_tinybar: int = Field(
        10_000_000_000, ge=1, description="most that is locked for as long as this node is a validator"
    )
    max_penalty_tinybar: int = Field(50_000_000, ge=0, description="never bid where a no-show costs more than this")
    topic_logs: Literal["auto", "off", "debug", "info", "warning", "error"] = Field(
        "auto", description="what a trainer logs of a task, on its topic, for everyone; auto: off on mainnet, else info"
    )
    topic_logs_s: float = Field(30.0, ge=1, le=3_600, description="seconds between two messages of them, at least")
    engine_memory_mib: int = Field(4_096, ge=256, description="memory limit of the training process")
    engine_threads: int = Field(1, ge=1, le=256)
    allow_unsandboxed: bool = Field(False, description="train even where no sandbox stands: dangerous")
    testing_false_updates: bool = Field(False, description="for tests, on a devnet only: a trainer that cheats")

    earn_idle_s: float = Field(300.0, ge=0, le=86_400, description="untouched for so long; 0 earns beside its user")
    earn_schedule: str = Field("", description="when to earn, such as 22:00-08:00 mon-fri; empty is always")
    earn_max_celsius: float = Field(85.0, ge=30, le=120, description="hotter, and it pauses")
    earn_min_memory_mib: int = Field(2_048, ge=0, description="less free memory, and it pauses")
    earn_min_disk_mib: int = Field(4_096, ge=0, description="less free disk, and it pauses")
    earn_watts: float = Field(0.0, ge=0, le=10_000, description="what it draws while it trains; 0 measures or asks")
    earn_usd_per_kwh: float = Field(0.0, ge=0, le=10, description="what power costs here; 0 asks")

    @field_validator("network", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("operator_id", "contract_id", "ledger_node_account")
    @classmethod
    def _entity(cls, value: str) -> str:
        try:
            return value and f"0.0.{entity_number(value)}"
        except ValueError:
            # The value is not told: people paste a key here.
            raise ValueError("not an entity id of the form 0.0.N") from None

    @field_validator("earn_schedule")
    @classmethod
    def _schedule(cls, value: str) -> str:
        if value:
            schedule.parse(value)
        return value

    @field_validator("listen")
    @classmethod
    def _multiaddresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_multiaddress(each) for each in value)

    @field_validator("log")
    @classmethod
    def _levels(cls, value: str) -> str:
        parse_log(value)
        return value

    @model_validator(mode="after")
    def _keep_secret(self) -> Self:
        for name in SECRETS:
            know(getattr(self, name).get_secret_value())
        return self

    @classmethod
    def load(cls, *, flags: Mapping[str, Any] | None = None) -> Settings:
        """Read all layers.

        Raises:
            ConfigError: an unreadable file, an unknown name or a bad value, with its origin.
        """
        return load_with_origins(flags=flags)[0]

    @property
    def topic_log_level(self) -> int | None:
        """From which level on logs go to topics; None if they do not."""
        wanted = self.topic_logs
        if wanted == "auto":
            wanted = "off" if self.network == "mainnet" else "info"
        return None if wanted == "off" else logging.getLevelNamesMapping()[wanted.upper()]

    def need(self, *names: str) -> None:
        """Check that settings without a default were given.

        Raises:
            ConfigError: SHOAL-C01, naming what is missing and how to give it.
        """
        for name in names:
            value = getattr(self, name)
            if not (value.get_secret_value() if isinstance(value, SecretStr) else value):
                known = _KNOWN_NAMES.get(name, f"SHOAL_{name.upper()}")
                other = _OTHER_WAYS.get(name, "`shoal demo --keep` leaves a local network with everything set")
                raise ConfigError(
                    f"the setting {name} is missing",
                    code="SHOAL-C01",
                    hint=f"set {known} in the environment or .env, or {name} in shoal.toml; {other}",
                )


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value came from: `default`, a file, a variable, or a flag."""

    text: str


def load_with_origins(*, flags: Mapping[str, Any] | None = None) -> tuple[Settings, dict[str, Origin]]:
    """The settings, and for each where it came from."""
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    values: dict[str, Any] = {}
    origins = {name: Origin("default") for name in Settings.model_fields}
    environment = {**_read_env(Path(".env")), **os.environ}
    directory = Path(str(given.get("dir") or environment.get("SHOAL_DIR") or Path.home() / ".shoal"))
    for path in (directory / "shoal.toml", Path("shoal.toml")):
        for name, value in _read_toml(path).items():
            values[name], origins[name] = value, Origin(str(path))
    for name in Settings.model_fields:
        for variable in (_KNOWN_NAMES.get(name), f"SHOAL_{name.upper()}"):
            if variable and environment.get(variable) and not (variable in _BORROWED and name in values):
                text = str(environment[variable])
                parts = tuple(part.strip() for part in text.split(",") if part.strip())
                values[name] = parts if name in LISTS else text
                origins[name] = Origin(f"environment {variable}")
    for name, value in given.items():
        values[name], origins[name] = value, Origin("flag")
    try:
        return Settings.model_validate(values), origins
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        origin = origins.get(name, Origin("shoal.toml")).text
        raise ConfigError(
            f"{name}: {first['msg']} (from {origin})", code="SHOAL-C02", hint="`shoal config show` lists all settings"
        ) from None


LEVELS = ("debug", "info", "warning", "error", "critical")


def parse_log(text: str) -> dict[str, int]:
    """Levels by the names of loggers; the nameless one is shoal's own.

    >>> parse_log("warning,shoal.trainer=debug")
    {'': 30, 'shoal.trainer': 10}

    Raises:
        ValueError: it names another level.
    """
    levels = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, level = part.rpartition("=")
        if level.lower() not in LEVELS:
            raise ValueError(f"a log level is one of {', '.join(LEVELS)}")
        levels[name.strip()] = logging.getLevelNamesMapping()[level.upper()]
    return levels


def _multiaddress(text: str) -> str:
    """An address to listen on: a multiaddress as it is; of a bare IP address, or one with a port, the TCP one."""
    host, port = text, "0"
    try:
        if text.startswith("[") or text.count(":") == 1:
            host, port = text.rsplit(":", 1) if not text.endswith("]") else (text, "0")
        address = ipaddress.ip_address(host.strip("[]"))
        return f"/ip{address.version}/{address}/tcp/{int(port)}"
    except ValueError:
        return text


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", code="SHOAL-C03", hint="let this user read it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        # The error may quote the file, and so a key: not kept as the cause.
        where = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8"
        raise ConfigError(f"{path}: {where}", code="SHOAL-C03", hint="repair or remove this file") from None
    if any(values.get(name) for name in SECRETS):
        _check_private(path)
    return values


def _read_env(path: Path) -> dict[str, str | None]:
    values = dotenv_values(path)
    names = {name for secret in SECRETS for name in (f"SHOAL_{secret.upper()}", _KNOWN_NAMES.get(secret, ""))}
    if any(values.get(name) for name in names):
        _check_private(path)
    return values


def _check_private(path: Path) -> None:
    """A file with a key in it is for its owner only.

    Raises:
        ConfigError: SHOAL-C22.
    """
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise ConfigError(
            f"other users of this machine can read {path}, and it holds a key",
            code="SHOAL-C22",
            hint=f"chmod 600 {path}",
        )


def write_toml(path: Path, values: Mapping[str, str | int | float | bool | list[str]]) -> None:
    """Write a settings file that only its owner can read, since it may hold keys."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)  # it may have been there already
        file.write("\n".join(lines) + "\n")
