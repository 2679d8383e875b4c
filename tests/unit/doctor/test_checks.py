"""The doctor: each check alone, the gravest first; and what each makes of what it sees."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.doctor import checks, machine, world
from shoal.doctor.checks import Check, Finding, Grade
from shoal.earn.power import Gpu
from shoal.errors import LedgerUnreachable
from shoal.node import FileKeys
from shoal.settings import Settings


def check(name: str, outcome: Any, deadline_s: float = 20.0) -> Check:
    async def look() -> Finding:
        if isinstance(outcome, BaseException):
            raise outcome
        if callable(outcome):
            await outcome()
        assert isinstance(outcome, Finding)
        return outcome

    return Check(name, "nothing works", look, deadline_s)


async def test_whatever_one_check_does_the_others_are_told_the_gravest_first() -> None:
    never = threading.Event()

    async def block() -> None:
        never.wait(30)  # its whole thread: no cancellation reaches it

    asked = [
        check("good", checks.ok("fine")),
        check("careful", checks.warn("hm", "look")),
        check("absent", checks.skip("not here")),
        check("broken", ZeroDivisionError("oh")),
        check("group", ExceptionGroup("nursery", [ValueError(), LedgerUnreachable("away", hint="wait")])),
        check("asleep", trio.sleep_forever, 0.1),
        check("blocked", block, 0.1),
    ]
    results = await checks.run(asked)
    never.set()
    assert [each.check.name for each in results] == [
        "broken", "group", "asleep", "blocked", "careful", "good", "absent",
    ]  # fmt: skip
    told = {each.check.name: each.as_dict() for each in results}
    assert told["group"] | {"means": ""} == {
        "check": "group", "grade": "fail", "text": "away", "means": "", "do": "wait", "code": "SHOAL-L01",
    }  # fmt: skip
    assert told["asleep"]["code"] == told["blocked"]["code"] == "SHOAL-G06"
    assert told["broken"]["code"] == "SHOAL-X00" and "ZeroDivisionError" in told["broken"]["text"]
    assert all(each["text"] for each in told.values())
    assert all(each["do"] and each["means"] for each in told.values() if each["grade"] in ("fail", "warn"))


@pytest.mark.parametrize(
    ("ahead_s", "grade"), [(0, "ok"), (-4, "ok"), (-6, "warn"), (-61, "fail"), (119, "ok"), (121, "warn")]
)
def test_the_clock(ahead_s: float, grade: str) -> None:
    assert world.skew(ahead_s).grade == grade


@pytest.mark.parametrize(
    ("connected", "reachability", "grade"),
    [(0, "unknown", "fail"), (1, "direct", "ok"), (1, "relayed", "ok"), (2, "outbound", "warn"), (1, "unknown", "ok")],
)
def test_peers(connected: int, reachability: str, grade: str) -> None:
    assert world.reach(connected, reachability, 1).grade == grade


@pytest.mark.parametrize(("version", "grade"), [((3, 10, 9), "fail"), ((3, 11, 0), "ok"), ((4, 0, 0), "ok")])
def test_python(version: tuple[int, ...], grade: str) -> None:
    assert machine.python(version).grade == grade


def test_libraries_are_compared_with_the_tested_ones(tmp_path: Path) -> None:
    import trio

    path = tmp_path / "constraints.txt"
    path.write_text(f"trio=={trio.__version__}\nno-such-library==1\n")
    assert machine.libraries((tmp_path / "nowhere", path)).grade == "ok"
    path.write_text("trio==0.0.1\n")
    found = machine.libraries((path,))
    assert found.grade == "warn" and f"trio {trio.__version__} (tested: 0.0.1)" in found.text
    assert machine.libraries((tmp_path / "nowhere",)).grade == "skip"


def test_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert machine.disk(tmp_path / "not" / "yet", 1).grade == "ok"
    assert machine.disk(tmp_path, 10**9).grade == "warn"
    monkeypatch.setattr(machine.os, "access", lambda *_: False)
    assert machine.disk(tmp_path, 1).grade == "fail"


def test_ports(tmp_path: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = Settings(dir=tmp_path, api_listen=where, command_listen="127.0.0.1:0")
        found = machine.ports(settings)
        assert found.grade == "warn" and where in found.text
    assert machine.ports(settings.model_copy(update={"api_listen": "127.0.0.1:0"})).grade == "ok"
    elsewhere = settings.model_copy(update={"listen": ("/ip4/192.0.2.1/tcp/4001",)})
    assert machine.ports(elsewhere).grade == "fail"


def test_keys(tmp_path: Path) -> None:
    settings = Settings(dir=tmp_path)
    assert machine.keys(settings).grade == "ok" and not (tmp_path / "keys").exists(), "it makes none"
    FileKeys.load(tmp_path / "keys")
    assert machine.keys(settings).grade == "ok"
    (tmp_path / "keys" / "notes").write_text("x")
    (tmp_path / "keys" / "notes").chmod(0o644)
    assert machine.keys(settings).code == "SHOAL-C22"


async def test_keys_that_others_can_read_and_a_key_that_is_not_there(tmp_path: Path) -> None:
    FileKeys.load(tmp_path / "keys")
    (tmp_path / "keys" / "node.key").chmod(0o644)
    found = await checks.examine(check_of(Settings(dir=tmp_path), "keys"))
    assert (found.grade, found.code) == (Grade.FAIL, "SHOAL-C22") and "chmod" in found.do
    missing = Settings(dir=tmp_path / "other", operator_id="0.0.5")
    assert (await checks.examine(check_of(missing, "keys"))).code == "SHOAL-C01"


def check_of(settings: Settings, name: str) -> Check:
    (found,) = [each for each in [*machine.checks(settings), *world.checks(settings)] if each.name == name]
    return found


@pytest.mark.parametrize("name", ["account", "peers", "storage", "ipfs"])
async def test_what_is_not_set_is_skipped(tmp_path: Path, name: str) -> None:
    assert (await checks.examine(check_of(Settings(dir=tmp_path), name))).grade is Grade.SKIP


@pytest.mark.parametrize(
    ("stand", "grade"), [("none", "warn"), ("landlock abi 7 + seccomp", "ok"), ("bubblewrap + seccomp", "ok")]
)
def test_walls(stand: str, grade: str) -> None:
    assert machine.walls(stand).grade == grade


def test_a_card_is_named_and_said_to_be_unused() -> None:
    assert "RTX" in machine.gpu((Gpu("RTX 4070", None),)).text and machine.gpu(()).grade == "skip"


def test_every_check_has_a_name_of_its_own_and_says_what_its_failure_means(tmp_path: Path) -> None:
    every = [*world.checks(Settings(dir=tmp_path)), *machine.checks(Settings(dir=tmp_path))]
    assert len({each.name for each in every}) == len(every) >= 13
    assert all(each.about for each in every if each.name != "gpu")
