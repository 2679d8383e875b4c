"""What anyone can read of a ledger, by a mirror node alone: no account, no key, nothing that costs anything."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from typing import Any, Self

import trio

from shoal.adapters.hedera import deployment
from shoal.adapters.hedera.market import MarketAbi, artefact
from shoal.adapters.hedera.mirror import Mirror, between, legible, parse_time
from shoal.adapters.hedera.settings import LedgerSettings
from shoal.adapters.hedera.topics import TopicReader
from shoal.core import limits
from shoal.core.fees import Rate
from shoal.core.ids import Address, TaskId, address_text, parse_address
from shoal.core.money import Tinybar
from shoal.core.standing import TaskView
from shoal.errors import CallReverted, ConfigError, UsageError
from shoal.ports import AccountKey, AccountState, Liabilities, LoggedEvent, Message, Movement

NOBODY = Address(bytes(20))
_RATE_S = 600.0


class LedgerReader:
    """The reading half of the `Ledger` port. Use `open_reader`; `HederaLedger` adds what an account can do.

    async with LedgerReader.open_reader(settings) as ledger:
        tasks = await ledger.events(after_ns=0, until_ns=await ledger.watermark())
    """

    def __init__(self, settings: LedgerSettings, *, address: Address, mirror: Mirror, abi: MarketAbi) -> None:
        self.account = settings.operator_id
        self.address = address
        self.contract = settings.contract_id or ""
        self._public = settings.network in ("testnet", "mainnet")
        self._mirror, self._abi = mirror, abi
        self._margin_ns = int(settings.mirror_margin_s * 10**9)
        self._topics = TopicReader(mirror)
        self._contract_address = ""
        self._rate: Rate | None = None
        self._rate_until_s = 0.0

    @classmethod
    @asynccontextmanager
    async def open_reader(cls, settings: LedgerSettings) -> AsyncIterator[Self]:
        """Connect to the mirror node; as `settings.operator_id` if there is one, without its key in any case.

        Raises:
            ConfigError: SHOAL-C01, C02 a setting; SHOAL-C10, the account does not exist.
            LedgerUnreachable: the mirror node does not answer.
        """
        settings = settings.complete(operator=False)
        async with Mirror.open(settings.mirror_rest, deadline_s=settings.timeout_s) as mirror:
            address = NOBODY
            if settings.operator_id:
                address = parse_address((await find_account(mirror, settings))["evm_address"])
            yield cls(settings, address=address, mirror=mirror, abi=MarketAbi())

    async def watermark(self) -> int:
        return max(0, await self._mirror.watermark() - self._margin_ns)

    @legible
    async def messages(self, topic: int, *, after_ns: int, until_ns: int) -> Sequence[Message]:
        return await self._topics.read(topic, after_ns, until_ns)

    @legible
    async def events(self, *, after_ns: int, until_ns: int, task: TaskId | None = None) -> Sequence[LoggedEvent]:
        if until_ns <= after_ns:
            return []
        path = f"/contracts/{self._need_contract()}/results/logs"
        found: list[LoggedEvent] = []
        last = (after_ns, 2**63)
        rows = self._mirror.rows(path, "logs", between(after_ns, until_ns))
        async with aclosing(rows):
            async for row in rows:
                place = (parse_time(row["timestamp"]), int(row["index"]))
                if not last < place <= (until_ns, 2**63):
                    continue  # shown again, or never asked for
                last = place
                topics = [bytes.fromhex(topic[2:]) for topic in row["topics"]]
                event = self._abi.decode_event(topics, bytes.fromhex(row["data"][2:]))
                if event is not None and (task is None or getattr(event, "task_id", None) == task):
                    found.append(LoggedEvent(*place, event, str(row["transaction_hash"])))
        return found

    @legible
    async def is_unowned(self, topic: int) -> bool:
        row = await self._mirror.eventually(f"/topics/0.0.{topic}")
        if row is None or row["deleted"] or (row.get("custom_fees") or {}).get("fixed_fees"):
            return False
        return all(row.get(name) is None for name in ("admin_key", "submit_key", "fee_schedule_key"))

    @legible
    async def account_state(self, address: Address) -> AccountState:
        return self._abi.account_state(await self._view("getAccount", address_text(address)))

    @legible
    async def validator_stake(self) -> Tinybar:
        _, stake, _ = self._abi.decode_view("settings", await self._view("settings"))
        return Tinybar(stake)

    @legible
    async def balance(self, account: str | None = None) -> Tinybar:
        row = await self._mirror.need(f"/accounts/{account or self.account}")
        return Tinybar(int(row["balance"]["balance"]))

    @legible
    async def address_of(self, account: str) -> Address:
        return parse_address((await self._mirror.need(f"/accounts/{account}"))["evm_address"])

    @legible
    async def key_of(self, account: str) -> AccountKey | None:
        row = await self._mirror.get(f"/accounts/{account}")
        if row is None:
            raise UsageError(
                f"there is no account {account} on this network",
                code="SHOAL-U83",
                hint="check the account and that the wallet is on this node's network",
            )
        key = row.get("key") or {}
        data = str(key.get("key") or "")
        match key.get("_type"), len(data):
            case "ED25519", 64:
                return AccountKey("ED25519", bytes.fromhex(data))
            case "ECDSA_SECP256K1", 66:
                return AccountKey("ECDSA_SECP256K1", bytes.fromhex(data))
        return None

    @legible
    async def liabilities(self) -> Liabilities:
        return self._abi.liabilities(await self._view("liabilities"))

    @legible
    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> Sequence[Movement]:
        params = [*between(after_ns, until_ns), *([("account.id", account)] if account else [])]
        return [_movement(row) async for row in self._mirror.rows("/transactions", "transactions", params)]

    @legible
    async def supply(self) -> Tinybar:
        return Tinybar(int((await self._mirror.need("/network/supply"))["total_supply"]))

    @legible
    async def rate(self) -> Rate:
        """The network's exchange rate. It is fixed for an hour at a time and moves little from one to the next."""
        if self._rate is None or trio.current_time() > self._rate_until_s:
            row = (await self._mirror.need("/network/exchangerate"))["current_rate"]
            self._rate = Rate(int(row["cent_equivalent"]), int(row["hbar_equivalent"]))
            self._rate_until_s = trio.current_time() + _RATE_S
        return self._rate

    async def deployment_cost(self) -> Tinybar:
        """What `deploy` will cost, about."""
        return Tinybar((await self.rate()).tinybar(deployment.cost_tinycents(artefact())))

    @property
    def code_sha256(self) -> str:
        """Names the code of this version's contract: 16 hexadecimal digits."""
        return hashlib.sha256(artefact()["bytecode"].encode()).hexdigest()[:16]

    async def check_contract(self, contract_id: str) -> str:
        """See that a contract is this version's, and out of everybody's reach; its address.

        Raises:
            ConfigError: SHOAL-C12, there is none.
            LedgerError: SHOAL-L07, it is another, or somebody can change it.
        """
        least = deployment.MIN_DISPUTE_S if self._public else 1
        return await deployment.check(artefact(), self._mirror, contract_id, least_dispute_s=least)

    @legible
    async def task(self, task: TaskId, trainers: Sequence[Address] = ()) -> TaskView:
        told = self._abi.task(await self._view("getTask", task))
        seats = [
            (each, self._abi.is_closed(await self._view("getSeat", task, address_text(each)))) for each in trainers
        ]
        return replace(told, closed=frozenset(trainer for trainer, closed in seats if closed))

    # ---------------------------------------------------------------- inside

    async def _view(self, name: str, *arguments: Any) -> bytes:
        data = self._abi.encode_view(name, *arguments)
        status, body = await self._post_call(data, limits.CALL_GAS, 0)
        if status != 200:
            reason, text = self._abi.decode_error(revert_data(body))
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

    def _need_contract(self) -> str:
        if not self.contract:
            raise ConfigError(
                "the setting contract_id is missing", code="SHOAL-C01", hint="set CONTRACT_ID to the market's contract"
            )
        return self.contract


async def find_account(mirror: Mirror, settings: LedgerSettings) -> dict[str, Any]:
    """What the mirror says of the operator.

    Raises:
        ConfigError: SHOAL-C10, there is no such account.
    """
    account = await mirror.get(f"/accounts/{settings.operator_id}")
    if account is None:
        raise ConfigError(
            f"account {settings.operator_id} does not exist on {settings.network}",
            code="SHOAL-C10",
            hint="check operator_id and network",
        )
    return account


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


def revert_data(body: dict[str, Any]) -> bytes:
    """What a simulated call reverted with; empty where the mirror says nothing of it."""
    for message in (body.get("_status") or {}).get("messages", ()):
        data = str(message.get("data") or "")
        if data.startswith("0x") and len(data) > 2:
            return bytes.fromhex(data[2:])
    return b""
