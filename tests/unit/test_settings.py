"""Layers of settings: each wins over the one before, each value says where it came from, and no secret shows."""

from __future__ import annotations

import dataclasses
import os
import stat
from pathlib import Path

import pytest
from dotenv import dotenv_values

from shoal.adapters.hedera import LedgerSettings
from shoal.errors import ConfigError
from shoal.node import ledger_settings
from shoal.settings import VARIABLES, Settings, load_with_origins, write_toml


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("SHOAL_"):
            monkeypatch.delenv(name)
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_each_layer_wins_over_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()

    def network() -> tuple[str, str]:
        settings, origins = load_with_origins(flags={"dir": home})
        return settings.network, origins["network"].text

    assert network() == ("devnet", "default")
    (home / "shoal.toml").write_text('network = "solo"\n')
    assert network() == ("solo", str(home / "shoal.toml"))
    (tmp_path / "shoal.toml").write_text('network = "testnet"\n')
    assert network() == ("testnet", "shoal.toml")
    (tmp_path / ".env").write_text("NETWORK=mainnet\n")
    assert network() == ("mainnet", "environment NETWORK")
    monkeypatch.setenv("SHOAL_NETWORK", "solo")
    assert network() == ("solo", "environment SHOAL_NETWORK")
    settings, origins = load_with_origins(flags={"dir": home, "network": "devnet"})
    assert (settings.network, origins["network"].text) == ("devnet", "flag")


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOAL_BOOTSTRAP", "/ip4/10.0.0.1/tcp/1/p2p/a,/ip4/10.0.0.2/tcp/1/p2p/b,")
    assert len(Settings.load().bootstrap) == 2
    monkeypatch.delenv("SHOAL_BOOTSTRAP")
    monkeypatch.setenv("BOOTSTRAP_ADDR", "/ip4/10.0.0.1/tcp/1/p2p/a, /ip4/10.0.0.2/tcp/1/p2p/b")
    assert Settings.load().bootstrap == ("/ip4/10.0.0.1/tcp/1/p2p/a", "/ip4/10.0.0.2/tcp/1/p2p/b")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("poll_s = 0", "SHOAL-C02"),
        ("colour = 1", "SHOAL-C02"),
        ("poll_s = ", "SHOAL-C03"),
        ('network = "x"', "SHOAL-C02"),
    ],
)
def test_what_is_wrong_is_named_with_its_origin(tmp_path: Path, text: str, code: str) -> None:
    (tmp_path / "shoal.toml").write_text(text + "\n")
    with pytest.raises(ConfigError) as caught:
        Settings.load()
    assert caught.value.code == code and "shoal.toml" in caught.value.message


def test_secrets_never_show(tmp_path: Path) -> None:
    settings = Settings.load(flags={"operator_key": "hush", "s3_secret_key": "hush", "dir": tmp_path})
    assert "hush" not in f"{settings!r} {settings} {settings.model_dump()}"
    assert settings.operator_key.get_secret_value() == "hush"
    with pytest.raises(ConfigError) as caught:
        Settings.load(flags={"operator_key": ["hush"]})
    assert "hush" not in f"{caught.value}"


KNOWN = {
    "AWS_ACCESS_KEY_ID": ("s3_access_key", "key"),
    "AWS_SECRET_ACCESS_KEY": ("s3_secret_key", "secret"),
    "SHOAL_S3_ENDPOINT": ("s3_endpoint", "https://o3.example"),
    "SHOAL_S3_REGION": ("s3_region", "akave-network"),
    "SHOAL_S3_BUCKET": ("s3_bucket", "shoal-4711"),
    "JWT_TOKEN": ("pinata_jwt", "jwt"),
    "API_KEY": ("pinata_api_key", "key"),
    "API_SECRET": ("pinata_api_secret", "secret"),
    "PINATA_GATEWAY": ("pinata_gateway", "fun-llama-300.mypinata.cloud"),
    "SHOAL_KUBO_RPC": ("kubo_rpc", "http://127.0.0.1:5001"),
    "NETWORK": ("network", "testnet"),
    "OPERATOR_ID": ("operator_id", "0.0.5"),
    "OPERATOR_KEY": ("operator_key", "key"),
    "CONTRACT_ID": ("contract_id", "0.0.7"),
    "BOOTSTRAP_ADDR": ("bootstrap", "/ip4/192.0.2.1/tcp/4001/p2p/a,/ip4/192.0.2.2/tcp/4001/p2p/b"),
    "IP": ("listen", "203.0.113.5:4001"),
    "SHOAL_LOG": ("log", "debug"),
    "SHOAL_TOPIC_LOGS": ("topic_logs", "off"),
}


