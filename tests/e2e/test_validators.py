"""Audits by real processes: validators are paid for honest work, and a trainer that cheats loses its stake."""

from __future__ import annotations

from pathlib import Path

import pytest

from shoal.core.money import TINYBAR_PER_HBAR

from .harness import last_json, shoal

pytestmark = pytest.mark.e2e
AUDITED = ("demo", "--json", "--validators", "4", "--auditors", "3", "--audits", "8", "--rounds", "4")


@pytest.mark.timeout(300)
def test_honest_work_is_audited_and_its_validators_are_paid(tmp_path: Path) -> None:
    done = shoal(*AUDITED, "--dir", str(tmp_path / "network"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = last_json(done.stdout)
    assert report["conserved"] and all(report["checks"].values())
    assert report["rounds"] == 4 and not report["slashed_tinybar"] and not report["forfeited_tinybar"]
    audits = [line for line in done.stderr.splitlines() if "again: it is what" in line]
    assert len(audits) == 8, "every audit that was paid for was made"
    paid = report["audits_paid_tinybar"]
    assert 2 <= len(paid) <= 4 and len(set(paid.values())) <= 8
    assert sum(report["paid_tinybar"].values()) + report["refunded_tinybar"] == report["escrow_tinybar"]


@pytest.mark.timeout(300)
def test_a_trainer_that_cheats_is_caught_slashed_and_pays_those_who_found_it(tmp_path: Path) -> None:
    done = shoal(*AUDITED, "--cheat", "--dir", str(tmp_path / "network"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = last_json(done.stdout)
    assert report["conserved"] and all(report["checks"].values()), "to the tinybar, slashes and bonds included"
    (cheat,) = report["slashed_tinybar"]
    assert report["slashed_tinybar"][cheat] >= 2 * TINYBAR_PER_HBAR
    assert report["paid_tinybar"][cheat] == 0 and report["forfeited_tinybar"] >= 0
    honest = {account: paid for account, paid in report["paid_tinybar"].items() if account != cheat}
    assert len([paid for paid in honest.values() if paid > 0]) >= 3 + len(report["audits_paid_tinybar"]) - 1
    lines = done.stderr
    assert "is NOT what trainer-4 delivered" in lines and "trainer-4 is slashed" in lines
    assert "(3 of 3 found fraud)" in lines
    assert not any(f"trainer-{number} is slashed" in lines for number in (1, 2, 3)), "nobody else"
