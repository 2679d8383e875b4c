"""What the machine shows of battery, heat, touch and full screens: by files, logind, and a real X server."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.core.idle import Limits
from shoal.core.schedule import minute
from shoal.earn import power, runner
from shoal.earn.benchmark import processor
from shoal.earn.control import Control
from shoal.earn.desktop import Desktop, logind_idle_s
from shoal.earn.senses import Senses, celsius, minute_of, on_battery
from shoal.roles.gate import Gate

from .test_runner import Machine
from .trees import DESKTOP_WITH_MOUSE, PLUGGED, RAPL, SENSORS, UNPLUGGED, USB_C, tree


@pytest.mark.parametrize(
    ("files", "expected"),
    [({}, None), (PLUGGED, False), (UNPLUGGED, True), (USB_C, False), (DESKTOP_WITH_MOUSE, None)],
)
def test_the_battery(tmp_path: Path, files: dict[str, str], expected: bool | None) -> None:
    assert on_battery(tree(tmp_path, files)) is expected


def test_a_battery_that_is_full_while_unplugged_counts_as_battery(tmp_path: Path) -> None:
    files = UNPLUGGED | {"sys/class/power_supply/BAT0/status": "Full\n"}
    assert on_battery(tree(tmp_path, files)) is True


def test_the_hottest_processor_counts_and_disks_and_radios_do_not(tmp_path: Path) -> None:
    assert celsius(tree(tmp_path, SENSORS)) == 63.0
    assert celsius(tmp_path / "nowhere") is None
    broken = {"sys/class/hwmon/hwmon1/temp1_input": "255000\n", "sys/class/hwmon/hwmon1/temp3_input": "x\n"}
    assert celsius(tree(tmp_path, broken)) == 59.0


def test_power_by_the_processors_counters_across_their_wrap(tmp_path: Path) -> None:
    before = power.read(tree(tmp_path, RAPL))
    assert before is not None and before.joules.keys() == {"intel-rapl:0"}, "a package's parts are within it"
    after = power.read(tree(tmp_path, {"sys/class/powercap/intel-rapl:0/energy_uj": "56671150\n"}))
    assert after is not None
    drawn = power.watts(before, power.Reading(before.at_s + 2.0, after.joules, after.wraps))
    assert drawn == pytest.approx((262_143.328850 - 262_100.0 + 56.671150) / 2)
    assert power.read(tmp_path / "nowhere") is None and power.watts(None, after) is None
    assert power.watts(after, after) is None


def test_cards_as_nvidia_smi_lists_them() -> None:
    text = "NVIDIA GeForce RTX 4090, 21.51\nTesla T4, [N/A]\n\nnonsense\n"
    assert power.parse_gpus(text) == (power.Gpu("NVIDIA GeForce RTX 4090", 21.51), power.Gpu("Tesla T4", None))


def test_the_name_of_the_processor(tmp_path: Path) -> None:
    assert processor(tmp_path) == ""
    tree(tmp_path, {"proc/cpuinfo": "processor\t: 0\nmodel name\t: AMD Ryzen 7 5800X\nflags\t: fpu\n"})
    assert processor(tmp_path) == "AMD Ryzen 7 5800X"


# ---------------------------------------------------------------- touch


def session(**values: str) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


@pytest.mark.parametrize(
    ("blocks", "idle_s"),
    [
        ([], math.inf),
        ([session(Class="greeter", IdleHint="no", IdleSinceHint="0")], math.inf),
        ([session(Class="user", IdleHint="no", IdleSinceHint="0")], 0.0),
        ([session(Class="user", IdleHint="yes", IdleSinceHint="940000000")], 60.0),
        ([session(Class="user", IdleHint="yes", IdleSinceHint="x")], 0.0),
        ([session(Class="user", IdleHint="yes", IdleSinceHint="990000000")] * 2, 10.0),
        (
            [session(Class="user", IdleHint="yes", IdleSinceHint="0"), session(Class="user", IdleHint="no")],
            0.0,
        ),
    ],
)
def test_what_logind_says(blocks: list[str], idle_s: float) -> None:
    assert logind_idle_s("\n".join(blocks), 1_000.0) == idle_s


def test_logind_comes_before_terminals_and_terminals_before_nothing(tmp_path: Path) -> None:
    (tmp_path / "dev/pts").mkdir(parents=True)
    for name, age_s in (("pts/0", 500), ("pts/1", 90)):
        path = tmp_path / "dev" / name
        path.touch()
        os.utime(path, (1_000 - age_s, 1_000))
    users = ["pts/0", "pts/1", "pts/9", "../etc/passwd", ""]
    blind = Desktop({}, root=tmp_path, users=lambda: users, logind=lambda: None)
    touch = blind.touched(1_000.0)
    assert touch is not None and (touch.idle_s, touch.source) == (90.0, "terminals")
    told = Desktop({}, root=tmp_path, users=lambda: users, logind=lambda: session(Class="user", IdleHint="no"))
    touch = told.touched(1_000.0)
    assert touch is not None and (touch.idle_s, touch.source) == (0.0, "logind")
    assert Desktop({}, root=tmp_path, logind=lambda: None).touched(1_000.0) is None
    assert blind.full_screen() is None


def test_under_wayland_x11_is_not_believed() -> None:
    desktop = Desktop({"DISPLAY": ":0", "WAYLAND_DISPLAY": "wayland-0"}, logind=lambda: None)
    assert desktop.touched(0.0) is None and desktop.full_screen() is None


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # python-xlib leaves the socket open
def test_a_server_that_is_not_there_tells_nothing() -> None:
    assert Desktop({"DISPLAY": ":4711"}, logind=lambda: None).touched(0.0) is None


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    senses = Senses(tmp_path, environment={})
    facts = senses.look()
    senses.close()
    assert facts.memory_mib is not None and facts.memory_mib > 0
    assert facts.disk_mib is not None and facts.disk_mib > 0
    assert abs(facts.now_s - time.time()) < 60 and 0 <= facts.minute < 7 * 24 * 60


def test_a_minute_of_the_week() -> None:
    assert minute_of(time.strptime("2026-11-25 11:30", "%Y-%m-%d %H:%M")) == minute("wed", 11, 30)


# ---------------------------------------------------------------- a real X server


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """Xvfb, with a free number that it finds itself."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("Xvfb is not installed")
    read, write = os.pipe()
    server = subprocess.Popen(
        [program, "-displayfd", str(write), "-screen", "0", "640x480x24", "-nolisten", "tcp", "-noreset"],
        pass_fds=(write,), stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(write)
    with os.fdopen(read) as pipe:
        number = pipe.readline().strip()
    assert number, "the server did not start"
    yield f":{number}"
    server.terminate()
    server.wait(10)


@pytest.fixture
def connection(display: str) -> Iterator[Any]:
    from Xlib.display import Display

    made = Display(display)
    yield made
    with suppress(Exception):
        made.close()


def test_a_real_key_and_a_real_mouse_are_seen(display: str, connection: Any) -> None:
    from Xlib import X
    from Xlib.ext import xtest

    desktop = Desktop({"DISPLAY": display}, logind=lambda: None)
    touch = desktop.touched(0.0)
    assert touch is not None and touch.source == "X11"
    for kind, detail, more in ((X.KeyPress, 38, {}), (X.KeyRelease, 38, {}), (X.MotionNotify, 0, {"x": 33, "y": 44})):
        time.sleep(0.3)
        before = desktop.touched(0.0)
        assert before is not None and before.idle_s >= 0.25
        xtest.fake_input(connection, kind, detail, **more)
        connection.sync()
        after = desktop.touched(0.0)
        assert after is not None and after.idle_s < before.idle_s
    desktop.close()
    assert desktop.touched(0.0) is not None, "it connects anew"
    desktop.close()


def test_a_program_that_fills_the_screen_is_seen_by_its_title(display: str, connection: Any) -> None:
    """The part of the window manager is played by the test, which sets the properties that one would set."""
    from Xlib import X, Xatom

    desktop, root = Desktop({"DISPLAY": display}, logind=lambda: None), connection.screen().root
    assert desktop.full_screen() is None, "without a window manager it cannot be told"
    window = root.create_window(0, 0, 640, 480, 0, connection.screen().root_depth, X.InputOutput)
    window.map()
    atom = connection.intern_atom
    window.change_property(atom("_NET_WM_NAME"), atom("UTF8_STRING"), 8, "Spiel\n№ 1".encode())
    root.change_property(atom("_NET_CLIENT_LIST"), Xatom.WINDOW, 32, [window.id, 4711])
    connection.sync()
    assert desktop.full_screen() == ""
    state = [atom("_NET_WM_STATE_ABOVE"), atom("_NET_WM_STATE_FULLSCREEN")]
    window.change_property(atom("_NET_WM_STATE"), Xatom.ATOM, 32, state)
    connection.sync()
    assert desktop.full_screen() == "Spiel № 1"
    window.change_property(atom("_NET_WM_STATE"), Xatom.ATOM, 32, [*state, atom("_NET_WM_STATE_HIDDEN")])
    connection.sync()
    assert desktop.full_screen() == "", "minimised"
    window.destroy()
    connection.sync()
    assert desktop.full_screen() == ""
    desktop.close()


async def test_a_real_key_pauses_and_peace_goes_on(
    tmp_path: Path, display: str, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way from a key on an X server to the gate that a trainer works behind."""
    from Xlib import X
    from Xlib.ext import xtest

    for name in ("LOOK_S", "ORDERS_S"):
        monkeypatch.setattr(runner, name, 0.1)
    senses, gate, machine = Senses(tmp_path, environment={"DISPLAY": display}), Gate(open=False), Machine()
    limits = Limits(idle_s=1.0, max_celsius=1_000.0, min_memory_mib=0, min_disk_mib=0)
    monkeypatch.setattr("shoal.earn.senses.on_battery", lambda root: None)
    it = runner.Earner(
        machine, gate, senses=senses, control=Control(tmp_path), limits=limits, tell=machine.tell
    )  # fmt: skip
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(it.run)
            await gate.opened()
            for kind in (X.KeyPress, X.KeyRelease):
                xtest.fake_input(connection, kind, 38)
            connection.sync()
            await gate.closed()
            assert machine.told[-1]["obstacles"][0]["name"] == "idle" and machine.told[-1]["touch_seen_by"] == "X11"
            await gate.opened()
            it.stop()
    senses.close()
    assert machine.happened == ["left", "ended"]