def example() -> dict[str, str | None]:
    return dotenv_values(Path(__file__).resolve().parents[2] / ".env.example")


def test_the_example_names_what_is_read_and_gives_nothing_away() -> None:
    assert example().keys() == KNOWN.keys()
    assert not any(example().values())


@pytest.mark.parametrize("variable", KNOWN)
def test_every_name_of_the_example_is_read(tmp_path: Path, variable: str) -> None:
    name, text = KNOWN[variable]
    (tmp_path / ".env").write_text(f"{variable}={text}\n")
    (tmp_path / ".env").chmod(0o600)
    settings, origins = load_with_origins(flags={"dir": tmp_path})
    value = getattr(settings, name)
    wanted: object = text
    if name == "bootstrap":
        wanted = tuple(text.split(","))
    elif name == "listen":
        wanted = ("/ip4/203.0.113.5/tcp/4001",)
    assert (value.get_secret_value() if hasattr(value, "get_secret_value") else value) == wanted
    assert origins[name].text == f"environment {variable}"


def test_an_example_that_is_copied_as_it_is_changes_nothing(tmp_path: Path) -> None:
    before = Settings.load()
    (tmp_path / ".env").write_text((Path(__file__).resolve().parents[2] / ".env.example").read_text())
    assert Settings.load() == before


@pytest.mark.parametrize(("variable", "name"), [("AWS_ACCESS_KEY_ID", "s3_access_key"), ("API_KEY", "pinata_api_key")])
def test_names_that_other_programs_use_too_do_not_win_over_a_settings_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    (tmp_path / "shoal.toml").write_text(f'{name} = "of the file"\n')
    (tmp_path / "shoal.toml").chmod(0o600)
    monkeypatch.setenv(variable, "of another program")
    assert load_with_origins()[1][name].text == "shoal.toml"
    monkeypatch.setenv(f"SHOAL_{name.upper()}", "ours")
    assert load_with_origins()[1][name].text == f"environment SHOAL_{name.upper()}"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("0.0.0.0", "/ip4/0.0.0.0/tcp/0"),
        ("203.0.113.5:4001", "/ip4/203.0.113.5/tcp/4001"),
        ("::1", "/ip6/::1/tcp/0"),
        ("[::1]:4001", "/ip6/::1/tcp/4001"),
        ("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001"),
    ],
)
def test_an_ip_address_is_listened_on(text: str, address: str) -> None:
    assert Settings.load(flags={"listen": (text,)}).listen == (address,)


def test_what_is_needed_and_missing_says_how_to_give_it() -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load().need("operator_id")
    assert caught.value.code == "SHOAL-C01" and "OPERATOR_ID" in caught.value.hint


def test_a_settings_file_is_for_its_owner_only_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "shoal.toml"
    write_toml(path, {"operator_key": 'a "quoted" key', "poll_s": 1.5, "bootstrap": ["a", "b"], "s3_write_once": False})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    settings = Settings.load()
    assert settings.operator_key.get_secret_value() == 'a "quoted" key'
    assert (settings.poll_s, settings.bootstrap, settings.s3_write_once) == (1.5, ("a", "b"), False)


# ---------------------------------------------------------------- networks and the operator's key


