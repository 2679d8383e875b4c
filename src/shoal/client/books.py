"""The books of a task: where every tinybar went, read from the ledger and never from sums of our own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shoal.core.events import DisputeOpened, JurorFined, ValidatorJoined
from shoal.core.ids import Address
from shoal.core.task import State
from shoal.ports import AccountState, Ledger, Movement


@dataclass(frozen=True, slots=True)
class Row:
    """One account over the time of the books, in tinybar: `after = before - sent + received - fees`."""

    account: str
    name: str
    before: int
    sent: int
    """Into the market's contract: escrow or stake."""
    received: int
    """Out of the contract: pay, refunds, stake."""
    fees: int
    """To Hedera."""
    after: int
    held: int
    """What the contract holds for the account: its stake, and what it has not withdrawn."""

    @property
    def balances(self) -> bool:
        return self.after == self.before - self.sent + self.received - self.fees


@dataclass(frozen=True, slots=True)
class Books:
    """What the ledger says of a task that is over.

    Args:
        checks: each law of the books, and whether it holds.
    """

    rows: tuple[Row, ...]
    contract: Row
    escrow: int
    paid: Mapping[str, int]
    """Account -> what it earned."""
    refunded: int
    penalties: int
    stakes_returned: int
    forfeited: int
    """Pay of slashed trainers, which went to the client."""
    slashed: Mapping[str, int]
    """Account -> what it lost of its stake for fraud."""
    audits_paid: Mapping[str, int]
    """Validator's account -> its pay, which `paid` holds too."""
    checks: Mapping[str, bool]

    @property
    def fees(self) -> int:
        return sum(row.fees for row in self.rows)

    @property
    def conserved(self) -> bool:
        return all(self.checks.values())

    def as_dict(self) -> dict[str, Any]:
        return {
            "escrow_tinybar": self.escrow,
            "paid_tinybar": dict(self.paid),
            "refunded_tinybar": self.refunded,
            "stakes_returned_tinybar": self.stakes_returned,
            "forfeited_tinybar": self.forfeited,
            "slashed_tinybar": dict(self.slashed),
            "audits_paid_tinybar": dict(self.audits_paid),
            "fees_tinybar": self.fees,
            "conserved": self.conserved,
            "checks": dict(self.checks),
        }


async def balances(ledger: Ledger, accounts: Sequence[str]) -> dict[str, int]:
    """What each account holds now."""
    return {account: int(await ledger.balance(account)) for account in accounts}


async def audit(
    ledger: Ledger,
    state: State,
    *,
    names: Mapping[str, str],
    before: Mapping[str, int],
    supply_before: int,
    after_ns: int,
) -> Books:
    """Close the books of a finished task over everything that happened since `after_ns`.

    Args:
        names: of all accounts that took part, the contract's among them.
        before: their balances at `after_ns`.
    """
    until_ns = await ledger.watermark()
    movements = await ledger.movements(after_ns=after_ns, until_ns=until_ns)
    after = await balances(ledger, list(names))
    owed = await ledger.liabilities()
    accounts = {await ledger.address_of(account): account for account in names if account != ledger.contract}
    inside = {account: await ledger.account_state(address) for address, account in accounts.items()}
    rows = {
        account: _row(ledger.contract, account, name, before[account], after[account], inside.get(account), movements)
        for account, name in names.items()
    }
    contract = rows.pop(ledger.contract)
    audits_paid, paid = _pay(state, accounts)
    penalties = sum(int(claim.penalty) for claim in state.claims.values())
    forfeited = sum(int(claim.forfeited) for claim in state.claims.values())
    slashed = {accounts[seat.trainer]: int(state.plan.slash) for seat in state.seats if seat.slashed}
    gains = {accounts[who]: amount for who, amount in state.gains.items()}
    out = {
        account: row.received + inside[account].balance_tinybar for account, row in rows.items() if account in inside
    }
    stakes = await _stakes(ledger, until_ns, state, accounts, slashed)
    client = accounts[state.client]
    escrow, refunded = int(state.plan.escrow()), int(state.refunded)
    surplus = contract.before  # what a deployment leaves in it, and nothing else before the first deposit
    checks = {
        "every transaction sums to zero": all(sum(amount for _, amount in m.transfers) == 0 for m in movements),
        "every account's transactions explain its balance": all(
            row.after - row.before == _net(row.account, movements) for row in (*rows.values(), contract)
        ),
        "every row balances": all(row.balances for row in rows.values()),
        "escrow = pay + refund": escrow == sum(paid.values()) + refunded + forfeited,
        "the contract holds what it owes": contract.after - surplus == owed.total_tinybar,
        "no escrow is left": owed.escrow_tinybar == 0,
        **stakes.laws(rows, inside),
        "what the contract owes is these accounts'": owed.total_tinybar == sum(row.held for row in rows.values()),
        "the client got its refund": rows[client].sent - out[client]
        == escrow - refunded - penalties - forfeited - gains.get(client, 0) + _finder_fees(state),
        "everybody got its pay": all(
            out[account] == paid.get(account, 0) + gains.get(account, 0) for account in out if account != client
        ),
        "no HBAR was made or lost": int(await ledger.supply()) == supply_before,
    }
    return Books(
        rows=tuple(rows.values()),
        contract=contract,
        escrow=escrow,
        paid=paid,
        refunded=refunded,
        penalties=penalties,
        stakes_returned=sum(int(claim.stake_returned) for claim in state.claims.values()),
        forfeited=forfeited,
        slashed=slashed,
        audits_paid=audits_paid,
        checks=checks,
    )


