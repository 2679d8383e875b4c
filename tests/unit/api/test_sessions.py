"""Pages are paired, wallets sign in, sessions end; and nobody gets what is another's by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from shoal.api.access import SESSION_S, Access, Caller
from shoal.api.signin import NONCE_S, SignIn
from shoal.api.token import Token
from shoal.core.ids import Address
from shoal.errors import UsageError

from ..roles.fakes import MemoryStore
from .desk import Desk, api
from .users import User, nonce


class Now:
    def __init__(self) -> None:
        self.s = 1_000_000.0

    def __call__(self) -> float:
        return self.s


OPERATOR = Caller("operator", "0.0.5", Address(bytes(20)))
ALICE = Caller("user", "0.0.7", Address(b"a" * 20))


def access(path: Path, now: Now) -> Access:
    return Access(Token.load(path), MemoryStore(), OPERATOR, clock=now)


def code_of(error: Any) -> str:
    assert isinstance(error.value, UsageError)
    return error.value.code


def test_a_code_is_good_once_and_for_two_minutes(tmp_path: Path) -> None:
    now = Now()
    it = access(tmp_path, now)
    with pytest.raises(UsageError):
        it.pair("")  # before there is one, nothing is it
    code = it.new_code()
    session = it.pair(code.lower().replace("-", " "))
    assert it.caller(f"Bearer {session.token}") == OPERATOR
    with pytest.raises(UsageError) as caught:
        it.pair(code)
    assert code_of(caught) == "SHOAL-U80"
    late = it.new_code()
    now.s += 121
    with pytest.raises(UsageError):
        it.pair(late)
    first, second = it.new_code(), it.new_code()
    with pytest.raises(UsageError):
        it.pair(first)
    it.pair(second)


def test_a_code_is_not_guessed(tmp_path: Path) -> None:
    it = access(tmp_path, Now())
    code = it.new_code()
    for _ in range(10):
        with pytest.raises(UsageError):
            it.pair("AAAA-AAAA")
    with pytest.raises(UsageError):
        it.pair(code)


def test_a_session_ends_by_time_by_its_owner_and_after_many_more(tmp_path: Path) -> None:
    now = Now()
    it = access(tmp_path, now)
    header = f"Bearer {it.open(ALICE).token}"
    assert it.caller(header) == ALICE
    assert it.caller(header.replace("Bearer", "Basic")) is None and it.caller("Bearer x") is None
    now.s += SESSION_S + 1
    assert it.caller(header) is None
    first = f"Bearer {it.open(ALICE).token}"
    bob = f"Bearer {it.open(Caller('user', '0.0.8', Address(b'b' * 20))).token}"
    for _ in range(20):
        now.s += 1
        last = f"Bearer {it.open(ALICE).token}"
    assert it.caller(first) is None and it.caller(last) == ALICE and it.caller(bob) is not None
    assert it.close(last) and it.caller(last) is None and not it.close(last)


def test_tokens_are_not_kept(tmp_path: Path) -> None:
    it = access(tmp_path, Now())
    token = it.open(ALICE).token
    assert token not in repr(it._store.rows)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["ED25519", "ECDSA_SECP256K1"])
async def test_a_wallet_signs_in_with_either_kind_of_key(clock: MockClock, tmp_path: Path, kind: Any) -> None:
    alice = User.make("0.0.7", kind)
    async with api(Desk.make(tmp_path, gateway=True)) as it:
        header = await alice.sign_in(it)
        me = await it.http.get("/api/v1/session", headers=header)
        assert me.json() == {"role": "user", "account": "0.0.7", "address": "0x" + alice.address.hex()}
        challenge = await nonce(it, "0.0.7")
        assert "127.0.0.1:8420" in challenge["message"] and "0.0.7" in challenge["message"]
        raw = {"account": "0.0.7", "nonce": challenge["nonce"]}
        signature = alice.sign(challenge["message"].encode()).hex()
        answer = await it.http.post("/api/v1/sign-in", json={**raw, "signature": signature})
        assert answer.status_code == 201, "also without the wallets' prefix"
        again = await it.http.post("/api/v1/sign-in", json={**raw, "signature": signature})
        assert (again.status_code, again.json()["code"]) == (401, "SHOAL-U81")
        assert (await it.http.post("/api/v1/sign-out", headers=header)).json() == {"closed": True}
        assert (await it.http.get("/api/v1/session", headers=header)).status_code == 401


async def test_nobody_signs_in_as_another(clock: MockClock, tmp_path: Path) -> None:
    alice, mallory = User.make("0.0.7"), User.make("0.0.8", "ECDSA_SECP256K1")
    async with api(Desk.make(tmp_path, gateway=True)) as it:
        it.desk.ledger.accounts |= {
            "0.0.7": (alice.address, alice.public),
            "0.0.8": (mallory.address, mallory.public),
            "0.0.9": (alice.address, None),
        }

        async def refused(of: str, by: User, **changes: str) -> str:
            challenge = await nonce(it, of)
            wish = {
                "account": of,
                "nonce": challenge["nonce"],
                "signature_map_b64": by.map_b64(challenge["message"]),
                **changes,
            }
            answer = await it.http.post("/api/v1/sign-in", json=wish)
            assert answer.status_code in (401, 422), answer.text
            code: str = answer.json()["code"]
            return code

        assert await refused("0.0.7", mallory) == "SHOAL-U82"
        assert await refused("0.0.8", alice) == "SHOAL-U82"
        assert await refused("0.0.7", alice, nonce="0" * 32) == "SHOAL-U81"
        assert await refused("0.0.7", mallory, account="0.0.8") == "SHOAL-U81", "a challenge is of one account"
        assert await refused("0.0.9", alice) == "SHOAL-U84"
        assert await refused("0.0.1", alice) == "SHOAL-U83"
        assert await refused("0.0.7", alice, signature_map_b64="AAAA") == "SHOAL-U82"
        assert await refused("0.0.7", alice, signature_map_b64=alice.map_b64("another message")) == "SHOAL-U82"
        assert await refused("0.0.7", alice, signature="00" * 64) == "SHOAL-U54"


async def test_a_challenge_expires(clock: MockClock, tmp_path: Path) -> None:
    now, desk, alice = Now(), Desk.make(tmp_path, gateway=True), User.make("0.0.7")
    desk.ledger.accounts["0.0.7"] = (alice.address, alice.public)
    it = SignIn(desk, access(tmp_path, now), anyone=True, clock=now)
    challenge = it.challenge("0.0.7", "host")
    now.s += NONCE_S + 1
    with pytest.raises(UsageError) as caught:
        signature = alice.sign(challenge.message.encode()).hex()
        await it.session("0.0.7", challenge.nonce, signature=signature, map_=None)
    assert code_of(caught) == "SHOAL-U81"


async def test_a_node_that_is_no_gateway_knows_its_own_account_only(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        answer = await it.http.post("/api/v1/sign-in/nonce", json={"account": "0.0.7"})
        assert (answer.status_code, answer.json()["code"]) == (403, "SHOAL-U85")
        await nonce(it, desk.ledger.account)


async def test_signing_in_is_tried_only_so_often(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        statuses = [(await it.http.post("/api/v1/session", json={"code": "x"})).status_code for _ in range(40)]
        assert statuses[0] == 401 and statuses[-1] == 429


async def test_a_page_pairs_by_the_operators_code(clock: MockClock, desk: Desk) -> None:
    async with api(desk) as it:
        made = (await it.http.post("/api/v1/pairing", headers=it.authorised)).json()
        opened = (await it.http.post("/api/v1/session", json={"code": made["code"]})).json()
        assert opened["role"] == "operator"
        header = {"Authorization": f"Bearer {opened['token']}"}
        assert (await it.http.post("/api/v1/pairing", headers=header)).status_code == 201
        assert (await it.commands.get("/status", headers=header)).status_code == 200


async def test_users_get_nothing_of_the_operators(clock: MockClock, tmp_path: Path) -> None:
    world_task = (desk := Desk.make(tmp_path, gateway=True)).world.task.hex()
    async with api(desk) as it:
        header = await User.make("0.0.7").sign_in(it)
        for method, path in (
            ("POST", "/pairing"), ("POST", "/quotes"), ("POST", "/tasks"), ("POST", f"/tasks/{world_task}/cancel"),
            ("GET", f"/tasks/{world_task}/result"), ("GET", f"/quotes/{'0' * 32}"),
        ):  # fmt: skip
            answer = await it.http.request(method, f"/api/v1{path}", headers=header)
            assert (answer.status_code, answer.json()["code"]) == (403, "SHOAL-U86"), path
        assert (await it.commands.get("/status", headers=header)).status_code == 401


async def test_what_is_ones_own_is_that_of_who_asks(clock: MockClock, tmp_path: Path) -> None:
    desk = Desk.make(tmp_path, gateway=True)
    alice = User.make("0.0.7", address=desk.world.client)
    async with api(desk) as it:
        header, bob = await alice.sign_in(it), await User.make("0.0.8").sign_in(it)
        for who, tasks, account in ((header, 1, "0.0.7"), (bob, 0, "0.0.8"), ({}, 1, "0.0.5")):
            assert len((await it.http.get("/api/v1/tasks", headers=who)).json()["items"]) == tasks
            moved = (await it.http.get("/api/v1/ledger/movements", headers=who)).json()["items"]
            assert {each["payer"] for each in moved} == {account}
        everyone = (await it.http.get("/api/v1/tasks?all=true", headers=bob)).json()["items"]
        assert [row["mine"] for row in everyone] == [False]


async def test_one_users_answers_are_not_replayed_to_another(clock: MockClock, tmp_path: Path) -> None:
    document = b'{"format": "x"}'
    async with api(Desk.make(tmp_path, gateway=True)) as it:
        alice, bob = await User.make("0.0.7").sign_in(it), await User.make("0.0.8").sign_in(it)
        for header, replayed in ((alice, None), (alice, "true"), (bob, None)):
            more = {**header, "Idempotency-Key": "one"}
            answer = await it.http.post("/api/v1/documents", content=document, headers=more)
            assert answer.status_code == 422
            assert answer.headers.get("idempotent-replayed") == replayed
