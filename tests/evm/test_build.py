"""The committed artefact is what the source compiles to, it fits the chain, and the README tells what calls cost."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from dataclasses import replace
from fractions import Fraction

import pytest

from shoal.adapters.hedera.client import _CALL_GAS, _LARGE, _LARGE_GAS
from shoal.core import calls, fees
from shoal.core.codec import digest
from shoal.core.ids import Address
from shoal.core.merkle import AuditLeaf
from shoal.core.money import Tinybar
from shoal.testing.court import DRAW_BLOCKS

from .harness import ARTEFACT, ROOT, START_S, UNBONDING_S, VALIDATOR_STAKE, Chain, Market
from .twin import EVIDENCE, KEY, PLAN, SEAT_STAKE, Twin

CONTRACTS = ROOT / "contracts"
README = CONTRACTS / "README.md"
MAX_RUNTIME_BYTES = 24_576
USD_PER_GAS = Fraction("0.0000000852")  # Hedera's fee schedule, HIP-1261
TABLE_START, TABLE_END = "<!-- gas table -->\n", "<!-- end of gas table -->"


def test_artefact_was_made_from_this_source() -> None:
    artefact = json.loads(ARTEFACT.read_text())
    sources = b"".join(path.read_bytes() for path in sorted(CONTRACTS.glob("*.sol")))
    assert artefact["source_sha256"] == hashlib.sha256(sources).hexdigest()


@pytest.mark.skipif(
    not (CONTRACTS / "node_modules").is_dir() or shutil.which("node") is None,
    reason="the Solidity compiler is not installed: run `npm ci` in contracts/",
)
def test_artefact_is_what_the_source_compiles_to() -> None:
    check = ["node", "compile.mjs", "--check"]
    done = subprocess.run(check, cwd=CONTRACTS, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_code_fits_the_chain() -> None:
    market = Market(Chain())
    for address in (market.address, market.view("COURT")):
        assert 0 < len(market.chain.state.get_code(address)) <= MAX_RUNTIME_BYTES


def test_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (CONTRACTS / "package-lock.json").read_text()


def gas_table() -> str:
    """What each call costs, in tasks of 4, 50 and 500 trainers and with as many validators in the pool."""
    columns = {count: gas_of(count) for count in (4, 50, 500)}
    lines = ["| call | with 4 | with 50 | with 500 | US$ with 500 |", "|---|---:|---:|---:|---:|"]
    for label, gas in columns[500].items():
        cells = " | ".join(f"{columns[count][label]:,}" for count in columns)
        lines.append(f"| {label} | {cells} | {float(gas * USD_PER_GAS):.4f} |")
    deploy = Market(Chain()).deploy_gas
    lines.append(f"| deploy, once | {deploy:,} | | | {float(deploy * USD_PER_GAS):.4f} |")
    return "\n".join(lines) + "\n"


def later(plan: calls.Plan, seconds: int) -> calls.Plan:
    """The same plan, so much later: blocks do not go back."""
    times = ("bid_until", "award_until", "accept_until", "standby_until", "start_until", "end_by")
    return replace(plan, **{name: getattr(plan, name) + seconds for name in times})


def gas_of(count: int) -> dict[str, int]:
    """A life of a task: the trees of award and credits have `count` leaves or more, the pool `count` validators."""
    rows: dict[str, int] = {}
    plan = replace(PLAN, seats=3, audits=4)
    twin = Twin(plan)
    twin.crowd(count)
    task, (first, second, third, _), client = twin.task, twin.trainers, twin.client

    def row(label: str, sender: Address, call: calls.Call, value: int = 0) -> None:
        twin(sender, call, value)
        rows[label] = max(rows.get(label, 0), twin.gas)

    row("`register`", first, calls.Register(KEY, KEY), 1)
    row("`depositStake`", first, calls.DepositStake(), SEAT_STAKE + VALIDATOR_STAKE)
    row("`requestUnstake`", first, calls.RequestUnstake(Tinybar(1)))
    row("`cancelUnstake`", first, calls.CancelUnstake())
    twin(first, calls.RequestUnstake(Tinybar(1)))
    twin.wait(UNBONDING_S)
    row("`completeUnstake`", first, calls.CompleteUnstake())
    row("`withdraw`", first, calls.Withdraw())
    row("`joinValidators`", first, calls.JoinValidators())
    row("`leaveValidators`", first, calls.LeaveValidators())
    twin.wait(DRAW_BLOCKS + 1)
    row("`leaveValidators`, for the stake", first, calls.LeaveValidators())
    for trainer in (second, third):
        twin(trainer, calls.Register(KEY, KEY), SEAT_STAKE)
    for validator in twin.validators:
        twin(validator, calls.Register(KEY, KEY), VALIDATOR_STAKE)
        twin(validator, calls.JoinValidators())
    plan = twin.plan = later(plan, twin.chain.now_s - START_S)
    row("`createTask`", client, twin.create(), int(plan.escrow()))
    row("`cancel`", client, calls.Cancel(task))
    twin.again()
    task = twin.task
    twin(client, twin.create(), int(plan.escrow()))
    twin.at(plan.bid_until + 1)
    row("`award`", client, calls.Award(task, twin.award.root(task), twin.award.unit_price, 3))
    for i, trainer in enumerate((first, second, third)):
        row("`accept`", trainer, twin.accept(i))
        row("`ready`", trainer, calls.Ready(task))
    row("`start`", client, calls.Start(task))
    row("`confirmCheckpoint`, a vote", first, twin.checkpoint())
    row("`confirmCheckpoint`, the last of the quorum", second, twin.checkpoint())
    row("`requestDraw`", client, calls.RequestDraw(task))
    twin.wait(2)
    row("`draw`", client, calls.Draw(task))
    twin.audits = [AuditLeaf(who, 1) for who in sorted(twin.model.tasks[task].auditors)[:2]]
    row("`publishResult`", first, twin.publish(twin.result()))
    row("`confirmResult`, the last of the quorum", second, twin.confirm(twin.result()))
    twin(twin.stranger, calls.Register(KEY, KEY))
    row("`accuse`", twin.stranger, calls.Accuse(task, third, EVIDENCE), int(plan.bond))
    wrong = twin.result(result=digest(b"wrong"))
    row("`challengeResult`", twin.stranger, calls.ChallengeResult(task, wrong), int(plan.bond))
    twin.wait(2)
    for number, vote in ((1, True), (2, False)):
        row("`drawJury`", client, calls.DrawJury(twin.dispute(number)))
        for juror in twin.model.court.disputes[twin.dispute(number)].ballots:
            row("`judge`", juror, calls.Judge(twin.dispute(number), vote))
        row("`resolve`", client, calls.Resolve(twin.dispute(number)))
    twin.at(twin.model.tasks[task].settle_after)
    twin(client, calls.Withdraw())  # to pay into an empty balance costs more
    row("`settle`", client, calls.Settle(task))
    for i in range(3):
        row("`claim`", client, twin.claim(i))
    row("`claimAudits`", client, twin.claim_audits(0))
    twin.wait(31 * 24 * 3600)
    row("`expire`", client, calls.Expire(task))

    twin = Twin(replace(PLAN, auditors=7, bond=Tinybar(7 * plan.audit_price), finder_share=10_000), validators=9)
    twin.crowd(count)
    twin.running()
    task = twin.task
    for trainer in (first, second):
        twin(trainer, twin.checkpoint())
    twin(client, calls.RequestDraw(task))
    twin.wait(2)
    row("`draw`, of seven", client, calls.Draw(task))
    twin(twin.stranger, calls.Register(KEY, KEY))
    twin(twin.stranger, calls.Accuse(task, third, EVIDENCE), int(twin.plan.bond))
    twin.wait(2)
    row("`drawJury`, of seven", client, calls.DrawJury(twin.dispute(1)))
    for juror in twin.model.court.disputes[twin.dispute(1)].ballots:
        row("`judge`, of seven", juror, calls.Judge(twin.dispute(1), True))
    row("`resolve`, of seven", client, calls.Resolve(twin.dispute(1)))

    plan = replace(PLAN, seats=3, audits=4)
    twin = Twin(plan)
    twin.crowd(count)
    twin.running()
    task = twin.task
    twin(first, twin.checkpoint())
    twin.at(plan.end_by + 1)
    row("`appeal`", second, calls.Appeal(task, twin.result()), int(plan.bond))
    twin.wait(2 * plan.dispute_time)
    twin(client, calls.Resolve(twin.dispute()))
    twin(client, calls.Expire(task))
    row("`release`", client, calls.Release(task, first))
    return rows


def test_readme_tells_the_gas_that_was_measured() -> None:
    text = README.read_text()
    told = text[text.index(TABLE_START) + len(TABLE_START) : text.index(TABLE_END)]
    assert told == gas_table(), "the table in contracts/README.md differs: put in the one measured here"


def test_fees_are_computed_from_the_gas_that_was_measured() -> None:
    """The dearest case of each function, as `shoal train --dry-run` tells it."""
    dearest: dict[str, int] = {}
    for name, gas in re.findall(
        r"^\| `?(\w+)`?[^|]*\|(?: [0-9,]+ \|){0,2} ([0-9,]+) \|", README.read_text(), flags=re.MULTILINE
    ):
        dearest[name] = max(dearest.get(name, 0), int(gas.replace(",", "")))
    assert dict(fees.GAS) == dearest, "put these into `fees.GAS`"
    for name, gas in dearest.items():
        limit = _LARGE_GAS if name[0].upper() + name[1:] in _LARGE else _CALL_GAS
        assert name == "deploy" or 2 * gas <= limit, f"{name}: a call's limit is not twice what it takes"
    assert Fraction(fees.GAS_TINYCENTS, fees.TINYCENTS_PER_USD) == USD_PER_GAS
