"""The `Ledger` port: the hedera adapter against a devnet process, also with answers lost on the way."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import trio

from shoal.adapters.hedera import HederaLedger, LedgerSettings
from shoal.adapters.hedera.market import artefact
from shoal.adapters.store import SqliteStore
from shoal.core import calls, fees, limits
from shoal.core.events import Registered
from shoal.core.money import Tinybar
from shoal.errors import CallReverted, ConfigError, LedgerError, LedgerUnreachable, UsageError

from .ledger import HBAR, Devnet

KEY, RECIPIENT = b"k" * 32, b"r" * 32


async def test_an_account_is_created_and_known_by_its_key(devnet: Devnet) -> None:
    async with HederaLedger.open(devnet.settings()) as operator:
        key = operator.new_key()
        account = await operator.create_account(3 * HBAR, key)
        async with HederaLedger.open(devnet.settings(operator_id=account, operator_key=key)) as own:
            assert (own.account, await own.balance()) == (account, 3 * HBAR)
            assert own.address == await operator.address_of(account)
            found = await operator.key_of(account)
            assert found is not None and found.kind == "ED25519" and len(found.data) == 32
            with pytest.raises(UsageError) as nobody:
                await operator.key_of("0.0.987654321")
            assert nobody.value.code == "SHOAL-U83"
        with pytest.raises(ConfigError) as wrong:
            async with HederaLedger.open(devnet.settings(operator_id=account, operator_key=operator.new_key())):
                pass
        assert wrong.value.code == "SHOAL-C10"
        with pytest.raises(ConfigError) as unknown:
            async with HederaLedger.open(devnet.settings(operator_id="0.0.999999", operator_key=key)):
                pass
        assert unknown.value.code == "SHOAL-C10"


async def test_a_call_takes_effect_once_and_its_repetition_says_so(market: LedgerSettings) -> None:
    async with HederaLedger.open(market) as ledger:
        before = await ledger.balance()
        begin = await ledger.watermark()
        outcome = await ledger.call(calls.Register(KEY, RECIPIENT), value=5 * HBAR)
        until = await ledger.watermark()
        assert until >= outcome.time_ns > begin
        assert await ledger.balance() == before - 5 * HBAR - outcome.fee_tinybar
        state = await ledger.account_state(ledger.address)
        assert (state.registered, state.signing_key, state.stake_tinybar) == (True, KEY, 5 * HBAR)
        [logged] = await ledger.events(after_ns=begin, until_ns=until)
        assert logged.event == Registered(ledger.address, KEY, RECIPIENT, Tinybar(5 * HBAR))
        assert logged.time_ns == outcome.time_ns
        with pytest.raises(CallReverted) as refused:
            await ledger.call(calls.Register(KEY, RECIPIENT), value=1)
        assert (refused.value.reason, refused.value.money) == ("AlreadyRegistered", "nothing was spent")
        assert (await ledger.liabilities()).total_tinybar <= await ledger.balance(ledger.contract)


async def test_a_refusal_at_consensus_has_its_reason_and_its_price(
    market: LedgerSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with HederaLedger.open(market) as ledger:

        async def not_simulated(*args: object) -> None: ...

        monkeypatch.setattr(ledger, "_simulate", not_simulated)
        before = await ledger.balance()
        with pytest.raises(CallReverted) as refused:
            await ledger.call(calls.RequestUnstake(Tinybar(10**15)))
        assert refused.value.reason == "InsufficientStake"
        spent = before - await ledger.balance()
        assert spent > 0
        assert "fee" in refused.value.money


async def test_a_contract_has_no_key_that_signs_in(market: LedgerSettings) -> None:
    async with HederaLedger.open(market) as ledger:
        assert await ledger.key_of(ledger.contract) is None


async def test_what_the_account_cannot_pay_for_is_refused(market: LedgerSettings) -> None:
    async with HederaLedger.open(market) as ledger:
        with pytest.raises(LedgerError) as refused:
            await ledger.call(calls.DepositStake(), value=10**6 * HBAR)
        assert refused.value.code == "SHOAL-L03"


async def test_messages_of_every_size_come_back_whole_however_time_is_cut(market: LedgerSettings) -> None:
    async with HederaLedger.open(market) as ledger, HederaLedger.open(market) as reader:
        topic = await ledger.create_topic("sizes")
        sizes = [1, limits.TOPIC_MESSAGE_BYTES, limits.TOPIC_MESSAGE_BYTES + 1, 5_000, limits.LOG_ENTRY_BYTES]
        marks = [await ledger.watermark()]
        for number, size in enumerate(sizes):
            await ledger.submit(topic, bytes([number]) * size)
            marks.append(await ledger.watermark())
        whole = await reader.messages(topic, after_ns=0, until_ns=marks[-1])
        assert [(m.data[0], len(m.data)) for m in whole] == list(enumerate(sizes))
        assert {m.payer for m in whole} == {ledger.account}
        windows = list(itertools.pairwise(marks))
        cut = [m for a, b in windows for m in await reader.messages(topic, after_ns=a, until_ns=b)]
        assert cut == whole
        middle = (whole[2].time_ns + whole[3].time_ns) // 2  # between the chunks of the fourth
        assert await reader.messages(topic, after_ns=middle, until_ns=marks[-1]) == whole[3:]
        with pytest.raises(UsageError):
            await ledger.submit(topic, bytes(limits.LOG_ENTRY_BYTES + 1))


async def test_movements_explain_the_balance_and_sum_to_zero(market: LedgerSettings) -> None:
    async with HederaLedger.open(market) as ledger:
        before, begin = await ledger.balance(), await ledger.watermark()
        await ledger.call(calls.DepositStake(), value=HBAR)
        await ledger.create_topic("movements")
        found = await ledger.movements(after_ns=begin, until_ns=await ledger.watermark(), account=ledger.account)
        assert [m.name for m in found] == ["CONTRACTCALL", "CONSENSUSCREATETOPIC"]
        assert sum(m.net_tinybar(ledger.account) for m in found) == await ledger.balance() - before
        assert all(sum(amount for _, amount in m.transfers) == 0 for m in found)
        assert await ledger.supply() == 50_000_000_000 * HBAR


# ---------------------------------------------------------------- what gets lost


async def test_a_ledger_that_is_away_is_named_and_found_again(tmp_path: Path) -> None:
    own = Devnet(tmp_path / "devnet")
    try:
        async with HederaLedger.open(dataclasses.replace(own.settings(), timeout_s=3.0)) as ledger:
            topic = await ledger.create_topic("before")
            own.kill()
            with pytest.raises(LedgerUnreachable) as away:
                with trio.fail_after(60):
                    await ledger.submit(topic, b"lost")
            assert "nothing was sent" in away.value.money
            own.start()
            await ledger.submit(topic, b"heard")
            [message] = await ledger.messages(topic, after_ns=0, until_ns=await ledger.watermark())
            assert message.data == b"heard"
    finally:
        own.kill()


async def test_what_a_transaction_costs_is_known_before(market: LedgerSettings) -> None:
    """The fee schedule of ours against what the ledger charges, which has its own."""
    async with HederaLedger.open(market) as ledger:
        rate = await ledger.rate()
        begin = await ledger.watermark()
        topic = await ledger.create_topic("fees")
        for size in (10, 100, 101, 700, limits.TOPIC_MESSAGE_BYTES):
            await ledger.submit(topic, bytes(size))
        await ledger.create_account(1, ledger.new_key())
        found = await ledger.movements(after_ns=begin, until_ns=await ledger.watermark(), account=ledger.account)
        told = [fees.create_topic(len("fees"))]
        told += [fees.message(size) for size in (10, 100, 101, 700, limits.TOPIC_MESSAGE_BYTES)]
        told += [fees.create_account()]
        for movement, tinycents in zip(found, told, strict=True):
            assert 0 <= rate.tinybar(tinycents) - movement.fee_tinybar <= 2, movement.name


async def test_a_deployment_goes_on_where_it_was_cut_off_and_is_what_was_compiled(
    devnet: Devnet, tmp_path: Path
) -> None:
    async with HederaLedger.open(devnet.settings()) as plain:
        expected, begin = await plain.deployment_cost(), await plain.watermark()
    steps = 0
    with SqliteStore(tmp_path / "node.db") as store:
        while True:
            async with HederaLedger.open(devnet.settings(), store=store) as ledger:
                send = ledger._submitter.run

                async def cut_off(make: Any, *, send: Any = send, **more: Any) -> Any:
                    nonlocal steps
                    before = set(store.items("transactions"))
                    landed = await send(make, **more)
                    if set(store.items("transactions")) != before:  # this step was not done before
                        steps += 1
                        raise LedgerError("killed here")
                    return landed

                ledger._submitter.run = cut_off  # type: ignore[method-assign]
                try:
                    made = await ledger.deploy("once")
                    break
                except LedgerError as error:
                    assert error.message == "killed here"
        async with HederaLedger.open(devnet.settings(), store=store) as ledger:
            assert await ledger.deploy("once") == made
            found = await ledger.movements(
                after_ns=begin, until_ns=await ledger.watermark(), account=devnet.endpoints["operator_id"]
            )
            names = [movement.name for movement in found]
            assert names.count("CONTRACTCREATEINSTANCE") == 1 and len(names) == steps > 5
            assert sum(movement.fee_tinybar for movement in found) == made.fee_tinybar
            assert abs(expected - made.fee_tinybar) < 0.01 * made.fee_tinybar
            assert await ledger.check_contract(made.contract_id) == made.address
            assert (await ledger.balance(made.contract_id)) == 1
            another = await ledger.deploy("twice")
            assert another.contract_id != made.contract_id


async def test_a_contract_of_other_code_is_refused(market: LedgerSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    async with HederaLedger.open(market) as ledger:
        with pytest.raises(ConfigError) as missing:
            await ledger.check_contract("0.0.999999")
        assert missing.value.code == "SHOAL-C12"
        for part in ("runtime", "court_runtime"):
            code = artefact()[part]
            for changed in (code[:-200] + "00" + code[-198:], code + "00"):
                monkeypatch.setattr(
                    "shoal.adapters.hedera.reader.artefact", lambda changed={**artefact(), part: changed}: changed
                )
                with pytest.raises(LedgerError) as other:
                    await ledger.check_contract(str(market.contract_id))
                assert other.value.code == "SHOAL-L07"
