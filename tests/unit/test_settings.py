"""Layers of settings: each wins over the one before, each value says where it came from, and no secret shows."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from shoal.errors import ConfigError
from shoal.settings import Settings, load_with_origins, write_toml


@pytest.fixture(autouse=True)
def _empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPERATOR_ID", "OPERATOR_KEY", "NETWORK", "CONTRACT_ID", "SHOAL_DIR", "SHOAL_NETWORK", "SHOAL_POLL_S"):
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
