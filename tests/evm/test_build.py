"""The committed artefact is what the source compiles to, it fits the chain, and the README tells what calls cost."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from fractions import Fraction

import pytest

from shoal.core import fees

from .harness import ARTEFACT, ROOT, Chain, Market, Receipt
from .scene import KEY, RECIPIENT, Scene

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
    assert len(market.chain.state.get_code(market.address)) <= MAX_RUNTIME_BYTES


def test_lock_file_names_no_registry() -> None:
    assert '"resolved"' not in (CONTRACTS / "package-lock.json").read_text()


def gas_table() -> str:
    """What each call of a task with four trainers costs, and accept and claim for larger trees."""
    rows = [("deploy", Market(Chain()).deploy_gas)]

    def row(label: str, receipt: Receipt) -> None:
        rows.append((label, receipt.gas))

    scene = Scene()
    market, task, (first, second, third, fourth) = scene.market, scene.task, scene.trainers
    row("`register`", market(first, "register", KEY, RECIPIENT, value=1))
    row("`depositStake`", market(first, "depositStake", value=20_000))
    row("`unstake`", market(first, "unstake", 1))
    row("`withdraw`", market(first, "withdraw"))
    for trainer in (second, third, fourth):
        market(trainer, "register", KEY, RECIPIENT, value=10_000)
    row("`createTask`", scene.create())
    scene.at(scene.plan.bid_until + 1)
    row("`award`", scene.award())
    row("`accept`, first", scene.accept(0))
    row("`accept`, later", scene.accept(1))
    scene.accept(2)
    scene.accept(3)
    row("`ready`", market(first, "ready", task))
    for trainer in (second, third):
        market(trainer, "ready", task)
    row("`start`", market(scene.client, "start", task))
    row("`confirmCheckpoint`, first vote", market(first, "confirmCheckpoint", *scene.checkpoint_args(1)))
    row("`confirmCheckpoint`, later vote", market(second, "confirmCheckpoint", *scene.checkpoint_args(1)))
    row("`confirmCheckpoint`, last vote of the quorum", market(third, "confirmCheckpoint", *scene.checkpoint_args(1)))
    row("`publishResult`", market(first, "publishResult", *scene.result_args()))
    row("`confirmResult`, a vote", market(second, "confirmResult", *scene.result_args()))
    row("`confirmResult`, last vote of the quorum", market(third, "confirmResult", *scene.result_args()))
    scene.at(scene.get("settleAfter"))
    row("`settle`", market(scene.stranger, "settle", task))
    row("`claim`", scene.claim(first))
    row("`claim`, no-show", scene.claim(fourth))
    scene.at(scene.get("claimUntil") + 1)
    row("`expire`, unclaimed rest", scene.expire())

    scene = Scene().awarded(0, 1)
    row("`cancel`", scene.market(scene.client, "cancel", scene.task))
    row("`release`", scene.release(scene.trainers[0]))
    scene = Scene().created()
    scene.at(scene.plan.award_until + 1)
    row("`expire`, not awarded", scene.expire())
    for leaves in (50, 500):
        scene = Scene(crowd=leaves - 4).awarded()
        row(f"`accept`, first, {leaves} leaves", scene.accept(0))
        scene = Scene(crowd=leaves - 4).settled()
        row(f"`claim`, {leaves} leaves", scene.claim(scene.trainers[0]))
    lines = ["| call | gas | US$ |", "|---|---:|---:|"]
    lines += [f"| {label} | {gas:,} | {float(gas * USD_PER_GAS):.4f} |" for label, gas in rows]
    return "\n".join(lines) + "\n"


def test_readme_tells_the_gas_that_was_measured() -> None:
    text = README.read_text()
    told = text[text.index(TABLE_START) + len(TABLE_START) : text.index(TABLE_END)]
    assert told == gas_table(), "the table in contracts/README.md differs: put in the one measured here"


def test_fees_are_computed_from_the_gas_that_was_measured() -> None:
    """The dearest case of each function, as `shoal train --dry-run` tells it."""
    dearest: dict[str, int] = {}
    for name, gas in re.findall(r"^\| `?(\w+)`?[^|]*\| ([0-9,]+) \|", README.read_text(), flags=re.MULTILINE):
        dearest[name] = max(dearest.get(name, 0), int(gas.replace(",", "")))
    assert dict(fees.GAS) == dearest, "put these into `fees.GAS`"
    assert Fraction(fees.GAS_TINYCENTS, fees.TINYCENTS_PER_USD) == USD_PER_GAS