def _pay(state: State, accounts: Mapping[Address, str]) -> tuple[dict[str, int], dict[str, int]]:
    """What validators earned, and what everybody earned, by account."""
    audits = {accounts[who]: int(paid) for who, paid in state.audit_claims.items()}
    paid = {accounts[trainer]: int(claim.paid) for trainer, claim in state.claims.items()}
    return audits, paid | {account: paid.get(account, 0) + amount for account, amount in audits.items()}


@dataclass(frozen=True, slots=True)
class _Stakes:
    locked: Mapping[str, int]
    """What is locked of validators, who stay in the pool."""
    lost: Mapping[str, int]
    """Of trainers and validators: penalties, slashes and fines."""
    bonds: Mapping[str, int]
    """What they paid in that was no stake."""

    def laws(self, rows: Mapping[str, Row], inside: Mapping[str, AccountState]) -> dict[str, bool]:
        return {
            "no stake is locked": all(
                account.locked_tinybar == self.locked.get(name, 0) for name, account in inside.items()
            ),
            "nobody lost a stake but by a rule": all(
                inside[name].stake_tinybar == rows[name].sent - self.bonds.get(name, 0) - lost
                for name, lost in self.lost.items()
            ),
        }


async def _stakes(
    ledger: Ledger, until_ns: int, state: State, accounts: Mapping[Address, str], slashed: Mapping[str, int]
) -> _Stakes:
    locked: Counter[str] = Counter()
    lost: Counter[str] = Counter({accounts[trainer]: 0 for trainer in state.claims})
    bonds: Counter[str] = Counter()
    for logged in await ledger.events(after_ns=0, until_ns=until_ns):
        match logged.event:
            case ValidatorJoined(account, amount) if account in accounts:
                locked[accounts[account]] += amount
                lost[accounts[account]] += 0
            case JurorFined(juror=juror, amount=amount) if juror in accounts:
                locked[accounts[juror]] -= amount
                lost[accounts[juror]] += amount
            case DisputeOpened(challenger=challenger, bond=bond) if challenger in accounts:
                bonds[accounts[challenger]] += bond
    for trainer, claim in state.claims.items():
        lost[accounts[trainer]] += claim.penalty
    lost.update(slashed)
    return _Stakes(locked, lost, bonds)


def _finder_fees(state: State) -> int:
    """Of the penalties, what went to whoever found a wrong vote, and not to the client."""
    return sum(int(claim.finder_fee) for claim in state.claims.values())


def _row(
    contract: str,
    account: str,
    name: str,
    before: int,
    after: int,
    inside: AccountState | None,
    movements: Sequence[Movement],
) -> Row:
    """Each transaction moves money between the account and the contract, and fees to Hedera; nothing else."""
    sent = received = fees = 0
    for movement in movements:
        fee = int(movement.fee_tinybar) if movement.payer == account else 0
        fees += fee
        if contract in (who for who, _ in movement.transfers):
            net = movement.net_tinybar(account) + fee
            sent += max(0, -net)
            received += max(0, net)
    held = int(inside.stake_tinybar + inside.balance_tinybar) if inside else 0
    return Row(account, name, before, sent, received, fees, after, held)


def _net(account: str, movements: Sequence[Movement]) -> int:
    return sum(movement.net_tinybar(account) for movement in movements)
