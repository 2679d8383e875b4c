"""Encryption: age files that any age program opens, deterministic ones that everybody can recompute, and slots."""

from __future__ import annotations

import base64
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal import seal
from shoal.errors import CryptoError
from shoal.seal import deterministic, envelope

SECRET = bytes(range(32))
LABEL = b"checkpoint/3"
SIZES = [0, 1, 15, 65_535, 65_536, 65_537, 200 * 1024]
LOW_ORDER = [
    bytes(32),
    b"\1" + bytes(31),
    bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
]
quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def leftovers(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.endswith(".part")]


def refuses(code: str, act: Callable[[], object]) -> None:
    with pytest.raises(CryptoError) as caught:
        act()
    assert caught.value.code == code, caught.value


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def encrypted(tmp_path: Path) -> Path:
    """A deterministic file of three segments."""
    plain = written(tmp_path / "plain", secrets.token_bytes(150_000))
    seal.encrypt_deterministic(SECRET, LABEL, plain, tmp_path / "cipher")
    return tmp_path / "cipher"


# ---------------------------------------------------------------- sealing


@quick
@given(st.binary(max_size=5_000), st.integers(1, 5))
def test_every_recipient_opens_and_nobody_else(data: bytes, count: int) -> None:
    pairs = [seal.new_identity() for _ in range(count)]
    sealed = seal.seal(data, [recipient for _, recipient in pairs])
    assert all(seal.open_(sealed, identity) == data for identity, _ in pairs)
    refuses("SHOAL-K01", lambda: seal.open_(sealed, seal.new_identity()[0]))


@quick
@given(st.integers(0, 10**6), st.integers(1, 255))
def test_a_change_anywhere_is_refused(where: int, change: int) -> None:
    identity, recipient = seal.new_identity()
    sealed = bytearray(seal.seal(b"x" * 300, [recipient]))
    sealed[where % len(sealed)] ^= change
    with pytest.raises(CryptoError):
        seal.open_(bytes(sealed), identity)


@pytest.mark.parametrize(
    "junk", [b"", b"x", b"age-encryption.org/v1\n", os.urandom(500), b"-----BEGIN AGE ENCRYPTED FILE"]
)
def test_junk_is_not_an_age_file(junk: bytes) -> None:
    refuses("SHOAL-K03", lambda: seal.open_(junk, seal.new_identity()[0]))


def test_a_hostile_header_costs_no_time() -> None:
    """The library takes minutes for this one: its parser is quadratic in the length of the header."""
    stanza = b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"
    lines = b"-> foo bar\n" + (b"A" * 64 + b"\n") * 20_000 + b"\n"
    for header in (stanza * 10_000, lines):
        file = b"age-encryption.org/v1\n" + header + b"--- " + b"A" * 43 + b"\n" + bytes(40)
        started = time.monotonic()
        refuses("SHOAL-K03", lambda file=file: seal.open_(file, seal.new_identity()[0]))  # type: ignore[misc]
        assert time.monotonic() - started < 1


def test_as_many_recipients_as_we_allow_fit_the_header() -> None:
    identity, recipient = seal.new_identity()
    sealed = seal.seal(b"x", [seal.new_identity()[1] for _ in range(envelope.RECIPIENTS - 1)] + [recipient])
    assert seal.open_(sealed, identity) == b"x"
    refuses("SHOAL-K04", lambda: seal.seal(b"x", [recipient] * (envelope.RECIPIENTS + 1)))
    refuses("SHOAL-K04", lambda: seal.seal(b"x", []))


@pytest.mark.parametrize("recipient", [*LOW_ORDER, b"", bytes(31), bytes(33)])
def test_a_key_that_protects_nothing_is_refused(recipient: bytes) -> None:
    refuses("SHOAL-K04", lambda: seal.seal(b"x", [recipient]))
    refuses("SHOAL-K04", lambda: seal.check_recipient(recipient))


@pytest.mark.parametrize("text", ["", "AGE-SECRET-KEY-1", "age1qqqq", "AGE-SECRET-KEY-1" + "Q" * 58])
def test_not_an_identity(text: str) -> None:
    refuses("SHOAL-K04", lambda: seal.open_(seal.seal(b"x", [seal.new_identity()[1]]), text))


def test_identities_are_those_of_age() -> None:
    theirs = pyrage.x25519.Identity.generate()
    recipient = seal.recipient_of(str(theirs))
    assert pyrage.decrypt(seal.seal(b"x", [recipient]), [theirs]) == b"x"
    identity, _ = seal.new_identity()
    assert str(pyrage.x25519.Identity.from_str(identity)) == identity


@pytest.mark.parametrize("size", SIZES)
def test_files(tmp_path: Path, size: int) -> None:
    identity, recipient = seal.new_identity()
    plain = written(tmp_path / "plain", secrets.token_bytes(size))
    seal.seal_file(plain, tmp_path / "cipher", [recipient])
    seal.open_file(tmp_path / "cipher", tmp_path / "out", identity, max_bytes=size)
    assert (tmp_path / "out").read_bytes() == plain.read_bytes()
    assert seal.open_((tmp_path / "cipher").read_bytes(), identity) == plain.read_bytes()
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    assert not leftovers(tmp_path)


