"""What `deploy/` says is so: every query names a meter and a label that there are, and systemd takes the unit."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from shoal import meters
from shoal.api import metrics
from shoal.errors import ShoalError, revive
from shoal.settings import Settings

from .api.test_metrics import Peers

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
ALWAYS = {"job", "instance"}
"""Labels that Prometheus adds."""
SELECTOR = re.compile(r"\b([a-z_]+)\{([^}]*)\}|\b((?:shoal|process)_[a-z_]+)\b")


def known() -> dict[str, set[str]]:
    """Sample name -> its labels, of everything that a node tells."""
    found: dict[str, set[str]] = {"up": set()}
    for each in vars(meters).values():
        if hasattr(each, "_labelnames") and hasattr(each, "_name"):
            name = f"{each._name}_total" if type(each).__name__ == "Counter" else each._name
            found[name] = set(each._labelnames)
    for family in text_string_to_metric_families(metrics.render(Peers()).decode()):  # type: ignore[arg-type]
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def dashboard() -> dict[str, Any]:
    value = json.loads((DEPLOY / "grafana" / "shoal.json").read_text())
    assert isinstance(value, dict)
    return value


def queries() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        for target in panel["targets"]:
            yield target["expr"]
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["query"]["query"]
    rules = (DEPLOY / "prometheus-rules.yml").read_text()
    yield from re.findall(r"^ +expr: (.+)$", rules, re.MULTILINE)


@pytest.mark.parametrize("query", sorted(set(queries())))
def test_every_query_names_what_a_node_tells(query: str) -> None:
    names, seen = known(), 0
    for name, selector, bare in SELECTOR.findall(query):
        seen += 1
        assert (name or bare) in names, f"{name or bare} is told by no node"
        labels = set(re.findall(r'([a-z_]+)(?:=|!=|=~|!~)"', selector))
        assert labels <= names[name or bare] | ALWAYS, query
        grouped = {each.strip() for part in re.findall(r"by \(([^)]*)\)", query) for each in part.split(",")}
        assert grouped <= names[name or bare] | ALWAYS, query
    assert seen, query


def test_a_query_for_something_else_would_be_seen() -> None:
    with pytest.raises(AssertionError):
        test_every_query_names_what_a_node_tells('sum(shoal_tasks_lost{job="x"})')
    with pytest.raises(AssertionError):
        test_every_query_names_what_a_node_tells('shoal_peers{status="connected"}')


def test_every_meter_is_on_the_dashboard() -> None:
    shown = " ".join(queries())
    assert [
        name for name in known() if name.startswith("shoal_") and name not in shown and "_created" not in name
    ] == []


def test_panels_do_not_lie_on_each_other() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + i, place["y"] + j) for i in range(place["w"]) for j in range(place["h"])}
        assert not cells & taken and place["x"] + place["w"] <= 24, panel["title"]
        taken |= cells
    assert len({panel["id"] for panel in dashboard()["panels"]}) == len(dashboard()["panels"]) > 10


def test_codes_in_the_rules_exist() -> None:
    errors = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text()
    for code in re.findall(r"SHOAL-[A-Z][0-9]{2}", (DEPLOY / "prometheus-rules.yml").read_text()):
        assert f"### {code}" in errors and type(revive({"code": code})) is not ShoalError


def test_the_unit_sets_what_there_is_to_set() -> None:
    unit = (DEPLOY / "shoal-node.service").read_text()
    for name in re.findall(r"^Environment=SHOAL_([A-Z_]+)=", unit, re.MULTILINE):
        assert name.lower() in Settings.model_fields
    assert "shoal node run --role ${ROLE} --yes" in unit


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not on this machine")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / "shoal-node.service"
    text = (DEPLOY / "shoal-node.service").read_text()
    unit.write_text(text.replace("/opt/shoal/.venv/bin/shoal", sys.executable))  # verify looks whether it is there
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    said = [line for line in (done.stdout + done.stderr).splitlines() if unit.name in line]
    assert (done.returncode, said) == (0, [])
