"""The command `train` as it follows a task: what a topic hears, and how a bad end is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from trio.testing import MockClock

from shoal.client.story import Told
from shoal.errors import MarketError, UsageError
from shoal.shell import training
from shoal.shell.station import Call, Station

from ..api.desk import Desk


class Driven:
    """A task whose story is written down."""

    def __init__(self, desk: Desk, *kinds: str) -> None:
        self._story = [Told(float(n), kind, f"{kind} happened", {"number": n}) for n, kind in enumerate(kinds)]
        self.state = desk.world.state()

    async def told(self, index: int, *, patience_s: float) -> Told | None:
        return self._story[index]

    def is_told(self, index: int) -> bool:
        return index >= len(self._story)


class Purchase:
    """One that ends as it is told to."""

    def __init__(self, error: MarketError | None = None) -> None:
        self._error = error

    async def fetch(self, state: Any, out: Path) -> Any:
        if self._error is not None:
            raise self._error
        return self

    def as_dict(self) -> dict[str, Any]:
        return {"task_id": "ab", "metric": "accuracy", "test_metric": 0.9, "weights": "/home/me/secret-place"}


@pytest.mark.parametrize("error", [None, MarketError("no result", code="SHOAL-T07")])
async def test_a_task_that_goes_on_by_itself_is_told_to_its_end(
    autojump_clock: MockClock, tmp_path: Path, error: MarketError | None
) -> None:
    desk = Desk.make(tmp_path)
    [trainer] = [peer for peer in desk.world.network.peers.values() if peer is not desk.network]
    await trainer.join("round")
    told: list[tuple[str, dict[str, Any]]] = []
    async with Station.open("client", desk.settings, desk.network, desk.store, desk=desk) as station:
        call = Call(station, tell=lambda text, record: told.append((text, record)))
        driven: Any = Driven(desk, "created", "round")
        await training._follow_quietly(call, desk, driven, "round", Purchase(error))  # type: ignore[arg-type]
    heard = [json.loads(each.data) for each in trainer.read("round")]
    assert [each["event"] for each in heard] == ["created", "round", *([] if error else ["trained"])]
    assert "secret-place" not in json.dumps(heard), "where the weights lie is nobody else's business"
    text, record = told[-1]
    assert [row["event"] for _, row in told] == ["created", "round", "error" if error else "result"]
    assert ("no result" in text and record["code"] == "SHOAL-T07") if error else "secret-place" in text


@pytest.mark.parametrize(
    ("words", "code"), [(["a", "b", "c", "d"], "U62"), (["shoal/x"], "U62"), (["a", "--budget", "much"], "U62")]
)
def test_what_it_does_not_take(words: list[str], code: str) -> None:
    with pytest.raises(UsageError) as refused:
        training._parse(words)
    assert refused.value.code == f"SHOAL-{code}"


def test_data_and_model_a_folder_an_example_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "model.py").touch()
    (tmp_path / "rows.csv").touch()
    both = training._parse(["t", str(tmp_path / "rows.csv"), str(tmp_path / "model.py"), "--rounds", "3"])
    assert (both.source.dataset, both.source.model) == (tmp_path / "rows.csv", tmp_path / "model.py")
    assert both.rounds == 3 and not both.yes
    folder = training._parse(["t", str(tmp_path), "--yes", "--budget", "2.5"])
    assert (folder.source.model, folder.source.dataset, folder.yes, folder.budget) == (
        tmp_path,
        None,
        True,
        250_000_000,
    )
    assert (
        training._parse(["t"]).source.name == "breast_cancer"
        and training._parse(["t", "digits"]).source.name == "digits"
    )
    with pytest.raises(UsageError):
        training._parse(["t", str(tmp_path / "rows.csv")])
