"""The `Ledger` port on Hedera: what one account does through consensus nodes, and reads from a mirror node."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio

from shoal.adapters.hedera import transactions as tx
from shoal.adapters.hedera.keys import key_of_account, new_key, parse_key
from shoal.adapters.hedera.market import MarketAbi, TaskView, deployment
from shoal.adapters.hedera.mirror import Mirror, between, parse_time
from shoal.adapters.hedera.prices import Rate
from shoal.adapters.hedera.sdk import Nodes
from shoal.adapters.hedera.settings import LedgerSettings
from shoal.adapters.hedera.submit import Failed, Landed, Submitter
from shoal.adapters.hedera.topics import TopicReader
from shoal.core import calls, limits
from shoal.core.ids import Address, TaskId, address_text, entity_number, parse_address
from shoal.core.money import Tinybar, format_hbar
from shoal.errors import CallReverted, ConfigError, LedgerError, LedgerUnreachable, UsageError
from shoal.ports import AccountState, Liabilities, LoggedEvent, Message, Movement, Outcome

_CALL_GAS = 300_000
"""Twice what any other call was measured to take (contracts/README.md), or more; the rest is not charged
(HIP-1249). An estimate would not do: the vote that makes a quorum takes twice as much as the one before it."""
_LARGE_GAS = 1_200_000
_LARGE = calls.CreateTask | calls.ChallengeResult | calls.Appeal | calls.Draw | calls.DrawJury | calls.Resolve
"""Calls that write a plan or a result, or that concern a whole jury."""
_DEPLOY_GAS = 12_000_000
UNBONDING_S = 7 * 24 * 3600
VALIDATOR_STAKE_TINYBAR = 10_000_000_000
"""100 HBAR."""
_DEPLOY_TINYBAR = 1
"""Proves to the constructor that `msg.value` counts tinybar."""
_RATE_S = 600.0
_REVERTED = "CONTRACT_REVERT_EXECUTED"
_NO_FUNDS = frozenset({"INSUFFICIENT_PAYER_BALANCE", "INSUFFICIENT_ACCOUNT_BALANCE"})


class HederaLedger:
    """Hedera, seen by one account. Use `open`.

    async with HederaLedger.open(settings) as ledger:
        outcome = await ledger.call(calls.Register(signing_key, recipient), value=500_000_000)
    """

    def __init__(
        self, settings: LedgerSettings, *, address: Address, key: Any, nodes: Nodes, mirror: Mirror, abi: MarketAbi
    ) -> None:
        self.account = settings.operator_id
        self.address = address
        self.contract = settings.contract_id or ""
        self._key, self._mirror, self._abi = key, mirror, abi
        self._submitter = Submitter(nodes, mirror, settings.operator_id, unsent_s=settings.timeout_s)
        self._topics = TopicReader(mirror)
        self._contract_address = ""
        self._rate: Rate | None = None
        self._rate_until_s = 0.0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: LedgerSettings) -> AsyncIterator[HederaLedger]:
        """Connect as `settings.operator_id`, whose key is compared with the one that the network has.

        Raises:
            ConfigError: SHOAL-C01, C02 a setting; SHOAL-C10, the account does not exist or the key is not its own.
            LedgerUnreachable: the mirror node does not answer.
        """
        settings = settings.complete()
        async with Mirror.open(settings.mirror_rest, deadline_s=settings.timeout_s) as mirror:
            account = await mirror.get(f"/accounts/{settings.operator_id}")
            if account is None:
                raise ConfigError(
                    f"account {settings.operator_id} does not exist on {settings.network}",
                    code="SHOAL-C10",
                    hint="check operator_id and network",
                )
            key = key_of_account(settings.operator_key, account)
            address = parse_address(account["evm_address"])
            async with Nodes.open(settings, key) as nodes:
                yield cls(settings, address=address, key=key, nodes=nodes, mirror=mirror, abi=MarketAbi())

    # ---------------------------------------------------------------- the port

    async def create_topic(self, memo: str) -> int:
        """A topic that nobody owns: no admin key, no submit key."""
        landed = await self._send(tx.create_topic(memo), "topic")
        return _entity(landed)

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
            await self._send(make, "message", identity=identity)

    async def call(self, call: calls.Call, *, value: int = 0) -> Outcome:
        """Run a function of the contract, after a free simulation that catches most refusals before they cost a fee."""
        data = self._abi.encode(call)
        name = type(call).__name__
        gas = _LARGE_GAS if isinstance(call, _LARGE) else _CALL_GAS
        await self._simulate(name, data, gas, value)
        make = tx.call_contract(entity_number(self._need_contract()), data, gas, value)
        cap = (await self._current_rate()).cap("call", gas)
        try:
            landed = await self._submitter.run(make, cap_tinybar=cap)
        except Failed as error:
            if error.status == _REVERTED:
                raise await self._reverted(name, error.transaction) from error
            raise _refused(error, name) from error
        row = await self._mirror.consensus(landed.transaction)
        if row is None:
            raise LedgerUnreachable(
                f"{landed.transaction} has consensus, but the mirror node does not show it",
                hint="wait until the mirror node has caught up",
                money="the transaction happened",
            )
        fee = Tinybar(int(row["charged_tx_fee"]))
        return Outcome(landed.transaction, parse_time(row["consensus_timestamp"]), fee)

    async def watermark(self) -> int:
        return await self._mirror.watermark()

    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        return await self._topics.read(topic, after_ns, until_ns)

    async def events(self, *, after_ns: int, until_ns: int, task: TaskId | None = None) -> Sequence[LoggedEvent]:
        if until_ns <= after_ns:
            return []
        path = f"/contracts/{self._need_contract()}/results/logs"
        found = []
        async for row in self._mirror.rows(path, "logs", between(after_ns, until_ns)):
            topics = [bytes.fromhex(topic[2:]) for topic in row["topics"]]
            event = self._abi.decode_event(topics, bytes.fromhex(row["data"][2:]))
            if event is not None and (task is None or getattr(event, "task_id", None) == task):
                time_ns = parse_time(row["timestamp"])
                found.append(LoggedEvent(time_ns, int(row["index"]), event, str(row["transaction_hash"])))
        return found

    async def account_state(self, address: Address) -> AccountState:
        return self._abi.account_state(await self._view("getAccount", address_text(address)))

    async def balance(self, account: str | None = None) -> Tinybar:
        row = await self._mirror.need(f"/accounts/{account or self.account}")
        return Tinybar(int(row["balance"]["balance"]))

    async def address_of(self, account: str) -> Address:
        return parse_address((await self._mirror.need(f"/accounts/{account}"))["evm_address"])

    async def liabilities(self) -> Liabilities:
        return self._abi.liabilities(await self._view("liabilities"))

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> Sequence[Movement]:
        params = [*between(after_ns, until_ns), *([("account.id", account)] if account else [])]
        return [_movement(row) async for row in self._mirror.rows("/transactions", "transactions", params)]

    async def supply(self) -> Tinybar:
        return Tinybar(int((await self._mirror.need("/network/supply"))["total_supply"]))

    # ---------------------------------------------------------------- beyond the port

    async def deploy(self, *, unbonding_s: int = UNBONDING_S, validator_stake: int = VALIDATOR_STAKE_TINYBAR) -> str:
        """Put the market contract on the ledger, from a file since it is larger than a transaction; its id.

        Args:
            unbonding_s: how long stake that is asked back takes.
            validator_stake: what each validator locks, in tinybar.
        """
        text = deployment(unbonding_s=unbonding_s, validator_stake=validator_stake).hex().encode()
        parts = [text[start : start + tx.FILE_PART_BYTES] for start in range(0, len(text), tx.FILE_PART_BYTES)]
        file = _entity(await self._send(tx.create_file(parts[0], [self._key.public_key()]), "file"))
        for part in parts[1:]:
            await self._send(tx.append_file(file, part), "file")
        landed = await self._send(tx.create_contract(file, _DEPLOY_GAS, _DEPLOY_TINYBAR), "contract", gas=_DEPLOY_GAS)
        return f"0.0.{_entity(landed)}"

    async def create_account(self, tinybar: int, key: str) -> str:
        """A new account, paid for and funded by this one; `key` as `new_key` gives it."""
        private = parse_key(key)
        # Only an account whose alias is its key's address has to agree.
        signers = [private] if private.is_ecdsa() else []
        landed = await self._send(tx.create_account(tinybar, private), "account", signers=signers)
        return f"0.0.{_entity(landed)}"

    @staticmethod
    def new_key() -> str:
        """A new Ed25519 private key as text."""
        return new_key()

    async def task(self, task: TaskId) -> TaskView:
        """What the contract says of a task now."""
        return self._abi.task(await self._view("getTask", task))

    # ---------------------------------------------------------------- inside

    async def _send(
        self, make: tx.Make, kind: str, *, gas: int = 0, identity: Any = None, signers: Sequence[Any] = ()
    ) -> Landed:
        cap = (await self._current_rate()).cap(kind, gas)
        try:
            return await self._submitter.run(make, cap_tinybar=cap, identity=identity, signers=signers)
        except Failed as error:
            raise _refused(error, kind) from error

    async def _simulate(self, name: str, data: bytes, gas: int, value: int) -> None:
        status, body = await self._post_call(data, gas, value)
        if status == 200:
            return
        reason, text = self._abi.decode_error(_revert_data(body))
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

    async def _view(self, name: str, *arguments: Any) -> bytes:
        data = self._abi.encode_view(name, *arguments)
        status, body = await self._post_call(data, limits.CALL_GAS, 0)
        if status != 200:
            reason, text = self._abi.decode_error(_revert_data(body))
            raise CallReverted(f"{name}: {text}", reason=reason)
        return bytes.fromhex(str(body["result"])[2:])

    async def _post_call(self, data: bytes, gas: int, value: int) -> tuple[int, dict[str, Any]]:
        if not self._contract_address:
            row = await self._mirror.get(f"/contracts/{self._need_contract()}")
            if row is None:
                raise ConfigError(
                    f"there is no contract {self.contract} on this network",
                    code="SHOAL-C12",
                    hint="check contract_id and network",
                )
            self._contract_address = str(row["evm_address"])
        body = {
            "from": address_text(self.address),
            "to": self._contract_address,
            "data": "0x" + data.hex(),
            "gas": gas,
            "value": value,
            "block": "latest",
        }
        return await self._mirror.post("/contracts/call", body)

    async def _current_rate(self) -> Rate:
        """The exchange rate. It is fixed for an hour at a time and moves little from one to the next."""
        if self._rate is None or trio.current_time() > self._rate_until_s:
            row = (await self._mirror.need("/network/exchangerate"))["current_rate"]
            self._rate = Rate(int(row["cent_equivalent"]), int(row["hbar_equivalent"]))
            self._rate_until_s = trio.current_time() + _RATE_S
        return self._rate

    def _need_contract(self) -> str:
        if not self.contract:
            raise ConfigError(
                "the setting contract_id is missing", code="SHOAL-C01", hint="set CONTRACT_ID to the market's contract"
            )
        return self.contract


def _movement(row: dict[str, Any]) -> Movement:
    identity = str(row["transaction_id"])
    return Movement(
        time_ns=parse_time(row["consensus_timestamp"]),
        transaction=identity,
        name=str(row["name"]),
        result=str(row["result"]),
        transfers=tuple((str(part["account"]), int(part["amount"])) for part in row.get("transfers") or ()),
        payer=identity.split("-")[0],
        fee_tinybar=Tinybar(int(row["charged_tx_fee"])),
    )


def _entity(landed: Landed) -> int:
    if landed.entity is None:
        raise LedgerError(f"{landed.transaction} created nothing", code="SHOAL-L04")
    return landed.entity


def _revert_data(body: dict[str, Any]) -> bytes:
    """What a simulated call reverted with; empty where the mirror says nothing of it."""
    for message in (body.get("_status") or {}).get("messages", ()):
        data = str(message.get("data") or "")
        if data.startswith("0x") and len(data) > 2:
            return bytes.fromhex(data[2:])
    return b""


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
