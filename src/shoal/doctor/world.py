"""Checks of what a node needs of the world: ledger, clock, contract, account, peers, storage, IPFS."""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from shoal import content
from shoal import node as composition
from shoal.core import fees
from shoal.core.money import TINYBAR_PER_HBAR, format_hbar
from shoal.core.task import SECOND_NS
from shoal.doctor.checks import Check, Finding, fail, ok, skip, warn
from shoal.settings import Settings

SKEW_S = 5.0
"""A clock that is further off is told; presigned URLs and deadlines stand it for a while."""
MOST_SKEW_S = 60.0
"""Further off, and storage refuses signatures, and deadlines are missed."""
BEHIND_S = 120.0
"""A ledger on which nothing happened, or a mirror that lags, looks like a clock that is ahead, up to here."""
LOW_HBAR = 1
PEERS_S = 12.0
REACH_S = 6.0
PROBE_BYTES = 4_096

Look = Callable[[], Awaitable[Finding]]


def checks(settings: Settings) -> list[Check]:
    """Those that ask somebody."""

    def named(name: str, about: str, look: Callable[[Settings], Awaitable[Finding]], deadline_s: float = 45.0) -> Check:
        return Check(name, about, lambda: look(settings), deadline_s)

    return [
        named("ledger", "nothing can be read or paid", ledger),
        named("clock", "deadlines are missed, and storage refuses signatures", clock),
        named("contract", "there is no market, or it is another version's", contract),
        named("account", "bids, seats and claims cannot be paid for", account),
        named("peers", "bids and gossip reach nobody", peers),
        named("storage", "a client's data and results have no place", storage, 30.0),
        named("ipfs", "`shoal ipfs` cannot keep anything", ipfs),
    ]


async def ledger(settings: Settings) -> Finding:
    """The mirror node answers, and the consensus node too where there is a key to ask it with."""
    async with composition.open_reader(settings) as reader:
        await reader.watermark()
    if not settings.operator_id:
        return ok(f"the mirror node of {settings.network} answers; without an account nothing can be sent")
    async with composition.open_ledger(settings) as wallet:
        return ok(f"mirror and consensus node of {settings.network} answer; the key is that of {wallet.account}")


async def clock(settings: Settings) -> Finding:
    async with composition.open_reader(settings) as reader:
        consensus_s = await reader.watermark() / SECOND_NS
    return skew(time.time() - consensus_s)


def skew(ahead_s: float) -> Finding:
    """This machine's clock against the newest consensus time that the mirror knows.

    >>> skew(-61).grade
    <Grade.FAIL: 'fail'>
    """
    sync = "let this machine set its clock by NTP, as by `timedatectl set-ntp true`"
    if ahead_s < -SKEW_S:
        text = f"this clock is at least {-ahead_s:.0f} s behind consensus time"
        return fail(text, sync) if ahead_s < -MOST_SKEW_S else warn(text, sync)
    if ahead_s > BEHIND_S:
        text = f"this clock is {ahead_s:.0f} s ahead of the newest consensus time"
        return warn(text, f"the mirror node lags, or nothing happens on this ledger; else {sync}")
    return ok(f"within {abs(ahead_s):.1f} s of the newest consensus time")


async def contract(settings: Settings) -> Finding:
    if not settings.contract_id:
        return fail("contract_id is not set", "set CONTRACT_ID, or `shoal contract deploy`", "SHOAL-C01")
    async with composition.open_reader(settings) as reader:
        await reader.check_contract(settings.contract_id)
        return ok(f"{settings.contract_id} has this version's code ({reader.code_sha256})")


async def account(settings: Settings) -> Finding:
    if not settings.operator_id:
        return skip("operator_id is not set", "set OPERATOR_ID and OPERATOR_KEY to take part")
    async with composition.open_reader(settings) as reader:
        balance, rate = await reader.balance(), await reader.rate()
        inside = await reader.account_state(reader.address) if settings.contract_id else None
    text = f"{settings.operator_id} has {format_hbar(balance)}"
    if inside is not None and inside.registered:
        text += f", {format_hbar(inside.stake_tinybar)} of stake, {format_hbar(inside.balance_tinybar)} to withdraw"
    task = rate.tinybar(sum(fees.call(fees.GAS[name]) for name in ("accept", "ready", "confirmResult", "claim")))
    if balance < task:
        return fail(f"{text}: not enough for the fees of one task, {format_hbar(task)}", "send HBAR to it")
    if balance < LOW_HBAR * TINYBAR_PER_HBAR:
        return warn(text, "send some more HBAR to it: every task costs fees before it pays")
    return ok(text)


