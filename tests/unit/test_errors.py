"""Error codes: each has one section in docs/errors.md, is of its class's family, and survives between processes."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from shoal import errors
from shoal.errors import CallReverted, ShoalError, revive

ROOT = Path(__file__).resolve().parents[2]
CODE = re.compile(r"SHOAL-[A-Z][0-9]{2}")
CATCH_ALL = re.compile(r"SHOAL-[A-Z]00")
FAMILY = re.compile(r"## ([A-Z]): .+ \(exit status (\d+)\)")
SECTION = re.compile(r"### (SHOAL-[A-Z][0-9]{2}) \w.*\w\.?")
BRANCH = re.compile(r"(?P<indent>[ │├└─]*)(?P<name>[A-Z]\w+)(?: +exit (?P<status>\d+) .+)?")


def letter(code: str) -> str:
    return code[len("SHOAL-")]


@cache
def sources() -> dict[Path, ast.Module]:
    return {path: ast.parse(path.read_text()) for path in sorted((ROOT / "src" / "shoal").rglob("*.py"))}


def literals(tree: ast.AST) -> Iterator[str]:
    """Codes that the program uses: texts that are a code and nothing else, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value):
            yield node.value


@cache
def used() -> frozenset[str]:
    found = {code for tree in sources().values() for code in literals(tree)}
    return frozenset(code for code in found if not CATCH_ALL.fullmatch(code))


@cache
def documented() -> dict[str, list[str]]:
    """Family heading -> the codes below it, in their order."""
    families: dict[str, list[str]] = {}
    for line in (ROOT / "docs" / "errors.md").read_text().splitlines():
        if line.startswith("## "):
            families[line] = []
        elif line.startswith("### "):
            match = SECTION.fullmatch(line)
            assert match, f"{line!r} is no heading of a section"
            families[list(families)[-1]].append(match[1])
    return families


def classes() -> dict[str, type[ShoalError]]:
    """Those of `shoal.errors`, by name."""
    return {
        name: value for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, ShoalError)
    }


def families() -> list[type[ShoalError]]:
    return [kind for kind in classes().values() if kind.__base__ is ShoalError]


