"""The notebooks of `examples/` run from top to bottom, as they are committed: without outputs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import Demo
from .harness import environment

pytestmark = pytest.mark.e2e
FOLDER = Path(__file__).parents[2] / "examples" / "notebooks"
EXECUTE = """
import sys, nbclient, nbformat
book = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(book, timeout=240).execute()
nbformat.write(book, sys.argv[2])
"""


def execute(name: str, cwd: Path, **env: str) -> list[Any]:
    """The outputs of all cells, once all have run without an error."""
    done = subprocess.run(
        [sys.executable, "-c", EXECUTE, str(FOLDER / name), str(cwd / name)],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = json.loads((cwd / name).read_text())["cells"]
    return [output for cell in cells for output in cell.get("outputs", [])]


def texts(outputs: list[Any]) -> str:
    return "".join("".join(output.get("text", "")) for output in outputs)


def cards(outputs: list[Any]) -> str:
    return "".join("".join(output.get("data", {}).get("text/html", "")) for output in outputs)


def test_they_are_committed_without_outputs() -> None:
    paths = sorted(FOLDER.glob("*.ipynb"))
    assert [path.name for path in paths] == ["log.ipynb", "train.ipynb"]
    for path in paths:
        cells = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
        assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells), path.name


def test_training_a_model(tmp_path: Path) -> None:
    outputs = execute("train.ipynb", tmp_path)
    assert "worst case" in texts(outputs) and "classes: ('inside', 'outside')" in texts(outputs)
    score = float(texts(outputs).split("accuracy on the test rows: ")[1].split()[0])
    assert score > 0.8
    assert "<svg" in cards(outputs) and "settled" in cards(outputs)
    assert (tmp_path / "circle.safetensors").stat().st_size > 1_000


def test_looking_into_a_log(demo: Demo, tmp_path: Path) -> None:
    """With an account that has nothing to do with the task, and keys of its own."""
    (tmp_path / "stranger").mkdir()
    shutil.copy(demo.directory / "trainer-1" / "shoal.toml", tmp_path / "stranger")  # with its mode: it holds a key
    outputs = execute("log.ipynb", tmp_path, SHOAL_DIR=str(tmp_path / "stranger"))
    assert texts(outputs).count("is paid") == demo.report["trainers"]
    assert "<svg" in cards(outputs)