async def peers(settings: Settings) -> Finding:
    """A visitor beside the node, with keys of its own, dials the bootstrap nodes and asks to be dialled."""
    if not settings.bootstrap:
        return skip("no bootstrap node is set", "set BOOTSTRAP_ADDR, unless this node is one")
    listen = tuple(f"{each.rsplit('/tcp/', 1)[0]}/tcp/0" for each in settings.listen if "/tcp/" in each)
    with tempfile.TemporaryDirectory(prefix="shoal-doctor-") as place:
        visiting = settings.model_copy(update={"listen": listen or settings.listen, "lan": False})
        async with composition.open_visitor(visiting, Path(place)) as network:
            with trio.move_on_after(PEERS_S):
                while not network.status().connected:  # noqa: ASYNC110 - nothing tells
                    await trio.sleep(0.2)
            with trio.move_on_after(REACH_S if network.status().connected else 0):
                while network.status().reachability == "unknown":  # noqa: ASYNC110
                    await trio.sleep(0.2)
            status = network.status()
    return reach(status.connected, status.reachability, len(settings.bootstrap))


def reach(connected: int, reachability: str, bootstraps: int) -> Finding:
    """What the visit tells of this machine's way to its peers, and of theirs to it."""
    if not connected:
        do = "check BOOTSTRAP_ADDR, the network connection and any firewall for outgoing TCP"
        return fail(f"none of {bootstraps} bootstrap node(s) can be reached", do, "SHOAL-N01")
    text = f"connected to {connected} peer(s)"
    match reachability:
        case "direct":
            return ok(f"{text}; others can dial this machine")
        case "relayed":
            return ok(f"{text}; others reach this machine through a relay, as behind a router (NAT)")
        case "outbound":
            do = "forward a TCP port of the router to this machine and set `listen` to it: faster, not necessary"
            return warn(f"{text}; nobody can dial this machine, so large files go through storage", do)
    return ok(f"{text}; nobody has tried yet to dial this machine, so whether that works is not known")


async def storage(settings: Settings) -> Finding:
    """Put, get and delete one object of random bytes, where there are credentials."""
    if not (settings.s3_endpoint and settings.s3_access_key):
        return skip("no S3 credentials are set: only clients need them")
    key, probe = f"doctor/{secrets.token_hex(8)}", os.urandom(PROBE_BYTES)
    with tempfile.TemporaryDirectory(prefix="shoal-doctor-") as place:
        sent, back = Path(place) / "sent", Path(place) / "back"
        sent.write_bytes(probe)
        async with composition.open_transfer(settings) as transfer:
            blobs = composition.open_blobs(settings, transfer)
            await blobs.ensure_bucket()
            await blobs.put(key, sent)
            try:
                url = blobs.presign_get(key, expires_s=60)
                await transfer.download(url, back, sha256=None, max_bytes=PROBE_BYTES, timeout_s=20)
            finally:
                await blobs.delete(key)
        if back.read_bytes() != probe:
            return fail(f"{settings.s3_endpoint} gave other bytes back than were put", "ask the store's operator")
    return ok(f"put, get and delete work at {settings.s3_endpoint}, bucket {settings.s3_bucket}")


async def ipfs(settings: Settings) -> Finding:
    """Whether the service takes its credentials; nothing is uploaded."""
    keys = settings.pinata_jwt.get_secret_value() or settings.pinata_api_key.get_secret_value()
    if not keys and not settings.kubo_rpc:
        return skip("no IPFS service is set; fetching by gateways needs none")
    async with content.open_store(settings) as store:
        await store.pins(limit=1)
    return ok(f"{'Pinata' if keys else 'the Kubo node'} takes the credentials")
