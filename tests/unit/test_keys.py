"""A node's secrets: made once, by one process, readable by one user, and never replaced."""

from __future__ import annotations

import multiprocessing
import os
import pickle
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shoal import seal
from shoal.adapters.keys import AGE_FILE, SIGNING_FILE, FileKeys
from shoal.core import limits
from shoal.errors import ConfigError, CryptoError


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    FileKeys.load(tmp_path / "keys")
    return tmp_path / "keys"


def refused(directory: Path) -> ConfigError:
    before = {path: path.read_bytes() for path in directory.iterdir()} if directory.is_dir() else {}
    with pytest.raises(ConfigError) as caught:
        FileKeys.load(directory)
    after = {path: path.read_bytes() for path in directory.iterdir()} if directory.is_dir() else {}
    assert before == after, "never touched"
    assert caught.value.hint
    return caught.value


def test_they_are_made_once(directory: Path) -> None:
    one, two = FileKeys.load(directory), FileKeys.load(directory)
    assert (one.signing_key, one.recipient, one.network_seed()) == (two.signing_key, two.recipient, two.network_seed())
    assert directory.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()} == {
        SIGNING_FILE: 0o600,
        AGE_FILE: 0o600,
    }
    assert [path.name for path in directory.parent.iterdir()] == ["keys"], "no temporary copy is left"


def test_an_empty_directory_is_filled(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir(mode=0o755)
    FileKeys.load(tmp_path / "keys")
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


def test_two_nodes_differ(directory: Path, tmp_path: Path) -> None:
    other, own = FileKeys.load(tmp_path / "other"), FileKeys.load(directory)
    assert len({own.signing_key, own.recipient, other.signing_key, other.recipient}) == 4


def test_signatures_are_ed25519(directory: Path) -> None:
    keys = FileKeys.load(directory)
    Ed25519PublicKey.from_public_bytes(keys.signing_key).verify(keys.sign(b"entry"), b"entry")
    assert Ed25519PrivateKey.from_private_bytes(keys.network_seed()).public_key().public_bytes_raw() == keys.signing_key


def test_envelopes(directory: Path, tmp_path: Path) -> None:
    keys, other = FileKeys.load(directory), FileKeys.load(tmp_path / "other")
    envelope = seal.seal(b"a URL", [keys.recipient])
    assert keys.open(envelope) == b"a URL"
    for code, data, opener in [
        ("SHOAL-K01", envelope, other),
        ("SHOAL-K03", envelope[:-1], keys),
        ("SHOAL-K03", b"", keys),
        ("SHOAL-K07", bytes(limits.BUNDLE_BYTES + 1), keys),
    ]:
        with pytest.raises(CryptoError) as caught:
            opener.open(data)
        assert caught.value.code == code


def test_the_files_are_of_common_formats(directory: Path) -> None:
    signer = serialization.load_pem_private_key((directory / SIGNING_FILE).read_bytes(), password=None)
    assert isinstance(signer, Ed25519PrivateKey)
    identity = pyrage.x25519.Identity.from_str((directory / AGE_FILE).read_text().strip())
    assert pyrage.decrypt(seal.seal(b"x", [FileKeys.load(directory).recipient]), [identity]) == b"x"


def test_no_secret_is_shown_or_copied(directory: Path) -> None:
    keys = FileKeys.load(directory)
    identity = (directory / AGE_FILE).read_text().strip()
    for text in (repr(keys), str(keys), f"{keys}"):
        assert keys.network_seed().hex() not in text
        assert identity not in text
        assert keys.signing_key.hex() in text
    with pytest.raises(TypeError):
        pickle.dumps(keys)


@pytest.mark.parametrize("name", [SIGNING_FILE, AGE_FILE])
def test_a_missing_file_is_not_made_again(directory: Path, name: str) -> None:
    (directory / name).unlink()
    assert refused(directory).code == "SHOAL-C20"


def test_a_directory_of_other_things_is_not_used(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "notes.txt").write_text("x")
    assert refused(tmp_path / "keys").code == "SHOAL-C20"


@pytest.mark.parametrize("name", [SIGNING_FILE, AGE_FILE])
@pytest.mark.parametrize("content", [b"", b"\n", b"\xff" * 50, b"# only a comment\n", b"x" * 5_000])
def test_damaged_content(directory: Path, name: str, content: bytes) -> None:
    (directory / name).write_bytes(content)
    assert refused(directory).code == "SHOAL-C21"


@pytest.mark.parametrize("name", [SIGNING_FILE, AGE_FILE])
def test_one_wrong_character_is_noticed(directory: Path, name: str) -> None:
    """32 bytes are always some key: without a check a node would come back as another one."""
    path = directory / name
    data = bytearray(path.read_bytes())
    index = len(data) - 40 if name == SIGNING_FILE else 30
    data[index] = ord("q") if data[index] != ord("q") else ord("p")
    path.write_bytes(data)
    assert refused(directory).code == "SHOAL-C21"


def test_a_key_of_another_kind(directory: Path) -> None:
    pem = X25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / SIGNING_FILE).write_bytes(pem)
    assert refused(directory).code == "SHOAL-C21"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
@pytest.mark.parametrize("name", [SIGNING_FILE, AGE_FILE])
def test_files_that_others_can_read(directory: Path, name: str, mode: int) -> None:
    (directory / name).chmod(mode)
    error = refused(directory)
    assert error.code == "SHOAL-C22"
    assert error.hint == f"chmod 600 {directory / name}"


def test_a_directory_that_others_can_write(directory: Path) -> None:
    directory.chmod(0o770)
    assert refused(directory).hint == f"chmod 700 {directory}"


def test_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file")
    assert refused(tmp_path / "keys").code == "SHOAL-C23"


def _load(directory: str, start: str) -> bytes:
    while not Path(start).exists():
        os.sched_yield()
    keys = FileKeys.load(Path(directory))
    return keys.signing_key + keys.recipient


def test_processes_that_race_get_the_same_keys(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        for attempt in range(5):
            start = tmp_path / f"start-{attempt}"
            results = [pool.apply_async(_load, (str(tmp_path / f"keys-{attempt}"), str(start))) for _ in range(4)]
            start.touch()
            assert len({result.get(20) for result in results}) == 1
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
