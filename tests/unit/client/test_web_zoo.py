"""The ready models that the web app writes are exported like anybody's, whatever data they were made to fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shoal.client.prepare import examine
from shoal.client.source import Source

SOURCES = Path(__file__).parents[3] / "web" / "src" / "lib" / "zoo-sources"
"""Written and compared by the web app's own tests."""


def table(folder: Path, labels: list[str]) -> Path:
    rng = np.random.default_rng(1)
    rows = [",".join([*(f"{x:.3f}" for x in rng.normal(50, 20, 4)), labels[i % len(labels)]]) for i in range(120)]
    path = folder / "rows.csv"
    path.write_text("\n".join(["a,b,c,d,label", *rows]))
    return path


def images(folder: Path) -> Path:
    rng = np.random.default_rng(1)
    for i in range(60):
        place = folder / "data" / ("even" if i % 2 else "odd")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return folder / "data"


@pytest.mark.parametrize(
    ("name", "labels", "classes"), [("linear", ["0.5", "1.25", "-3.75"], None), ("mlp", ["x", "y", "z"], 3)]
)
def test_a_model_for_a_table(tmp_path: Path, name: str, labels: list[str], classes: int | None) -> None:
    found = examine(Source(SOURCES / name, table(tmp_path, labels)), {})
    assert found.recipe.rounds == 2
    assert (found.classes and len(found.classes)) == classes


def test_a_model_for_images(tmp_path: Path) -> None:
    found = examine(Source(SOURCES / "cnn", images(tmp_path)), {})
    assert found.classes == ("even", "odd")
