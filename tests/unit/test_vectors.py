"""The test vectors that clients in other languages are built by are what this version makes and takes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from shoal.core.codec import CodecError, decode, encode
from shoal.core.entries import Entry, parse
from shoal.core.manifest import Manifest
from shoal.roles import bundle as b

VECTORS = Path(__file__).parents[1] / "vectors"
_SPEC = importlib.util.spec_from_file_location("vectors_make", VECTORS / "make.py")
assert _SPEC is not None and _SPEC.loader is not None
make: Any = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(make)


def read(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text())


@pytest.mark.parametrize("name", make.FILES)
def test_the_files_are_what_the_code_makes(name: str) -> None:
    assert (VECTORS / f"{name}.json").read_text() == make.text(name), "python tests/vectors/make.py"


def test_every_file_has_its_maker() -> None:
    assert {path.stem for path in VECTORS.glob("*.json")} == set(make.FILES)


def test_the_decoder_takes_what_is_accepted_and_nothing_that_is_refused() -> None:
    vectors = read("codec")
    for case in vectors["accepted"]:
        data = bytes.fromhex(case["cbor"])
        assert encode(decode(data, max_bytes=10_000)) == data
    for case in vectors["refused"]:
        with pytest.raises(CodecError):
            decode(bytes.fromhex(case["cbor"]), max_bytes=10_000)
            pytest.fail(case["why"])


def test_entries_manifests_and_bundles_read_back() -> None:
    chain = read("entries")
    for case in chain["chain"]:
        entry = parse(bytes.fromhex(case["data"]))
        assert isinstance(entry, Entry) and entry.signed_by(bytes.fromhex(chain["signing_key"]))
    for case in read("manifest")["manifests"]:
        assert Manifest.from_bytes(bytes.fromhex(case["cbor"])).hash.hex() == case["hash"]
    bundle = read("bundles")["bundle"]
    assert b.Bundle.from_bytes(bytes.fromhex(bundle["cbor"])).to_bytes().hex() == bundle["cbor"]