@cache
def known_classes() -> dict[str, str]:
    """Every error class of the program, the adapters' too -> the letter of its family, told from the source."""
    letters = {name: letter(kind.default_code) for name, kind in classes().items()}
    definitions = [node for tree in sources().values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    while True:
        known = len(letters)
        for node in definitions:
            bases = [base.id for base in node.bases if isinstance(base, ast.Name) and base.id in letters]
            if bases and node.name not in letters:
                letters[node.name] = letters[bases[0]]
        if len(letters) == known:
            return letters


# ---------------------------------------------------------------- docs/errors.md


def test_every_code_has_one_section_and_every_section_a_code() -> None:
    sections = [code for codes in documented().values() for code in codes]
    assert sorted(sections) == sorted(used())


def test_codes_in_comments_and_docstrings_exist() -> None:
    for path in sources():
        mentioned = set(CODE.findall(path.read_text()))
        assert {code for code in mentioned if not CATCH_ALL.fullmatch(code)} <= used(), path


def test_sections_stand_in_order_below_their_family_with_its_exit_status() -> None:
    told = {}
    for heading, codes in documented().items():
        match = FAMILY.fullmatch(heading)
        assert match, heading
        told[match[1]] = int(match[2])
        assert codes == sorted(codes) and all(letter(code) == match[1] for code in codes), heading
    assert list(told) == sorted(told)
    assert told == {letter(kind.default_code): kind.exit_status for kind in [ShoalError, *families()]}


def test_every_section_says_what_happened_and_what_to_do() -> None:
    for section in re.split(r"^### ", (ROOT / "docs" / "errors.md").read_text(), flags=re.MULTILINE)[1:]:
        lines = section.split("\n## ")[0].strip().splitlines()
        starts = [line for line in lines[1:] if line.startswith("*")]
        assert starts[0].startswith("*What happened.*") and starts[-1].startswith("*What to do.*"), section
        assert all(line.startswith("*Is my money safe?*") for line in starts[1:-1]) and len(starts) <= 3, section
        assert len(lines) <= 8, section


# ---------------------------------------------------------------- the classes


def test_a_code_belongs_to_the_class_that_raises_it() -> None:
    letters, told = known_classes(), 0
    for path, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                name = getattr(node.func, "id", getattr(node.func, "attr", ""))
                for keyword in node.keywords if name in letters else ():
                    for code in literals(keyword.value) if keyword.arg == "code" else ():
                        assert letter(code) == letters[name], f"{path}:{node.lineno}"
                        told += 1
            elif isinstance(node, ast.ClassDef) and node.name in letters:
                for code in (code for each in node.body for code in _default_codes(each)):
                    assert letter(code) == letters[node.name], f"{path}:{node.lineno}"
                    told += 1
    assert told > 200, "most errors are raised by name, with their code beside it"


def _default_codes(statement: ast.stmt) -> list[str]:
    """What a class's body gives to `default_code`."""
    match statement:
        case ast.Assign(targets=[ast.Name("default_code")], value=value):
            return list(literals(value))
        case ast.AnnAssign(target=ast.Name("default_code"), value=ast.Constant() as value):
            return list(literals(value))
    return []


def test_families_have_letters_and_exit_statuses_of_their_own() -> None:
    kinds = [ShoalError, *families()]
    assert len({letter(kind.default_code) for kind in kinds}) == len(kinds)
    assert len({kind.exit_status for kind in kinds}) == len(kinds)
    assert all(CATCH_ALL.fullmatch(kind.default_code) for kind in kinds)
    for kind in classes().values():
        family = next((base for base in families() if issubclass(kind, base)), ShoalError)
        assert letter(kind.default_code) == letter(family.default_code) and kind.exit_status == family.exit_status


def test_the_tree_in_the_docstring_is_that_of_the_classes() -> None:
    drawing = [line.strip("\n") for line in (errors.__doc__ or "").splitlines() if line.startswith("    ")]
    found: dict[str, tuple[str, int | None]] = {}
    above: dict[int, str] = {}
    for line in drawing:
        match = BRANCH.fullmatch(line[4:])
        assert match, line
        depth = len(match["indent"]) // 4
        above[depth] = match["name"]
        assert match["name"] not in found
        found[match["name"]] = (above.get(depth - 1, ""), int(match["status"]) if match["status"] else None)
    assert found.keys() == classes().keys()
    for name, kind in classes().items():
        base, status = found[name]
        assert base == ("" if kind is ShoalError else kind.__base__.__name__)  # type: ignore[union-attr]
        assert status == (kind.exit_status if kind in families() else None), name


@pytest.mark.parametrize("name", sorted(classes()))
def test_an_error_comes_back_from_another_process_as_it_was(name: str) -> None:
    kind = classes()[name]
    if kind is CallReverted:
        error: ShoalError = CallReverted("Accept: no", reason="TooLate", hint="be quick", money="nothing was spent")
    else:
        error = kind("it is gone", hint="look again", money="nothing was spent")
    for code in (error.code, error.code[:-2] + "57"):
        error.code = code
        back = revive(json.loads(json.dumps(error.as_dict())))
        # A subclass shares its family's letter: it comes back as the family.
        expected = kind if kind is ShoalError or kind in families() else kind.__base__
        assert type(back) is expected
        assert back.as_dict() == error.as_dict()


def test_what_no_process_of_ours_printed_is_an_error_all_the_same() -> None:
    for value in ({}, {"code": "SHOAL-Z01"}, {"code": 7, "message": None}, {"code": "elsewhere", "hint": ["x"]}):
        assert type(revive(value)) is ShoalError