@pytest.mark.parametrize("network", ["solo", "testnet", "mainnet"])
def test_nothing_but_operator_and_key_has_to_be_said(network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As users of Hedera's tools know it: four names, in any case, in the environment."""
    given = {"NETWORK": network.upper(), "OPERATOR_ID": "0.0.5", "OPERATOR_KEY": "hush", "CONTRACT_ID": "0.0.9"}
    for name, text in given.items():
        monkeypatch.setenv(name, text)
    ledger = ledger_settings(Settings.load()).complete()
    assert (ledger.network, ledger.operator_id, ledger.operator_key, ledger.contract_id) == (
        network,
        "0.0.5",
        "hush",
        "0.0.9",
    )
    assert ledger.mirror_rest.startswith("http") and ledger.mirror_grpc
    assert bool(ledger.node) == (network == "solo"), "the SDK knows the nodes of the public networks"
    assert "hush" not in repr(ledger)


@pytest.mark.parametrize("network", ["devnet", "custom"])
def test_a_network_of_ones_own_has_to_be_named(network: str) -> None:
    ledger = LedgerSettings(network, operator_id="0.0.5", operator_key="hush")  # type: ignore[arg-type]
    for given in ({}, {"mirror_rest": "http://127.0.0.1:1"}):
        with pytest.raises(ConfigError) as caught:
            dataclasses.replace(ledger, **given).complete()
        assert caught.value.code == "SHOAL-C01"
    assert dataclasses.replace(ledger, mirror_rest="http://x").complete(operator=False).node == ""


@pytest.mark.parametrize("name", ["operator_id", "contract_id"])
def test_a_key_in_the_wrong_place_is_not_told(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Settings.load(flags={name: "302e0201hush"})
    assert caught.value.code == "SHOAL-C02" and "hush" not in str(caught.value.as_dict())


@pytest.mark.parametrize(("file", "text"), [("shoal.toml", 'operator_key = "hush"'), (".env", "OPERATOR_KEY=hush")])
def test_a_file_with_a_key_is_for_its_owner_only(tmp_path: Path, file: str, text: str) -> None:
    path = tmp_path / file
    path.write_text(text + "\n")
    for mode in (0o644, 0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(ConfigError) as caught:
            Settings.load()
        assert caught.value.code == "SHOAL-C22" and "hush" not in str(caught.value.as_dict())
    path.chmod(0o600)
    assert Settings.load().operator_key.get_secret_value() == "hush"
    path.write_text("poll_s = 1\n" if file == "shoal.toml" else "NETWORK=solo\n")
    path.chmod(0o644)
    assert Settings.load(), "without a key anybody may read it"


def test_the_key_may_lie_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    flags = {"operator_id": "0.0.5", "operator_key_file": str(path)}
    for write, code in ((None, "SHOAL-C25"), ("", "SHOAL-C25"), ("hush\n", "SHOAL-C22")):
        if write is not None:
            path.write_text(write)
            path.chmod(0o644 if write else 0o600)
        with pytest.raises(ConfigError) as caught:
            ledger_settings(Settings.load(flags=flags))
        assert caught.value.code == code and "hush" not in str(caught.value.as_dict())
    path.chmod(0o600)
    assert ledger_settings(Settings.load(flags=flags)).operator_key == "hush"
    assert ledger_settings(Settings.load(flags={**flags, "operator_key": "other"})).operator_key == "other"


def test_the_key_may_lie_in_the_keyring() -> None:
    keyring = pytest.importorskip("keyring", reason="the optional library keyring is not installed")
    backend = pytest.importorskip("keyring.backend")

    class Ring(backend.KeyringBackend):  # type: ignore[name-defined,misc]
        priority = 1
        broken = False

        def get_password(self, service: str, username: str) -> str | None:
            if self.broken:
                raise RuntimeError("hush")
            return "hush" if (service, username) == ("shoal", "0.0.5") else None

        def set_password(self, service: str, username: str, password: str) -> None: ...

        def delete_password(self, service: str, username: str) -> None: ...

    before, ring = keyring.get_keyring(), Ring()
    keyring.set_keyring(ring)
    try:
        flags = {"operator_id": "0.0.5", "operator_keyring": True}
        assert ledger_settings(Settings.load(flags=flags)).operator_key == "hush"
        with pytest.raises(ConfigError) as unknown:
            ledger_settings(Settings.load(flags={**flags, "operator_id": "0.0.6"}))
        assert unknown.value.code == "SHOAL-C25" and "keyring set shoal 0.0.6" in unknown.value.hint
        ring.broken = True
        with pytest.raises(ConfigError) as broken:
            ledger_settings(Settings.load(flags=flags))
        assert broken.value.code == "SHOAL-C25" and "hush" not in str(broken.value.as_dict())
    finally:
        keyring.set_keyring(before)
