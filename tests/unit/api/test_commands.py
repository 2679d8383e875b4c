"""The command port: its shapes, and every command over the ports that there are, in every role."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from trio.testing import MockClock

from shoal.api.server import serving_commands
from shoal.core import calls
from shoal.core.codec import encode
from shoal.shell.offers import FORGET_S, MOST, Offer, Offers
from shoal.shell.station import Station

from .desk import Api, Desk, api, archive


async def say(it: Api, cmd: str, *args: str, status: int = 200) -> dict[str, Any]:
    answer = await it.commands.post("/command", json={"cmd": cmd, "args": list(args)}, headers=it.authorised)
    assert answer.status_code == status, answer.text
    found: dict[str, Any] = answer.json()
    assert found["status"] == "ok" if status == 200 else isinstance(found["error"], str) and found["error"]
    return found


async def test_help_lists_every_command_and_each_runs(clock: MockClock, desk: Desk) -> None:
    [trainer] = [peer for peer in desk.world.network.peers.values() if peer is not desk.network]
    trainer.roles = ("bootstrap",)
    (desk.settings.dir / "mine").mkdir()
    zipfile.ZipFile(io.BytesIO(archive())).extractall(desk.settings.dir)
    arguments = {
        "connect": [f"/ip4/127.0.0.1/tcp/1/p2p/{trainer.peer_id}"],
        "join": ["news"],
        "read": ["news"],
        "publish": ["news", "hello"],
        "advertize": ["round-1"],
        "train": ["round-1", str(desk.settings.dir / "mine/rows.csv"), str(desk.settings.dir / "mine"), "--yes"],
        "leave": ["news"],
        "create-hcs": ["my", "topic"],
        "send-hcs": ["0.0.7", "hello", "you"],
        "query": ["0.0.7"],
    }
    async with api(desk) as it:
        described = [each["usage"].split()[0] for each in (await say(it, "help"))["commands"]]
        for name in sorted(described, key=lambda name: (name != "join", name == "leave")):
            await say(it, name, *arguments.get(name, []))
        assert (await say(it, "help", "query"))["commands"][0]["usage"] == "query [TOPIC] [COUNT]"
        last = (await say(it, "query", "0.0.7", "1"))["messages"][0]
        assert last["text"] == "hello you"
    assert desk.ledger.topics[1] == "my topic" and desk.ledger.topics[0].startswith("shoal task")
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
        ("join", ["shoal/market"], 422, "SHOAL-U62"),
        ("join", [], 422, "SHOAL-U62"),
        ("advertize", ["x" * 201], 422, "SHOAL-U62"),
        ("read", ["news", "all"], 422, "SHOAL-U62"),
        ("read", ["news"], 502, "SHOAL-N14"),
        ("train", [], 422, "SHOAL-U62"),
        ("train", ["news", "--rounds", "no"], 422, "SHOAL-U62"),
        ("train", ["news", "--rounds", "0"], 422, "SHOAL-U62"),
        ("train", ["news", "--fast"], 422, "SHOAL-U62"),
        ("train", ["news", "a.csv"], 422, "SHOAL-U09"),
        ("train", ["news"], 409, "SHOAL-U07"),
        ("send-hcs", ["no topic is remembered"], 422, "SHOAL-U62"),
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


async def test_a_topic_is_remembered_and_what_peers_say_on_another_is_read(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        await say(it, "create-hcs")
        assert (await say(it, "send-hcs", "hello", "you"))["topic_id"] == "0.0.1001"
        assert (await say(it, "query"))["topic_id"] == (await say(it, "query", "3"))["topic_id"] == "0.0.1001"
        await say(it, "join", "news")
        [trainer] = [peer for peer in desk.world.network.peers.values() if peer is not desk.network]
        for data in (b"one", b"\xff"):
            await trainer.publish("news", data)
        first, second = (await say(it, "read", "news"))["messages"]
        assert (first["text"], first["peer_id"], second["hex"]) == ("one", trainer.peer_id, "ff")
        assert (await say(it, "read", "news", "1"))["messages"] == [second]
        assert {"topic": "news", "joined": True, "peers": []} in (await say(it, "topics"))["topics"]
        assert (await say(it, "mesh"))["mesh"][0]["peer_id"] == desk.network.peer_id
        refused = await say(it, "bootmesh", status=502)
        assert refused["code"] == "SHOAL-N09"
        trainer.roles = ("bootstrap",)
        assert (await say(it, "bootmesh"))["bootstrap"] == trainer.peer_id
        await say(it, "leave", "news")
        await say(it, "read", "news", status=502)


async def test_train_buys_one_task_and_tells_a_topic_of_it(clock: MockClock, desk: Desk) -> None:
    zipfile.ZipFile(io.BytesIO(archive())).extractall(desk.settings.dir)
    mine = desk.settings.dir / "mine"
    [trainer] = [peer for peer in desk.world.network.peers.values() if peer is not desk.network]
    await trainer.join("round")
    async with api(desk) as it:
        refused = await say(it, "train", "round", str(mine / "rows.csv"), str(mine), status=409)
        assert refused["money"] == "nothing was spent" and "in escrow" in refused["detail"]
        done = await say(it, "train", "round", str(mine / "rows.csv"), str(mine), "--rounds", "1", "--yes")
        assert done["escrow_tinybar"] > 0
        with trio.fail_after(60):
            while len(trainer.read("round")) < 2:  # noqa: ASYNC110 - the network has no event for it
                await trio.sleep(0.5)
        row = (await it.http.get(f"/api/v1/tasks/{done['task_id']}")).json()
        assert row["following"] and row["rounds"] == 1
    told = [json.loads(each.data) for each in trainer.read("round")]
    assert {each["task_id"] for each in told} == {done["task_id"]}
    assert {"training", "created"} <= {each["event"] for each in told}
    made = desk.world.ledger.calls_of(calls.CreateTask, desk.world.client)
    assert len(made) == 2, "the world's own, and this one"


@pytest.mark.parametrize("role", ["bootstrap", "trainer"])
async def test_every_role_takes_commands_and_says_what_it_cannot_do(clock: MockClock, desk: Desk, role: str) -> None:
    port = None if role == "bootstrap" else desk
    settings = desk.settings.model_copy(update={"command_listen": "127.0.0.1:0"})
    async with Station.open(role, settings, desk.network, desk.store, desk=port) as station:
        async with serving_commands(station) as served, httpx.AsyncClient(base_url=served.command_url) as http:
            assert (await http.get("/status")).status_code == 401
            headers = {"Authorization": f"Bearer {served.token.fresh}"}
            status = (await http.get("/status", headers=headers)).json()
            assert (status["status"], status["role"]) == ("ok", role) and ("account" in status) == (port is not None)
            answer = await http.post("/command", json={"cmd": "mesh"}, headers=headers)
            assert answer.json()["mesh"][0]["peer_id"] == desk.network.peer_id
            for cmd in ["train news --yes", *(["create-hcs", "send-hcs a", "query"] if role == "bootstrap" else [])]:
                name, *words = cmd.split()
                answer = await http.post("/command", json={"cmd": name, "args": words}, headers=headers)
                assert (answer.status_code, answer.json()["code"]) == (409, "SHOAL-U63"), cmd
                assert answer.json()["error"].startswith(f"a {role} node cannot {name}")
            if role == "bootstrap":
                answer = await http.post("/command", json={"cmd": "bootmesh"}, headers=headers)
                assert answer.json()["bootstrap"] == desk.network.peer_id


async def test_offers_are_heard_repeated_and_forgotten(autojump_clock: MockClock, desk: Desk) -> None:
    [trainer] = [peer for peer in desk.world.network.peers.values() if peer is not desk.network]
    mine, theirs = Offers(desk.network, "devnet/0.0.1"), Offers(trainer, "devnet/0.0.1")
    new: list[Offer] = []
    theirs.on_new = new.append
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.run)
        nursery.start_soon(mine.run)
        await trio.testing.wait_all_tasks_blocked()
        await mine.offer("round-1")
        await trio.sleep(5 * FORGET_S)
        assert [(each.peer_id, each.topic) for each in theirs.all()] == [(desk.network.peer_id, "round-1")]
        assert len(new) == 1, "told once, though it is repeated"
        assert mine.all() == [], "its own is no news"
        mine.withdraw("round-1")
        await trio.sleep(2 * FORGET_S)
        assert theirs.all() == []
        for data in (b"", b"nonsense", b"\x82\x6dshoal/offer/1\x64shoa", b"\x80"):
            await desk.network.publish("shoal/offers/devnet/0.0.1", data)
        for index in range(2 * MOST):
            await mine._network.publish("shoal/offers/devnet/0.0.1", encode(["shoal/offer/1", f"t{index}"]))
        await mine._network.publish("shoal/offers/devnet/0.0.1", encode(["shoal/offer/1", "shoal/market"]))
        await mine._network.publish("shoal/offers/devnet/0.0.1", encode(["shoal/offer/1", "\x1b[2J"]))
        await trio.sleep(1)
        assert len(theirs.all()) == MOST and theirs.all()[-1].topic == f"t{2 * MOST - 1}"
        nursery.cancel_scope.cancel()