def test_a_damaged_file_leaves_what_was_there(tmp_path: Path) -> None:
    identity, recipient = seal.new_identity()
    plain = written(tmp_path / "plain", secrets.token_bytes(300_000))
    seal.seal_file(plain, tmp_path / "cipher", [recipient])
    data = (tmp_path / "cipher").read_bytes()
    out = written(tmp_path / "out", b"before")
    for damaged in (data[:-1], data[:-70_000], data + b"x", data[:200_000] + b"\0" + data[200_001:]):
        (tmp_path / "cipher").write_bytes(damaged)
        refuses("SHOAL-K03", lambda: seal.open_file(tmp_path / "cipher", out, identity, max_bytes=10**6))
        assert out.read_bytes() == b"before"
    assert not leftovers(tmp_path)


def test_a_file_larger_than_promised_is_not_opened(tmp_path: Path) -> None:
    identity, recipient = seal.new_identity()
    plain = written(tmp_path / "plain", bytes(100_000))
    seal.seal_file(plain, tmp_path / "cipher", [recipient])
    out = tmp_path / "out"
    refuses("SHOAL-K07", lambda: seal.open_file(tmp_path / "cipher", out, identity, max_bytes=50_000))
    assert not out.exists()


# ---------------------------------------------------------------- deterministic


@pytest.mark.parametrize("size", SIZES)
def test_any_age_program_opens_it(tmp_path: Path, size: int) -> None:
    plain = written(tmp_path / "plain", secrets.token_bytes(size))
    cipher = tmp_path / "cipher"
    plain_hash, cipher_hash, cipher_size = seal.encrypt_deterministic(SECRET, LABEL, plain, cipher)
    identity = pyrage.x25519.Identity.from_str(seal.derive_key(SECRET, LABEL))
    assert pyrage.decrypt(cipher.read_bytes(), [identity]) == plain.read_bytes()
    assert (seal.sha256_file(plain), seal.sha256_file(cipher)) == (plain_hash, cipher_hash)
    assert cipher.stat().st_size == cipher_size
    assert seal.decrypt_deterministic(SECRET, LABEL, cipher, tmp_path / "out") == plain_hash
    assert (tmp_path / "out").read_bytes() == plain.read_bytes()
    seal.decrypt_with_key(seal.derive_key(SECRET, LABEL), cipher, tmp_path / "out2")
    assert (tmp_path / "out2").read_bytes() == plain.read_bytes()


def test_everyone_makes_the_same_bytes_for_ever(tmp_path: Path) -> None:
    """A change of this hash would part old nodes from new ones in the middle of a task."""
    plain = written(tmp_path / "plain", b"the weights of round 3")
    _, digest, _ = seal.encrypt_deterministic(SECRET, LABEL, plain, tmp_path / "one")
    seal.encrypt_deterministic(SECRET, LABEL, plain, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert digest.hex() == "f7ca2309ae91984bc6aef80ef13f275e5811167a1ccaba9c316df6d4c833cad1"


@quick
@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=20), st.binary(max_size=20))
def test_other_bytes_or_labels_share_nothing(
    tmp_path: Path, one: bytes, two: bytes, label: bytes, other: bytes
) -> None:
    def parts(label: bytes, data: bytes) -> tuple[bytes, bytes, bytes]:
        plain = written(tmp_path / "plain", data)
        seal.encrypt_deterministic(SECRET, label, plain, tmp_path / "cipher")
        cipher = (tmp_path / "cipher").read_bytes()
        return cipher[33:76], cipher[77:120], cipher[168:184]

    if (label, one) == (other, two):
        assert parts(label, one) == parts(other, two)
    else:
        assert all(a != b for a, b in zip(parts(label, one), parts(other, two), strict=True))


def test_other_secrets_and_labels_do_not_open_it(encrypted: Path) -> None:
    out = encrypted.with_name("out")
    refuses("SHOAL-K01", lambda: seal.decrypt_deterministic(bytes(32), LABEL, encrypted, out))
    refuses("SHOAL-K01", lambda: seal.decrypt_deterministic(SECRET, b"checkpoint/4", encrypted, out))
    refuses("SHOAL-K01", lambda: seal.decrypt_with_key(seal.derive_key(SECRET, b"result"), encrypted, out))
    assert not out.exists()
    with pytest.raises(ValueError, match="32 bytes"):
        seal.derive_key(b"short", LABEL)


REGIONS = {
    "version": 5, "share": 40, "body": 90, "mac": 140, "nonce": 170, "first segment": 1_000,
    "first tag": 184 + 65_536 + 3, "second segment": 100_000, "last segment": 184 + 2 * 65_552 + 10, "last tag": -1,
}  # fmt: skip


