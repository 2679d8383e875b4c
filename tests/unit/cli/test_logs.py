"""Logs: one form on a terminal and another elsewhere, levels by name, and no secret in any of them."""

from __future__ import annotations

import base64
import io
import json
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shoal.adapters.keys import AGE_FILE, SIGNING_FILE, FileKeys, key_from_file
from shoal.api import service as service  # whoever logs has to be there
from shoal.api.token import Token
from shoal.cli import logs, output
from shoal.errors import ConfigError, ShoalError
from shoal.redact import MASK, clean, know
from shoal.settings import Settings, load_with_origins, parse_log

RAW = "0badcafe" + "7d3b9a61f04e8c2d" * 3 + "91c3e5f7"
DER = "302e020100300506032b657004220420" + RAW
URL = "https://s3.example/bucket/chunk-0?X-Amz-Algorithm=AWS4&X-Amz-Signature=5ec2e7005ec2e7005ec2e7005ec2e700"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Handlers and levels of the process that runs the tests."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in ("shoal", "shoal.adapters", "shoal.trainer"):
        logging.getLogger(name).setLevel(logging.NOTSET)
    logging.setLogRecordFactory(logging.LogRecord)
    logs.asked_for = False


class Stderr(io.StringIO):
    """A stream that is a terminal, or none."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def secrets(home: Path) -> dict[str, list[str]]:
    """Everything that this process is to keep to itself, each in the forms in which it may be quoted."""
    home.mkdir(mode=0o700)
    key = home / "operator.key"
    key.write_text(f"ed25519:{RAW}")
    key.chmod(0o600)
    key_from_file(key)
    Settings(
        operator_key=DER,  # type: ignore[arg-type]
        s3_secret_key="s3cr3t/of+the/store0123456789abcdef",  # type: ignore[arg-type]
        pinata_jwt="a.token.of.pinata.0123456789abcdef",  # type: ignore[arg-type]
    )
    keys = FileKeys.load(home / "keys")
    token = Token.load(home)
    seed = keys.network_seed()
    data = bytes.fromhex(RAW)
    pem = (home / "keys" / SIGNING_FILE).read_text()
    return {
        "the operator's key": [RAW, RAW.upper(), DER, base64.b64encode(data).decode(), RAW[:20], RAW[-20:]],
        "the S3 key": ["s3cr3t/of+the/store0123456789abcdef", "store0123456789abcdef"],
        "Pinata's token": ["a.token.of.pinata.0123456789abcdef"],
        "the node's token": [token.fresh, f"Bearer {token.fresh}"],
        "the signing key": [seed.hex(), base64.b64encode(seed).decode(), base64.urlsafe_b64encode(seed).decode(), pem],
        "the age identity": [(home / "keys" / AGE_FILE).read_text().strip()],
        "another's age identity": ["AGE-SECRET-KEY-1" + "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L" * 2],
        "a presigned URL": [URL],
        "a key nobody told of": [f"302e020100300506032b657004220420{'ab12' * 16}"],
    }


def marks(forms: list[str]) -> list[str]:
    """What must not be seen of them: for a URL its query, for a file the lines of its key."""
    found = []
    for form in forms:
        if form.startswith("http"):
            found.append(form.partition("?")[2][:30])
        elif "BEGIN" in form:
            found += [line for line in form.splitlines() if len(line) > 40 and not line.startswith(("#", "-"))]
        else:
            found.append(form.removeprefix("Bearer "))
    return found


def loggers() -> list[logging.Logger]:
    names = [name for name, each in logging.root.manager.loggerDict.items() if isinstance(each, logging.Logger)]
    return [logging.getLogger(), *(logging.getLogger(name) for name in sorted(names))]


def speak(logger: logging.Logger, secret: str) -> None:
    """Every way in which a secret may come into a log."""
    logger.error(secret)
    logger.error("it is %s", secret)
    logger.error("in quotes: %r; beside it=%s&more", secret, secret)
    logger.error("in a record: %s", {"headers": [("authorization", secret)]})
    try:
        raise ValueError(f"cannot use {secret}")
    except ValueError as error:
        logger.error("failed", exc_info=error)
        try:
            raise ShoalError(f"because of {secret}") from error
        except ShoalError:
            logger.exception("failed again")


@pytest.mark.parametrize("terminal", [True, False])
def test_no_secret_comes_through_any_logger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, terminal: bool) -> None:
    stderr = Stderr(terminal)
    monkeypatch.setattr(sys, "stderr", stderr)
    monkeypatch.setattr(output.stderr, "_width", 100_000)  # else a secret would be wrapped out of sight
    logs.set_up("debug")
    hidden = secrets(tmp_path / "home")
    everyone = [each for each in loggers() if each.isEnabledFor(logging.ERROR) and not each.disabled]
    assert len(everyone) > 20 and {"shoal.api", "shoal.trainer"} <= {each.name for each in everyone}
    for number, logger in enumerate(everyone):
        for turn, forms in enumerate(hidden.values()):
            if number < 3 or (number + turn) % 3 == 0:
                for form in forms if number < 3 else forms[:1]:
                    speak(logger, form)
    text = stderr.getvalue()
    assert text.count(MASK) > 500
    for what, forms in hidden.items():
        for mark in marks(forms):
            assert mark not in text, what
    assert "cannot use" in text and "https://s3.example/bucket/chunk-0?" in text, "the rest is still told"


def test_no_secret_is_in_an_error_that_quotes_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    hidden = secrets(tmp_path / "home")
    for forms in hidden.values():
        for form in forms:
            error = ConfigError(f"cannot use {form}", hint=f"not {form}")
            output.show_error(error, as_json=True)
            output.show_error(error, as_json=False)
    told = capsys.readouterr()
    for what, forms in hidden.items():
        for mark in marks(forms):
            assert mark not in told.out and mark not in told.err.replace("\n", ""), what


def test_what_is_no_secret_stays() -> None:
    know(RAW, "", "task", "round 3")
    for text in (
        "task 4960be108c74: round 3 chunk 1: loss 0.1234 in 0.20 s",
        "peer 12D3KooWJAfQmY9oRYCqUs66USKGfB5Cn8zgftvRpmfLMkngoPXs",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p",
        "http://127.0.0.1:8420/api/v1/tasks",
        "/ip4/127.0.0.1/tcp/4001",
    ):
        assert clean(text) == text


# ---------------------------------------------------------------- forms and levels


def test_a_line_is_an_object_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stderr = Stderr(False)
    monkeypatch.setattr(sys, "stderr", stderr)
    logs.set_up("info")
    log = logging.getLogger("shoal.trainer")
    log.info("two\nlines of %d", 7)
    log.debug("nobody asked for this")
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("a fault")
    first, second = [json.loads(line) for line in stderr.getvalue().splitlines()]
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "info", "logger": "shoal.trainer", "message": "two\nlines of 7"}
    assert second["traceback"].endswith("ValueError: why")


@pytest.mark.parametrize(
    ("levels", "shoal", "adapters", "trainer"),
    [
        ("info", 20, 30, 20),
        ("debug", 10, 10, 10),
        ("error", 40, 40, 40),
        ("warning,shoal.trainer=debug", 30, 30, 10),
        ("shoal.adapters=debug", 20, 10, 20),
    ],
)
def test_levels(levels: str, shoal: int, adapters: int, trainer: int) -> None:
    logs.set_up("shoal.trainer=critical")
    logs.set_up(levels)
    found = [logging.getLogger(name).getEffectiveLevel() for name in ("shoal", "shoal.adapters", "shoal.trainer")]
    assert found == [shoal, adapters, trainer]


@pytest.mark.parametrize("text", ["loud", "shoal=", "info,shoal.trainer=2"])
def test_other_levels_are_refused(text: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="one of debug"):
        parse_log(text)
    monkeypatch.setenv("SHOAL_LOG", text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="SHOAL_LOG") as raised:
        load_with_origins(flags={"dir": tmp_path})
    assert raised.value.code == "SHOAL-C02"


def test_the_option_may_stand_anywhere(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from shoal.cli.main import main

    told: list[Any] = []
    monkeypatch.setattr(logs, "set_up", told.append)
    for words in (["--log-level", "debug", "version"], ["version", "--log-level=debug"]):
        monkeypatch.setattr(sys, "argv", ["shoal", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 0
    assert told == ["debug", "debug"] and capsys.readouterr().out.count("shoal 0.") == 2


@pytest.mark.parametrize(
    ("network", "topic_logs", "level"),
    [
        ("devnet", "auto", logging.INFO),
        ("testnet", "auto", logging.INFO),
        ("mainnet", "auto", None),
        ("mainnet", "warning", logging.WARNING),
        ("devnet", "off", None),
    ],
)
def test_logs_go_to_topics_but_on_mainnet_only_if_asked(network: Any, topic_logs: Any, level: int | None) -> None:
    assert Settings(network=network, topic_logs=topic_logs).topic_log_level == level
