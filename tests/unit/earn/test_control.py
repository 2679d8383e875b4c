"""What is said to a running `shoal earn`: it outlives restarts, and nothing damaged is obeyed."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.core.idle import Orders
from shoal.earn.control import NEVER, ORDERS, Control
from shoal.errors import MachineError


def test_orders_are_kept_and_a_stop_is_forgotten_by_the_next_run(tmp_path: Path) -> None:
    control = Control(tmp_path / "new")
    assert control.orders() == Orders()
    control.pause(50.0)
    assert Control(tmp_path / "new").orders() == Orders(paused_until_s=50.0)
    control.pause(NEVER)
    control.stop()
    assert control.orders() == Orders(True, NEVER)
    control.begin()
    assert control.orders() == Orders(False, NEVER), "an old pause holds"
    control.resume()
    assert control.orders() == Orders()
    assert (tmp_path / "new" / ORDERS).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"stop": 1, "paused_until": 0}', '{"stop": false, "paused_until": true}', '{"stop": false}',
     '{"stop": false, "paused_until": "soon"}', "[" * 40_000, "x" * 70_000],
)  # fmt: skip
def test_a_damaged_file_is_no_order(tmp_path: Path, text: str) -> None:
    (tmp_path / ORDERS).write_text(text)
    control = Control(tmp_path)
    with pytest.raises(MachineError) as caught:
        control.orders()
    assert caught.value.code == "SHOAL-G04"
    control.resume()
    assert control.orders() == Orders()


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ORDERS)
    with pytest.raises(MachineError, match="no file"):
        Control(tmp_path).orders()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    directory = tmp_path_factory.mktemp("orders")
    (directory / ORDERS).write_bytes(data)
    try:
        assert isinstance(Control(directory).orders(), Orders)
    except MachineError as error:
        assert error.code == "SHOAL-G04"


def test_only_a_process_that_holds_the_lock_and_lives_is_present(tmp_path: Path) -> None:
    control = Control(tmp_path)
    assert not control.running()
    with pytest.raises(MachineError) as caught:
        control.need_running()
    assert caught.value.code == "SHOAL-G02"
    control.tell({"state": "run", "pid": os.getpid()})
    with (tmp_path / "lock").open("ab") as file:
        assert control.present() is None, "it has died"
        fcntl.flock(file, fcntl.LOCK_EX)
        assert control.need_running()["state"] == "run"
        control.tell({"state": "stopped", "pid": os.getpid()})
        assert control.present() is None, "another kind of node runs here"
        control.tell({"state": "run", "pid": 2**22 + 1})
        assert control.present() is None
