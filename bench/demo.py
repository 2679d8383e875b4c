"""Measures the demo: seconds per phase, overhead per round, and memory per process; prints the tables of README.md."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import psutil

SAMPLE_S = 0.1
MIB = 1024 * 1024


def run_once(dataset: str) -> tuple[dict[str, Any], dict[str, float], float]:
    """One demo: its report, the peak of each process in MiB, and the peak of all together."""
    peaks: dict[str, float] = defaultdict(float)
    together = 0.0
    with tempfile.TemporaryDirectory() as directory:
        command = [
            sys.executable,
            "-m",
            "shoal",
            "demo",
            "--json",
            "--dataset",
            dataset,
            "--dir",
            f"{directory}/network",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            while process.poll() is None:
                sample = memory_of(psutil.Process(process.pid))
                together = max(together, sum(sample.values()))
                for name, mib in sample.items():
                    peaks[name] = max(peaks[name], mib)
                time.sleep(SAMPLE_S)
            assert process.stdout is not None
            report = json.loads(process.stdout.read().strip().splitlines()[-1])
    return report, dict(peaks), together


def memory_of(root: psutil.Process) -> dict[str, float]:
    """Resident MiB of every process of a demo, by what it is; pages shared between processes count in each."""
    found: dict[str, float] = defaultdict(float)
    try:
        for process in (root, *root.children(recursive=True)):
            try:
                found[name_of(process, root)] += process.memory_info().rss / MIB
            except psutil.Error:
                continue
    except psutil.Error:
        pass
    return dict(found)


def name_of(process: psutil.Process, root: psutil.Process) -> str:
    words = [Path(word).name for word in process.cmdline()]
    if process.pid == root.pid:
        return "demo"
    if process.name() == "bwrap":
        return "bubblewrap"
    if any("engine" in word for word in words):
        return f"engine {process.ppid()}"
    for name in ("bootstrap", *(f"trainer-{number}" for number in range(1, 17))):
        if name in words:
            return name
    if "weed" in words:
        return "weed"
    if any("seaweed" in word for word in words):
        return "storage supervisor"
    if any("devnet" in word for word in words):
        return "devnet"
    return "client" if "train" in words else "other"


def group(name: str) -> str:
    """Trainers are alike, and so are their engines."""
    if name.startswith("trainer-"):
        return "trainer (each)"
    return "engine of a trainer (each)" if name.startswith("engine") else name


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dataset", default="breast_cancer")
    arguments = parser.parse_args()
    runs = [run_once(arguments.dataset) for _ in range(arguments.runs)]
    print(f"\n`{arguments.dataset}`, {arguments.runs} runs, Python {platform.python_version()}, {platform.machine()}\n")
    print("| | min | median | max |\n|---|---:|---:|---:|")
    for phase in runs[0][0]["seconds"]:
        row(f"{phase}, s", [report["seconds"][phase] for report, _, _ in runs])
    row("overhead of a round, s", [each for report, _, _ in runs for each in report["round_overhead_s"]])
    row("accuracy", [report["accuracy"] for report, _, _ in runs], 4)
    row("central accuracy", [report["central_accuracy"] for report, _, _ in runs], 4)
    groups: dict[str, list[float]] = defaultdict(list)
    for _, peaks, _ in runs:
        for name, mib in peaks.items():
            groups[group(name)].append(mib)
    for name, values in sorted(groups.items()):
        row(f"peak memory, MiB: {name}", values, 0)
    row("peak memory, MiB: all together", [together for _, _, together in runs], 0)


def row(name: str, values: list[float], digits: int = 2) -> None:
    cells = (min(values), statistics.median(values), max(values))
    print(f"| {name} | " + " | ".join(f"{cell:.{digits}f}" for cell in cells) + " |")


if __name__ == "__main__":
    main()
