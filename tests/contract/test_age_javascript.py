"""The browser's age library opens all that we seal, and we open what it seals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from shoal import seal

LIBRARY = Path(__file__).parents[1] / "js" / "node_modules" / "age-encryption"
SIZES = [0, 1, 65_535, 65_536, 65_537, 200 * 1024]
SCRIPT = """
import * as age from "age-encryption";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
const work = JSON.parse(readFileSync(process.argv[2]));
const hashes = [];
for (const { identity, file } of work.cases) {
  const decrypter = new age.Decrypter();
  decrypter.addIdentity(identity);
  hashes.push(createHash("sha256").update(await decrypter.decrypt(readFileSync(file))).digest("hex"));
}
const encrypter = new age.Encrypter();
encrypter.addRecipient(await age.identityToRecipient(work.cases[0].identity));
writeFileSync(work.out, await encrypter.encrypt(new Uint8Array(70000).fill(7)));
console.log(JSON.stringify(hashes));
"""
pytestmark = pytest.mark.skipif(
    not LIBRARY.is_dir() or shutil.which("node") is None, reason="needs node, and `npm ci` in tests/js"
)


def test_both_ways(tmp_path: Path) -> None:
    cases, expected = [], []
    secret, (identity, recipient) = os.urandom(32), seal.new_identity()
    for size in SIZES:
        plain = tmp_path / f"{size}.plain"
        plain.write_bytes(os.urandom(size))
        sealed, same = tmp_path / f"{size}.sealed", tmp_path / f"{size}.same"
        seal.seal_file(plain, sealed, [seal.new_identity()[1], recipient])
        seal.encrypt_deterministic(secret, b"result", plain, same)
        cases += [
            {"identity": identity, "file": str(sealed)},
            {"identity": seal.derive_key(secret, b"result"), "file": str(same)},
        ]
        expected += [seal.sha256_file(plain).hex()] * 2
    work, script = tmp_path / "work.json", tmp_path / "open.mjs"
    work.write_text(json.dumps({"cases": cases, "out": str(tmp_path / "theirs.age")}))
    script.write_text(SCRIPT)
    (tmp_path / "node_modules").symlink_to(LIBRARY.parent)
    done = subprocess.run(["node", str(script), str(work)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected
    assert seal.open_((tmp_path / "theirs.age").read_bytes(), identity) == b"\7" * 70_000