@pytest.mark.parametrize("where", REGIONS)
def test_a_change_in_any_region_is_refused(encrypted: Path, where: str) -> None:
    data = bytearray(encrypted.read_bytes())
    data[REGIONS[where]] ^= 1
    encrypted.write_bytes(data)
    out = encrypted.with_name("out")
    with pytest.raises(CryptoError):
        seal.decrypt_deterministic(SECRET, LABEL, encrypted, out)
    assert not out.exists()
    assert not leftovers(out.parent)


@pytest.mark.parametrize("keep", [0, 100, 168, 184, 200, 184 + 65_552, 184 + 2 * 65_552, -1])
def test_a_truncated_file_is_refused(encrypted: Path, keep: int) -> None:
    encrypted.write_bytes(encrypted.read_bytes()[:keep])
    with pytest.raises(CryptoError):
        seal.decrypt_deterministic(SECRET, LABEL, encrypted, encrypted.with_name("out"))


def test_only_the_one_encryption_is_accepted(tmp_path: Path) -> None:
    """Knowing the recipient is not enough: a valid age file that somebody else made is not an object."""
    recipient = seal.recipient_of(seal.derive_key(SECRET, LABEL))
    plain, cipher = written(tmp_path / "plain", b"x" * 1_000), tmp_path / "cipher"
    seal.seal_file(plain, cipher, [recipient])
    with pytest.raises(CryptoError):
        seal.decrypt_deterministic(SECRET, LABEL, cipher, tmp_path / "out")
    header, file_key, nonce = deterministic._derive(SECRET, LABEL, b"\7" * 32)
    payload = deterministic.ChaCha20Poly1305(deterministic._hkdf(file_key, nonce, b"payload", 32))
    cipher.write_bytes(header + payload.encrypt(bytes(11) + b"\1", b"x" * 1_000, None))
    assert seal.open_(cipher.read_bytes(), seal.derive_key(SECRET, LABEL)) == b"x" * 1_000
    refuses("SHOAL-K08", lambda: seal.decrypt_deterministic(SECRET, LABEL, cipher, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_a_plaintext_that_changes_underway_never_gets_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = written(tmp_path / "plain", b"x" * 1_000)

    def hash_then_change(path: Path) -> bytes:
        digest = seal.sha256_file(path)
        path.write_bytes(b"y" * 1_000)
        return digest

    monkeypatch.setattr(deterministic, "sha256_file", hash_then_change)
    refuses("SHOAL-K10", lambda: seal.encrypt_deterministic(SECRET, LABEL, plain, tmp_path / "cipher"))
    assert [path.name for path in tmp_path.iterdir()] == ["plain"]


# ---------------------------------------------------------------- slots


@quick
@given(st.integers(0, 300_000))
def test_a_slot_fits_every_ciphertext_of_its_size(tmp_path: Path, size: int) -> None:
    plain = written(tmp_path / "plain", bytes(size))
    cipher, padded, back = tmp_path / "cipher", tmp_path / "padded", tmp_path / "back"
    seal.encrypt_deterministic(SECRET, LABEL, plain, cipher)
    seal.pad_to(cipher, padded, seal.slot_bytes(size))
    assert padded.stat().st_size == seal.slot_bytes(size)
    seal.unpad(padded, back)
    assert back.read_bytes() == cipher.read_bytes()
    seal.seal_file(plain, cipher, [seal.new_identity()[1]])
    seal.pad_to(cipher, padded, seal.slot_bytes(size))


@pytest.mark.parametrize("spare", [0, 1, 70_000, 3_000_000])
def test_padding_is_exact(tmp_path: Path, spare: int) -> None:
    cipher = written(tmp_path / "cipher", secrets.token_bytes(1_000))
    seal.pad_to(cipher, tmp_path / "padded", 1_008 + spare)
    data = (tmp_path / "padded").read_bytes()
    assert data == (1_000).to_bytes(8, "big") + cipher.read_bytes() + bytes(spare)
    refuses("SHOAL-K09", lambda: seal.pad_to(cipher, tmp_path / "small", 1_007))
    assert not (tmp_path / "small").exists()


@pytest.mark.parametrize(
    "data",
    [b"", b"\0" * 7, (1).to_bytes(8, "big"), (2**64 - 1).to_bytes(8, "big") + b"x", bytes(8) + b"\0" * 99 + b"\1"],
)
def test_bad_padding_is_refused(tmp_path: Path, data: bytes) -> None:
    padded = written(tmp_path / "padded", data)
    refuses("SHOAL-K09", lambda: seal.unpad(padded, tmp_path / "out"))
    assert [path.name for path in tmp_path.iterdir()] == ["padded"]


def test_base64_of_the_header_is_canonical(encrypted: Path) -> None:
    """Unpadded, and with no stray bits in the last character: the strictest of parsers accepts it."""
    for line in encrypted.read_bytes()[:168].split(b"\n")[1:4]:
        word = line.split(b" ")[-1]
        assert base64.b64encode(base64.b64decode(word + b"=")).rstrip(b"=") == word
