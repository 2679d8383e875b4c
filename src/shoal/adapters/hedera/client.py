"""The `Ledger` port on Hedera: what one account does through consensus nodes, and reads from a mirror node."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from shoal import meters
from shoal.adapters.hedera import deployment
from shoal.adapters.hedera import transactions as tx
from shoal.adapters.hedera.deployment import MIN_DISPUTE_S, Deployment
from shoal.adapters.hedera.journal import Journal
from shoal.adapters.hedera.keys import key_of_account, new_key, parse_key
from shoal.adapters.hedera.market import MarketAbi, artefact
from shoal.adapters.hedera.mirror import Mirror, parse_time
from shoal.adapters.hedera.reader import LedgerReader, find_account, revert_data
from shoal.adapters.hedera.sdk import Nodes
from shoal.adapters.hedera.settings import LedgerSettings
from shoal.adapters.hedera.submit import Failed, Landed, Submitter
from shoal.core import calls, fees, limits
from shoal.core.ids import Address, entity_number, parse_address
from shoal.core.money import Tinybar, format_hbar
from shoal.errors import CallReverted, LedgerError, LedgerUnreachable, UsageError
from shoal.ports import Outcome, Store

_CALL_GAS = 450_000
"""Twice what any call but the large ones was measured to take (`core.fees.GAS`), or more; the rest is not charged
(HIP-1249). An estimate would not do: the vote that makes a quorum takes twice as much as the one before it."""
_LARGE_GAS = 1_200_000
_LARGE = frozenset({"CreateTask", "ChallengeResult", "Appeal", "Draw", "DrawJury", "Resolve"})
"""Calls that write a plan or a result, or that concern a whole jury."""
_MARGIN = 3
"""What a transaction may cost at most, as a multiple of what it should: the exchange rate moves within the hour, and a
cap that is too low fails the call."""
_MEMO_BYTES = 100
UNBONDING_S = 7 * 24 * 3600
VALIDATOR_STAKE_TINYBAR = 10_000_000_000
"""100 HBAR."""
"""Jurors are nodes that are always on; an hour also bears that one is started again."""

_REVERTED = "CONTRACT_REVERT_EXECUTED"
_NO_FUNDS = frozenset({"INSUFFICIENT_PAYER_BALANCE", "INSUFFICIENT_ACCOUNT_BALANCE"})


class HederaLedger(LedgerReader):
    """Hedera, seen by one account. Use `open`.

    async with HederaLedger.open(settings) as ledger:
        outcome = await ledger.call(calls.Register(signing_key, recipient), value=500_000_000)
    """

    def __init__(
        self,
        settings: LedgerSettings,
        *,
        address: Address,
        key: Any,
        nodes: Nodes,
        mirror: Mirror,
        abi: MarketAbi,
        store: Store | None,
    ) -> None:
        super().__init__(settings, address=address, mirror=mirror, abi=abi)
        self._key = key
        self._journal = Journal(store, f"{settings.network}/{settings.operator_id}")
        self._submitter = Submitter(
            nodes, mirror, settings.operator_id, journal=self._journal, unsent_s=settings.timeout_s
        )

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: LedgerSettings, *, store: Store | None = None) -> AsyncIterator[HederaLedger]:
        """Connect as `settings.operator_id`, whose key is compared with the one that the network has.

        Args:
            store: remembers transactions that were sent and whose outcome is not known, so that not even a process
                that was killed and started again sends a second one; None for a reader.

        Raises:
            ConfigError: SHOAL-C01, C02 a setting; SHOAL-C10, the account does not exist or the key is not its own.
            LedgerUnreachable: the mirror node does not answer.
        """
        settings = settings.complete()
        async with Mirror.open(settings.mirror_rest, deadline_s=settings.timeout_s) as mirror:
            account = await find_account(mirror, settings)
            key = key_of_account(settings.operator_key, account)
            address = parse_address(account["evm_address"])
            async with Nodes.open(settings, key) as nodes:
                abi = MarketAbi()
                yield cls(settings, address=address, key=key, nodes=nodes, mirror=mirror, abi=abi, store=store)

    # ---------------------------------------------------------------- the port

    async def create_topic(self, memo: str) -> int:
        """A topic that nobody owns: no admin key, no submit key."""
        return _entity(await self._send_once(tx.create_topic(memo), "topic", f"topic/{memo}"))

    async def submit(self, topic: int, data: bytes) -> None:
        """One message; in several chunks where it is larger than 1,024 bytes."""
        if len(data) > limits.LOG_ENTRY_BYTES:
            raise UsageError(f"{len(data)} bytes, a topic takes {limits.LOG_ENTRY_BYTES}", code="SHOAL-U10")
        size = limits.TOPIC_MESSAGE_BYTES
        if len(data) <= size:
            await self._send(tx.message(topic, data), "message")
            return
        parts = [data[start : start + size] for start in range(0, len(data), size)]
        identities = self._submitter.ids.take(len(parts))
        for number, (part, identity) in enumerate(zip(parts, identities, strict=True), 1):
            make = tx.message_chunk(topic, part, number=number, total=len(parts), initial=identities[0])
            # The parts say whose they are by the id of the first, which therefore keeps the one it has.
            await self._send(make, "message", identity=identity, redraw=number > 1)

    async def call(self, call: calls.Call, *, value: int = 0) -> Outcome:
        """Run a function of the contract, after a free simulation that catches most refusals before they cost a fee."""
        with _counted(type(call).__name__):
            return await self._call_once(call, value)

    async def _call_once(self, call: calls.Call, value: int) -> Outcome:
        data = self._abi.encode(call)
        name = type(call).__name__
        # By its content: whoever asks for the same after a crash learns what became of it.
        request = f"call/{self.contract}/{hashlib.sha256(value.to_bytes(16, 'big') + data).hexdigest()}"
        async with self._journal.alone(request):
            landed = await self._submitter.resume(request)
            if landed is None:
                landed = await self._call(name, data, value, request)
            row = await self._mirror.consensus(landed.transaction)
            if row is None:
                raise LedgerUnreachable(
                    f"{landed.transaction} has consensus, but the mirror node does not show it",
                    hint="wait until the mirror node has caught up",
                    money="the transaction happened",
                )
            self._submitter.forget(request)
        fee = Tinybar(int(row["charged_tx_fee"]))
        return Outcome(landed.transaction, parse_time(row["consensus_timestamp"]), fee)

    async def _call(self, name: str, data: bytes, value: int, request: str) -> Landed:
        gas = _LARGE_GAS if name in _LARGE else _CALL_GAS
        await self._simulate(name, data, gas, value)
        make = tx.call_contract(entity_number(self._need_contract()), data, gas, value)
        try:
            return await self._submitter.run(make, cap_tinybar=await self._cap("call", gas), name=request)
        except Failed as error:
            if error.status == _REVERTED:
                raise await self._reverted(name, error.transaction) from error
            raise _refused(error, name) from error

    # ---------------------------------------------------------------- beyond the port

    async def deploy(
        self,
        request: str,
        *,
        unbonding_s: int = UNBONDING_S,
        validator_stake_tinybar: int = VALIDATOR_STAKE_TINYBAR,
        min_dispute_s: int = MIN_DISPUTE_S,
    ) -> Deployment:
        """Put the market contract on the ledger.

        Args:
            request: names the deployment. The same name again goes on with it, or tells what it gave: it never makes a
                second contract.
            unbonding_s: how long stake that is asked back takes.
            validator_stake_tinybar: what each validator locks.
            min_dispute_s: what a plan has to give jurors and challengers, at least.
        """

        async def send(make: tx.Make, kind: str, step: str, *, gas: int = 0) -> Landed:
            return await self._send(make, kind, gas=gas, name=f"deploy/{request}/{step}")

        code = deployment.creation_code(artefact(), unbonding_s, validator_stake_tinybar, min_dispute_s)
        return await deployment.deploy(artefact(), code, send=send, mirror=self._mirror, key=self._key)

    async def create_account(self, tinybar: int, key: str) -> str:
        """A new account, paid for and funded by this one; `key` as `new_key` gives it."""
        private = parse_key(key)
        # Only an account whose alias is its key's address has to agree.
        signers = [private] if private.is_ecdsa() else []
        request = f"account/{private.public_key().to_bytes_raw().hex()}"
        return f"0.0.{_entity(await self._send_once(tx.create_account(tinybar, private), 'account', request, signers))}"

    @staticmethod
    def new_key() -> str:
        """A new Ed25519 private key as text."""
        return new_key()

    # ---------------------------------------------------------------- inside

    async def _send_once(self, make: tx.Make, kind: str, request: str, signers: Sequence[Any] = ()) -> Landed:
        """As `_send`; the request is over when this returns, and the same again is another."""
        async with self._journal.alone(request):
            landed = await self._send(make, kind, signers=signers, name=request)
            self._submitter.forget(request)
        return landed

    async def _send(
        self,
        make: tx.Make,
        kind: str,
        *,
        gas: int = 0,
        identity: Any = None,
        redraw: bool = True,
        signers: Sequence[Any] = (),
        name: str = "",
    ) -> Landed:
        with _counted(kind):
            cap = await self._cap(kind, gas)
            try:
                return await self._submitter.run(
                    make, cap_tinybar=cap, identity=identity, redraw=redraw, signers=signers, name=name
                )
            except Failed as error:
                raise _refused(error, kind) from error

    async def _cap(self, kind: str, gas: int) -> int:
        """What the network may charge for a transaction, in tinybar."""
        match kind:
            case "account":
                full = fees.create_account()
            case "topic":
                full = fees.create_topic(_MEMO_BYTES)
            case "message":
                full = fees.message(limits.TOPIC_MESSAGE_BYTES)
            case "file":
                full = fees.file_part(tx.FILE_PART_BYTES)
            case "contract":
                full = fees.create_contract(gas)
            case _:
                full = fees.call(gas)
        return _MARGIN * (await self.rate()).tinybar(full)

    async def _simulate(self, name: str, data: bytes, gas: int, value: int) -> None:
        status, body = await self._post_call(data, gas, value)
        if status == 200:
            return
        reason, text = self._abi.decode_error(revert_data(body))
        if reason == "Unknown":
            return  # e.g. a mirror that is behind, or cannot simulate: the network itself will say
        raise CallReverted(f"{name}: {text}", reason=reason, money="nothing was spent")

    async def _reverted(self, name: str, transaction: str) -> CallReverted:
        """The reason of a call that failed at consensus; the SDK does not give it, the mirror does."""
        row = await self._mirror.eventually(f"/contracts/results/{transaction}") or {}
        message = str(row.get("error_message") or "")
        data = bytes.fromhex(message[2:]) if message.startswith("0x") else b""
        reason, text = self._abi.decode_error(data)
        fee = (await self._mirror.consensus(transaction) or {}).get("charged_tx_fee", 0)
        spent = f"only Hedera's fee of {format_hbar(int(fee))} was spent"
        return CallReverted(f"{name}: {text}", reason=reason, money=spent)


@contextmanager
def _counted(kind: str) -> Iterator[None]:
    """Count a transaction by how it ends."""
    outcome = "cancelled"
    try:
        yield
        outcome = "ok"
    except CallReverted:
        outcome = "reverted"
        raise
    except LedgerError:
        outcome = "failed"
        raise
    finally:
        meters.LEDGER_TRANSACTIONS.labels(kind, outcome).inc()


def _entity(landed: Landed) -> int:
    if landed.entity is None:
        raise LedgerError(f"{landed.transaction} created nothing", code="SHOAL-L04")
    return landed.entity


def _refused(error: Failed, what: str) -> LedgerError:
    money = "the transaction failed; its fee was spent" if error.at_consensus else "nothing was spent"
    if error.status in _NO_FUNDS:
        return LedgerError(
            f"the account cannot pay for this ({what}): {error.status}",
            code="SHOAL-L03",
            hint="top the account up with HBAR",
            money=money,
        )
    return LedgerError(
        f"Hedera refused {what} ({error.transaction}): {error.status}",
        code="SHOAL-L04",
        hint="the status is one of Hedera's response codes; their documentation explains it",
        money=money,
    )
