"""The command port: its shapes, and every command over the ports that there are."""

from __future__ import annotations

from typing import Any

import pytest
from trio.testing import MockClock

from .desk import Api, Desk, api


async def say(it: Api, cmd: str, *args: str, status: int = 200) -> dict[str, Any]:
    answer = await it.commands.post("/command", json={"cmd": cmd, "args": list(args)}, headers=it.authorised)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    assert found["status"] == "ok" if status == 200 else isinstance(found["error"], str) and found["error"]
    return found


async def test_help_lists_every_command_and_each_runs(clock: MockClock, desk: Desk) -> None:
    arguments = {
        "publish": ["news", "hello"],
        "create-hcs": ["my", "topic"],
        "send-hcs": ["0.0.7", "hello", "you"],
        "query": ["0.0.7"],
    }
    async with api(desk) as it:
        for described in (await say(it, "help"))["commands"]:
            name = described["usage"].split()[0]
            await say(it, name, *arguments.get(name, []))
        assert (await say(it, "help", "query"))["commands"][0]["usage"] == "query TOPIC [COUNT]"
        last = (await say(it, "query", "0.0.7", "1"))["messages"][0]
        assert last["text"] == "hello you"
    assert desk.ledger.topics == ["my topic"]
    assert b"hello" in desk.world.network.gossiped


async def test_status_is_the_command_of_that_name(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        answer = (await it.commands.get("/status", headers=it.authorised)).json()
        assert answer["status"] == "ok" and answer["account"] == "0.0.5" and answer["peers_connected"] == 1
        assert answer["balance_tinybar"] == 10**12
        roles = (await say(it, "roles"))["roles"]
        assert roles == {}
        assert (await say(it, "peers"))["peers"][0]["connected"] is True


@pytest.mark.parametrize(
    ("cmd", "args", "status", "code"),
    [
        ("dance", [], 404, "SHOAL-U59"),
        ("help", ["dance"], 404, "SHOAL-U59"),
        ("peers", ["x"], 422, "SHOAL-U62"),
        ("send-hcs", ["0.0.7"], 422, "SHOAL-U62"),
        ("send-hcs", ["seven", "x"], 422, "SHOAL-U62"),
        ("send-hcs", ["0.0.7", "x" * 30_000], 422, "SHOAL-U62"),
        ("query", [], 422, "SHOAL-U62"),
        ("query", ["0.0.7", "many"], 422, "SHOAL-U62"),
        ("create-hcs", ["x" * 101], 422, "SHOAL-U62"),
        ("publish", ["shoal/market", "x"], 422, "SHOAL-U62"),
    ],
)
async def test_what_cannot_be_done_says_why(
    clock: MockClock, desk: Desk, cmd: str, args: list[str], status: int, code: str
) -> None:
    async with api(desk) as it:
        assert (await say(it, cmd, *args, status=status))["code"] == code
    assert desk.ledger.topics == [] and desk.world.ledger.submitted == 0


async def test_a_line_that_is_none_is_a_problem(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        for body in ({}, {"cmd": ""}, {"cmd": "help", "args": "x"}, {"cmd": "help", "more": 1}, []):
            answer = await it.commands.post("/command", json=body, headers=it.authorised)
            assert (answer.status_code, answer.json()["code"]) == (422, "SHOAL-U54")
            assert answer.json()["error"] == answer.json()["detail"]


async def test_a_command_with_a_key_is_paid_once(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        for _ in range(2):
            headers = {**it.authorised, "Idempotency-Key": "k"}
            answer = await it.commands.post("/command", json={"cmd": "create-hcs", "args": []}, headers=headers)
            assert answer.json()["topic_id"] == "0.0.1001"
    assert len(desk.ledger.topics) == 1
