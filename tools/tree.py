"""Writes the README's annotated tree from the first lines of all modules; `--check` compares."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
START, END = "<!-- tree -->\n", "<!-- end of tree -->"
BESIDE = {
    "contracts": "the escrow in Solidity, who may do what and when, and what it costs",
    "examples": "models with recipes and data: what `shoal train` takes; notebooks",
    "tests": "unit, contract (one suite per port), evm, devnet, hostile, e2e, live (opt-in)",
    "bench": "what was measured, and how to measure it again",
    "docs": "the HTTP API, the shell, Python, the devnet, the peer network, decisions, a section for each error code",
    "tools": "what `make` needs before anything is installed",
}


def tree() -> str:
    """The tree as Markdown: packages as a list, their modules folded away."""
    lines = [f"- `{name}/` {text}" for name, text in BESIDE.items()]
    lines.append("\n<details><summary><code>src/shoal/</code>, module by module</summary>\n")
    lines += _package(ROOT / "src" / "shoal", 0)
    return "\n".join([*lines, "\n</details>", ""])


def _package(folder: Path, depth: int) -> list[str]:
    lines = []
    indent = "  " * depth
    for path in sorted(folder.iterdir(), key=lambda each: (each.is_dir(), each.name)):
        if path.suffix == ".py" and path.name != "__init__.py":
            lines.append(f"{indent}- `{path.name}` {_first_line(path)}")
        elif (path / "__init__.py").is_file():
            lines.append(f"{indent}- **`{path.name}/`** {_first_line(path / '__init__.py')}")
            lines += _package(path, depth + 1)
    return lines


def _first_line(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text()))
    if not docstring:
        raise SystemExit(f"{path.relative_to(ROOT)} does not say in its first line what it is for")
    return docstring.splitlines()[0]


def main() -> int:
    """Exit status 1 if `--check` finds the README behind."""
    text = README.read_text()
    before, rest = text.split(START)
    after = rest.split(END)[1]
    wanted = f"{before}{START}{tree()}{END}{after}"
    if sys.argv[1:] == ["--check"]:
        if wanted != text:
            sys.stderr.write("the README's tree is behind: run `make tree`\n")
        return int(wanted != text)
    README.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
