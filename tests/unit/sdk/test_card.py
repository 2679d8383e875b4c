"""The card of a run: well-formed, escaped, without scripts, and honest about what is not finite."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from shoal.sdk.card import card


@dataclass
class Shown:
    task_id: str = "ab" * 32
    phase: str = "running"
    round: int = 2
    rounds: int = 5
    history: list[dict[str, Any]] = field(default_factory=list)
    money: dict[str, int] = field(
        default_factory=lambda: {"escrow_tinybar": 5 * 10**8, "paid_tinybar": 1, "refunded_tinybar": 0}
    )


def test_a_card_tells_phase_round_curves_and_money() -> None:
    rows = [{"round": 1, "loss": 2.0, "accuracy": 0.5}, {"round": 2, "loss": 1.0, "accuracy": 0.75}]
    text = card(Shown(history=rows))
    tree = ElementTree.fromstring(text)
    assert {each.tag for each in tree.iter()} <= {
        "div",
        "b",
        "figure",
        "figcaption",
        "span",
        "svg",
        "polyline",
        "circle",
    }
    assert "running" in text and "round 2 of 5" in text and "escrow 5 ℏ" in text and "paid 0.00000001 ℏ" in text
    loss, accuracy = (line.attrib["points"].split() for line in tree.iter("polyline"))
    assert float(loss[0].split(",")[1]) < float(loss[1].split(",")[1]), "it fell: down is larger"
    assert float(accuracy[0].split(",")[1]) > float(accuracy[1].split(",")[1])


def test_what_a_stranger_wrote_is_text() -> None:
    evil = '"><script>alert(1)</script>'
    text = card(Shown(phase=evil, history=[{"round": 1, "loss": 1.0, evil: 0.5}]))
    assert "<script" not in text
    assert all(each.tag != "script" for each in ElementTree.fromstring(text).iter())


def test_a_card_before_the_first_round_and_one_that_diverged() -> None:
    assert "<svg" not in card(Shown())
    diverged = card(Shown(history=[{"round": 1, "loss": None, "mae": 3.0}, {"round": 2, "loss": None, "mae": None}]))
    [line] = ElementTree.fromstring(diverged).iter("polyline")
    assert len(line.attrib["points"].split()) == 1
