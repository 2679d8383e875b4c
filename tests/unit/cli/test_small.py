"""Small commands: copies of keys, changing a setting, completion; what they refuse, and what they never show."""

from __future__ import annotations

import io
import json
import stat
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shoal import seal
from shoal.adapters.keys import FileKeys
from shoal.cli import config, keys
from shoal.cli.main import main
from shoal.cli.show import plain, show
from shoal.errors import ConfigError, CryptoError, ShoalError, UsageError
from shoal.settings import SECRETS, Settings

PHRASE = "correct horse battery staple"
KEY = "302e020100300506032b657004220420" + "5ec2e700" * 8


@pytest.fixture(autouse=True)
def away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of whoever runs the tests."""
    monkeypatch.chdir(tmp_path)
    for name in ("SHOAL_DIR", "OPERATOR_KEY", "OPERATOR_ID", "NETWORK"):
        monkeypatch.delenv(name, raising=False)


def type_in(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))


def run(monkeypatch: pytest.MonkeyPatch, *words: str, stdin: str = "") -> int:
    type_in(monkeypatch, stdin)
    monkeypatch.setattr(sys, "argv", ["shoal", *words])
    try:
        main()
    except SystemExit as ended:
        return int(str(ended.code or 0))
    return 0


# ---------------------------------------------------------------- keys


@pytest.fixture
def home(tmp_path: Path) -> Settings:
    FileKeys.load(tmp_path / "home" / "keys")
    return Settings(dir=tmp_path / "home")


def same(one: Path, other: Path) -> bool:
    return all((one / "keys" / n).read_bytes() == (other / "keys" / n).read_bytes() for n in ("node.key", "age.key"))


def test_a_backup_under_a_passphrase_restores_both_keys(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    copy, there = tmp_path / "copy.age", Settings(dir=tmp_path / "there")
    type_in(monkeypatch, PHRASE + "\n")
    keys.backup(home, copy, None, as_json=True)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600 and copy.read_text().startswith("-----BEGIN AGE ENCRYPTED FILE")
    type_in(monkeypatch, "another horse battery\n")
    with pytest.raises(CryptoError) as wrong:
        keys.restore(there, copy, None, as_json=True)
    assert wrong.value.code == "SHOAL-K01" and not (there.dir / "keys").exists()
    type_in(monkeypatch, PHRASE + "\n")
    keys.restore(there, copy, None, as_json=True)
    assert same(home.dir, there.dir)
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["recipient"] == seal.recipient_text(FileKeys.load(home.dir / "keys").recipient)
    assert stat.S_IMODE((there.dir / "keys" / "age.key").stat().st_mode) == 0o600
    before = (there.dir / "keys" / "node.key").read_bytes()
    type_in(monkeypatch, PHRASE + "\n")
    with pytest.raises(UsageError) as refused:
        keys.restore(there, copy, None, as_json=True)
    assert refused.value.code == "SHOAL-U65" and (there.dir / "keys" / "node.key").read_bytes() == before
    with pytest.raises(UsageError) as refused:
        keys.backup(home, copy, None, as_json=True)
    assert refused.value.code == "SHOAL-U65"


def test_an_export_to_a_recipient_is_opened_by_its_identity(
    home: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    identity, recipient = seal.new_identity()
    keys.export(home, seal.recipient_text(recipient), as_json=False)
    copy, mine, others = tmp_path / "copy.age", tmp_path / "mine", tmp_path / "others"
    copy.write_text("pasted:\n" + capsys.readouterr().out + "\n")
    mine.write_text(f"# created: today\n{identity}\n")
    others.write_text(seal.new_identity()[0])
    there = Settings(dir=tmp_path / "there")
    for path, code in ((None, "SHOAL-U66"), (others, "SHOAL-K01"), (tmp_path / "no", "SHOAL-U67")):
        with pytest.raises(ShoalError) as refused:
            keys.restore(there, copy, path, as_json=True)
        assert refused.value.code == code
    keys.restore(there, copy, mine, as_json=False)
    assert same(home.dir, there.dir)


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (lambda sealed: b"", "SHOAL-K03"),
        (lambda sealed: b"-----BEGIN AGE ENCRYPTED FILE-----\n!\n-----END AGE ENCRYPTED FILE-----\n", "SHOAL-K03"),
        (lambda sealed: sealed[:-10], "SHOAL-K03"),
        (lambda sealed: seal.seal(b"no keys", [RECIPIENT]), "SHOAL-C21"),
        (
            lambda sealed: seal.seal(b'{"format": "shoal/keys/1", "node.key": "x", "age.key": "y"}', [RECIPIENT]),
            "SHOAL-C21",
        ),
        (lambda sealed: seal.seal(b'{"format": "other", "node.key": "x", "age.key": "y"}', [RECIPIENT]), "SHOAL-C21"),
        (lambda sealed: seal.seal(b"[]", [RECIPIENT]), "SHOAL-C21"),
    ],
)
def test_what_is_no_backup_leaves_nothing(
    tmp_path: Path, home: Settings, make: Callable[[bytes], bytes], code: str
) -> None:
    copy, mine, there = tmp_path / "copy", tmp_path / "mine", Settings(dir=tmp_path / "there")
    mine.write_text(IDENTITY)
    copy.write_bytes(make(seal.seal(b"x", [RECIPIENT])))
    with pytest.raises(ShoalError) as refused:
        keys.restore(there, copy, mine, as_json=True)
    assert refused.value.code == code and not (there.dir / "keys").exists()


ELSEWHERE = b'{"format": "other", "node.key": "x", "age.key": "y"}'
IDENTITY, RECIPIENT = seal.new_identity()


def test_short_passphrases_bad_recipients_and_no_keys_are_refused(
    home: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    type_in(monkeypatch, "short\n")
    with pytest.raises(UsageError) as refused:
        keys.backup(home, tmp_path / "copy", None, as_json=True)
    assert refused.value.code == "SHOAL-U66"
    for recipient in ("age1nonsense", IDENTITY, ""):
        with pytest.raises(CryptoError) as bad:
            keys.backup(home, tmp_path / "copy", recipient, as_json=True)
        assert bad.value.code == "SHOAL-K04"
    with pytest.raises(ConfigError) as none:
        keys.export(Settings(dir=tmp_path / "empty"), seal.recipient_text(RECIPIENT), as_json=True)
    assert (
        none.value.code == "SHOAL-C20"
        and not (tmp_path / "empty" / "keys").exists()
        and not (tmp_path / "copy").exists()
    )


# ---------------------------------------------------------------- settings


def test_a_setting_is_written_and_comments_stay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "home" / "shoal.toml"
    path.parent.mkdir()
    path.write_text("# mine\nmax_chunks = 2  # no more\n\n# the end\n")
    for name, value in {
        "max_chunks": "5",
        "hbar_per_hour": "0.25",
        "cover_fees": "false",
        "api_hosts": "a.example, b.example",
        "network": "testnet",
        "lan": "true",
    }.items():
        config.change(path.parent, name, value, as_json=True)
    text = path.read_text()
    assert text.startswith("# mine\nmax_chunks = 5") and "# no more" in text and "# the end" in text
    assert tomllib.loads(text) == {
        "max_chunks": 5,
        "hbar_per_hour": 0.25,
        "cover_fees": False,
        "api_hosts": ["a.example", "b.example"],
        "network": "testnet",
        "lan": True,
    }
    assert Settings.load(flags={"dir": path.parent}).api_hosts == ("a.example", "b.example")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == {"name": "max_chunks", "value": 5, "origin": str(path), "file": str(path)}


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_is_never_an_argument(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run(monkeypatch, "config", "set", name, KEY, "--dir", "home", "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "SHOAL-U67" and not Path("home").exists()
    assert run(monkeypatch, "config", "set", name, "--dir", "home", "--json", stdin=KEY + "\n") == 0
    told = capsys.readouterr()
    assert KEY not in told.out + told.err and json.loads(told.out)["value"] == "********"
    path = Path("home/shoal.toml")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and tomllib.loads(path.read_text()) == {name: KEY}


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("max_chunks", "many", "SHOAL-C02"),
        ("max_chunks", "0", "SHOAL-C02"),
        ("network", "elsewhere", "SHOAL-C02"),
        ("operator_id", KEY, "SHOAL-C02"),
        ("log", "loud", "SHOAL-C02"),
        ("dir", "/tmp", "SHOAL-C02"),
        ("no_such_setting", "1", "SHOAL-C02"),
    ],
)
def test_what_is_no_value_changes_nothing(tmp_path: Path, name: str, value: str, code: str) -> None:
    path = tmp_path / "home" / "shoal.toml"
    path.parent.mkdir()
    path.write_text("max_chunks = 2\n")
    with pytest.raises(ConfigError) as refused:
        config.change(path.parent, name, value, as_json=True)
    assert refused.value.code == code and KEY not in str(refused.value)
    assert path.read_text() == "max_chunks = 2\n"


def test_what_wins_over_the_file_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SHOAL_MAX_CHUNKS", "7")
    config.change(tmp_path, "max_chunks", "3", as_json=False)
    told = capsys.readouterr()
    assert "SHOAL_MAX_CHUNKS says otherwise" in told.err.replace("\n", " ") and "max_chunks = 7" in told.out


# ---------------------------------------------------------------- the rest


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_a_script(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    assert run(monkeypatch, "completion", shell) == 0
    assert "_SHOAL_COMPLETE" in capsys.readouterr().out


def test_bare_shoal_off_a_terminal_is_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch) in (0, 2)
    told = capsys.readouterr()
    assert "Usage" in told.out + told.err


def test_answers_are_shown_as_fields_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    rows: list[dict[str, Any]] = [{"peer_id": "a", "roles": ["trainer"], "latency_s": None}, {"peer_id": "b\x1b[2J"}]
    show({"topic": "news", "joined": True, "balance_tinybar": 150_000_000, "peers": rows, "offers": []})
    out = capsys.readouterr().out
    assert "topic            news" in out and "joined           yes" in out and "1.5 ℏ" in out
    assert "trainer" in out and "no offers" in out and "\x1b" not in out
    assert plain("x", {"client": ["a", "b"]}) == "client a, b" and plain("x", []) == "-"
