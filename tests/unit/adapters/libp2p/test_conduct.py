"""Budgets, points, bans and replays of peers, on a mock clock."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from shoal.adapters.libp2p import bounds
from shoal.adapters.libp2p.bans import Bans
from shoal.adapters.libp2p.conduct import Conduct
from shoal.adapters.libp2p.replay import ReplayGuard
from shoal.adapters.libp2p.topics import Kept

DAY_S = 24 * 3_600.0


async def test_a_peer_at_a_thousand_messages_a_second_is_cut_off_within_two(autojump_clock: object) -> None:
    spent: list[float] = []
    conduct = Conduct(on_spent=lambda peer_id: spent.append(trio.current_time()))
    began_s, admitted = trio.current_time(), 0
    while not spent:
        admitted += conduct.admit("flood", 100)
        await trio.sleep(0.001)
    assert spent[0] - began_s < 2.0
    assert admitted < 1_200


async def test_a_peer_within_its_budget_keeps_all_its_points(autojump_clock: object) -> None:
    conduct = Conduct(on_spent=lambda peer_id: pytest.fail("cut off"))
    for _ in range(10_000):
        assert conduct.admit("honest", 1_000)
        await trio.sleep(1 / bounds.PUBLISH_PER_S)
    assert conduct.score("honest") == bounds.POINTS


async def test_too_many_bytes_count_as_too_many_messages_do(autojump_clock: object) -> None:
    conduct = Conduct(on_spent=lambda peer_id: None)
    half = bounds.PEER_BYTES_BURST // 2
    assert [conduct.admit("peer", half) for _ in range(3)] == [True, True, False]
    assert conduct.score("peer") == bounds.POINTS - bounds.STRIKE_OVER_BUDGET
    await trio.sleep(60)
    assert conduct.admit("peer", half)
    assert conduct.score("peer") == bounds.POINTS


async def test_misconduct_adds_up_and_is_forgotten_with_time(autojump_clock: object) -> None:
    spent: list[str] = []
    conduct = Conduct(on_spent=spent.append)
    for _ in range(4):
        conduct.strike("bad", bounds.STRIKE_MALFORMED)
    assert (spent, conduct.score("bad")) == ([], 0.0)
    await trio.sleep(50)
    assert conduct.score("bad") == 50.0
    conduct.strike("bad", 49.0)
    conduct.strike("bad", 2.0)
    assert spent == ["bad"]


async def test_an_author_over_budget_is_not_blamed_on_who_forwards_it(autojump_clock: object) -> None:
    conduct = Conduct(on_spent=lambda peer_id: pytest.fail("cut off"))
    heard = sum(conduct.admit_author("author") for _ in range(2 * bounds.AUTHOR_MESSAGES_BURST))
    assert heard == bounds.AUTHOR_MESSAGES_BURST
    assert conduct.score("author") == bounds.POINTS


async def test_control_messages_without_end_are_read_ever_later(autojump_clock: object) -> None:
    conduct = Conduct(on_spent=lambda peer_id: None)
    pauses = [conduct.pause_s("peer") for _ in range(bounds.PEER_READS_BURST + 1)]
    assert pauses[:-1] == [0.0] * bounds.PEER_READS_BURST
    assert pauses[-1] > 0


async def test_accounts_are_bounded(autojump_clock: object) -> None:
    conduct = Conduct(on_spent=lambda peer_id: None)
    for number in range(10_000):
        conduct.admit(f"peer {number}", 1)
        conduct.admit_author(f"author {number}")
    assert len(conduct._accounts) <= 2 * bounds.CONNECTIONS
    assert len(conduct._authors) <= bounds.AUTHORS


# ---------------------------------------------------------------- bans


def test_each_ban_is_twice_as_long_up_to_a_day(tmp_path: Path) -> None:
    now = [1e9]
    bans = Bans(tmp_path / "bans.json", now_s=lambda: now[0])
    lengths = [bans.add("peer") for _ in range(20)]
    assert lengths[:3] == [60.0, 120.0, 240.0]
    assert lengths[-1] == bounds.BAN_MAX_S
    bans.save()
    again = Bans(tmp_path / "bans.json", now_s=lambda: now[0])
    assert again.now() == ("peer",)
    now[0] += bounds.BAN_MAX_S + 1
    assert "peer" not in again
    now[0] += DAY_S
    assert again.add("peer") == bounds.BAN_MIN_S


def test_bans_are_bounded_and_a_broken_file_is_ignored(tmp_path: Path) -> None:
    bans = Bans(None, now_s=lambda: 1.0)
    for number in range(bounds.BANS + 50):
        bans.add(f"peer {number}")
    assert len(bans.now()) == bounds.BANS
    path = tmp_path / "bans.json"
    for content in ("", "[]", '{"a": 1}', '{"a": ["x", 1]}', "\xff"):
        path.write_text(content)
        assert Bans(path).now() == ()
    path.write_text(json.dumps({"peer": [1e300, 1]}))
    assert Bans(path, now_s=lambda: 0.0)._bans["peer"].until_s == bounds.BAN_MAX_S


# ---------------------------------------------------------------- replays


def clocked(number: int) -> bytes:
    return (2 * 10**18 + number).to_bytes(8, "big")


def test_what_comes_late_passes_and_what_is_old_does_not() -> None:
    now = [0.0]
    guard = ReplayGuard(now_s=lambda: now[0])
    guard.note("author", clocked(5))
    now[0] = bounds.REPLAY_S - 1
    guard.note("author", clocked(9))
    now[0] = bounds.REPLAY_S + 1
    assert not guard.is_old("author", clocked(5))
    assert not guard.is_old("author", clocked(9))
    now[0] = 2 * bounds.REPLAY_S
    assert guard.is_old("author", clocked(5))
    assert guard.is_old("author", clocked(9))
    assert not guard.is_old("author", clocked(10))
    assert not guard.is_old("stranger", clocked(1))


@given(st.lists(st.tuples(st.floats(0, 90), st.integers(0, 1000)), max_size=60))
def test_everything_the_library_has_forgotten_is_old(steps: list[tuple[float, int]]) -> None:
    """Its memory is two epochs long; a number heard less than one epoch ago is never refused."""
    now = [0.0]
    guard = ReplayGuard(now_s=lambda: now[0])
    heard: dict[int, float] = {}
    number = 0
    for pause_s, step in steps:
        now[0] += pause_s
        number += step
        guard.note("author", clocked(number))
        heard.setdefault(number, now[0])
        for each, when_s in heard.items():
            age_s = now[0] - when_s
            assert not (age_s < bounds.REPLAY_S and guard.is_old("author", clocked(each)))
            assert age_s < 2 * bounds.REPLAY_S or guard.is_old("author", clocked(each))


def test_numbers_that_do_not_grow_are_left_to_the_library() -> None:
    now = [0.0]
    guard = ReplayGuard(now_s=lambda: now[0])
    guard.note("author", bytes([255] * 8))
    guard.note("author", b"")
    now[0] = 10 * bounds.REPLAY_S
    assert not guard.is_old("author", bytes(8))
    for number in range(bounds.AUTHORS + 10):
        guard.note(f"author {number}", clocked(number))
    assert len(guard._authors) <= bounds.AUTHORS


# ---------------------------------------------------------------- what is kept of a topic


def test_kept_messages_are_bounded_in_number_and_bytes() -> None:
    kept = Kept()
    for number in range(bounds.KEPT_MESSAGES + 5):
        kept.put("peer", b"%d" % number)
    assert len(kept.after(0)) == bounds.KEPT_MESSAGES
    assert kept.after(0)[0].number == 6
    for _ in range(40):
        kept.put("peer", bytes(64 * 1024))
    assert sum(len(each.data) for each in kept.after(0)) <= bounds.KEPT_BYTES
