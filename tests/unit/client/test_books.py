"""The books: a tinybar that is missing, made up or stuck anywhere is found, whatever our own sums say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from shoal.client.books import audit
from shoal.core.events import Event, JurorFined, ValidatorJoined
from shoal.core.ids import Address
from shoal.core.money import Tinybar
from shoal.core.task import Claim, State
from shoal.ports import AccountState, Liabilities, LoggedEvent, Movement
from shoal.testing import simulate

CLIENT, TRAINER, CONTRACT, NODE = "0.0.1", "0.0.2", "0.0.3", "0.0.800"
ADDRESSES = {CLIENT: Address(b"c" * 20), TRAINER: Address(b"t" * 20)}
ESCROW, PAID, STAKE, FEE = 1_000, 300, 500, 7
SUPPLY = 10**9


def move(name: str, payer: str, *transfers: tuple[str, int]) -> Movement:
    charged = ((payer, -FEE), (NODE, FEE))
    merged: dict[str, int] = {}
    for account, amount in (*transfers, *charged):
        merged[account] = merged.get(account, 0) + amount
    return Movement(1, f"{payer}-1-1", name, "SUCCESS", tuple(merged.items()), payer, Tinybar(FEE))


@dataclass
class Ledger:
    """One settled task with one trainer, as the mirror node would tell it."""

    contract = CONTRACT
    moves: list[Movement] = field(
        default_factory=lambda: [
            move("stake", TRAINER, (TRAINER, -STAKE), (CONTRACT, STAKE)),
            move("create", CLIENT, (CLIENT, -ESCROW), (CONTRACT, ESCROW)),
            move("withdraw", TRAINER, (TRAINER, PAID), (CONTRACT, -PAID)),
            move("withdraw", CLIENT, (CLIENT, ESCROW - PAID), (CONTRACT, PAID - ESCROW)),
            move("message", CLIENT),
        ]
    )
    owed: Liabilities = field(default_factory=lambda: Liabilities(Tinybar(0), Tinybar(STAKE), Tinybar(0)))
    trainer: AccountState = field(
        default_factory=lambda: AccountState(True, b"", b"", Tinybar(STAKE), Tinybar(0), Tinybar(0))
    )
    total: int = SUPPLY
    extra: dict[str, int] = field(default_factory=dict)
    happened: list[Event] = field(default_factory=list)

    async def watermark(self) -> int:
        return 2

    async def movements(self, *, after_ns: int, until_ns: int, account: str | None = None) -> list[Movement]:
        return self.moves

    async def balance(self, account: str | None = None) -> Tinybar:
        assert account is not None
        moved = sum(m.net_tinybar(account) for m in self.moves)
        return Tinybar(BEFORE[account] + moved + self.extra.get(account, 0))

    async def liabilities(self) -> Liabilities:
        return self.owed

    async def address_of(self, account: str) -> Address:
        return ADDRESSES[account]

    async def account_state(self, address: Address) -> AccountState:
        nobody = AccountState(False, b"", b"", Tinybar(0), Tinybar(0), Tinybar(0))
        return self.trainer if address == ADDRESSES[TRAINER] else nobody

    async def events(self, **_: Any) -> list[LoggedEvent]:
        return [LoggedEvent(1, index, event, "tx") for index, event in enumerate(self.happened)]

    async def supply(self) -> Tinybar:
        return Tinybar(self.total)


BEFORE = {CLIENT: 5_000, TRAINER: 2_000, CONTRACT: 1}
NAMES = {CLIENT: "client", TRAINER: "trainer", CONTRACT: "contract"}


def state() -> State:
    final = simulate(1, 1, 1, 1).final
    plan = replace(
        final.plan,
        chunks=1,
        rounds=1,
        max_unit_price=Tinybar(ESCROW),
        aggregate_price=Tinybar(0),
        no_show_penalty=Tinybar(0),
    )
    claims = {ADDRESSES[TRAINER]: Claim(Tinybar(PAID), Tinybar(STAKE), Tinybar(0))}
    return replace(final, client=ADDRESSES[CLIENT], plan=plan, claims=claims, refunded=Tinybar(ESCROW - PAID))


async def broken(ledger: Any) -> set[str]:
    books = await audit(ledger, state(), names=NAMES, before=BEFORE, supply_before=SUPPLY, after_ns=0)
    assert books.conserved == (not {law for law, holds in books.checks.items() if not holds})
    return {law for law, holds in books.checks.items() if not holds}


async def test_books_that_are_right() -> None:
    ledger = Ledger()
    assert await broken(ledger) == set()
    books = await audit(ledger, state(), names=NAMES, before=BEFORE, supply_before=SUPPLY, after_ns=0)  # type: ignore[arg-type]
    assert (books.escrow, books.paid, books.refunded, books.fees) == (ESCROW, {TRAINER: PAID}, ESCROW - PAID, 5 * FEE)
    client = next(row for row in books.rows if row.account == CLIENT)
    assert (client.sent, client.received, client.fees) == (ESCROW, ESCROW - PAID, 3 * FEE)


@pytest.mark.parametrize(
    ("ledger", "law"),
    [
        (Ledger(total=SUPPLY + 1), "no HBAR was made or lost"),
        (Ledger(extra={CLIENT: -1}), "every account's transactions explain its balance"),
        (Ledger(extra={CONTRACT: -1}), "the contract holds what it owes"),
        (Ledger(owed=Liabilities(Tinybar(1), Tinybar(STAKE), Tinybar(0))), "no escrow is left"),
        (
            Ledger(owed=Liabilities(Tinybar(0), Tinybar(STAKE + 1), Tinybar(0))),
            "what the contract owes is these accounts'",
        ),
        (
            Ledger(trainer=AccountState(True, b"", b"", Tinybar(STAKE), Tinybar(1), Tinybar(0))),
            "no stake is locked",
        ),
        (
            Ledger(moves=[replace(Ledger().moves[0], transfers=((TRAINER, -5), (CONTRACT, 6))), *Ledger().moves[1:]]),
            "every transaction sums to zero",
        ),
        (
            Ledger(
                owed=Liabilities(Tinybar(0), Tinybar(STAKE - 1), Tinybar(0)),
                trainer=AccountState(True, b"", b"", Tinybar(STAKE - 1), Tinybar(0), Tinybar(0)),
            ),
            "nobody lost a stake but by a rule",
        ),
        (Ledger(moves=[*Ledger().moves[:2], *Ledger().moves[3:]]), "everybody got its pay"),
        (Ledger(moves=[*Ledger().moves[:3], *Ledger().moves[4:]]), "the client got its refund"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_each_law_can_be_broken(ledger: Ledger, law: str) -> None:
    assert law in await broken(ledger)


async def test_a_validator_s_stake_stays_locked_less_its_fines() -> None:
    who, fine = ADDRESSES[TRAINER], Tinybar(40)
    joined = ValidatorJoined(who, Tinybar(STAKE))
    fined = JurorFined(state().place.task, b"d" * 32, who, fine)
    left = AccountState(True, b"", b"", Tinybar(STAKE - fine), Tinybar(STAKE - fine), Tinybar(0))
    owed = Liabilities(Tinybar(0), Tinybar(STAKE - fine), Tinybar(0))
    moves = Ledger().moves
    got = move("withdraw", CLIENT, (CLIENT, ESCROW - PAID + fine), (CONTRACT, PAID - ESCROW - fine))
    ledger = Ledger(happened=[joined, fined], trainer=left, owed=owed, moves=[*moves[:3], got, *moves[4:]])
    settled = replace(state(), gains={ADDRESSES[CLIENT]: int(fine)})
    books = await audit(ledger, settled, names=NAMES, before=BEFORE, supply_before=SUPPLY, after_ns=0)  # type: ignore[arg-type]
    assert books.conserved, books.checks
    assert "no stake is locked" in await broken(Ledger(trainer=left, owed=owed)), "of somebody who is no validator"
