"""Sealing to recipients, and opening with an identity: age files by `pyrage`, guarded against hostile input."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyrage

from shoal.errors import CryptoError
from shoal.seal.files import whole_file
from shoal.seal.identity import identity_bytes, identity_text, recipient_text

RECIPIENTS = 128
"""Most recipients of one file: their header must fit HEADER_BYTES."""
HEADER_BYTES = 16 * 1024
SEGMENT_BYTES = 64 * 1024
TAG_BYTES = 16
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n(?:-> [!-~]+(?: [!-~]+)*\n(?:[A-Za-z0-9+/]{64}\n)*[A-Za-z0-9+/]{0,63}\n)+"
    rb"--- [A-Za-z0-9+/]{43}\n"
)


def seal(data: bytes, recipients: Sequence[bytes]) -> bytes:
    """Encrypt bytes to all recipients (32-byte X25519 public keys); any one of their identities opens it.

    >>> identity, recipient = new_identity()
    >>> open_(seal(b"where your chunks are", [recipient]), identity)
    b'where your chunks are'

    Raises:
        CryptoError: SHOAL-K04, one of the recipients is not a usable key.
    """
    with age_errors():
        sealed: bytes = pyrage.encrypt(data, _recipients(recipients))
    return sealed


def open_(sealed: bytes, identity: str) -> bytes:
    """Decrypt what was sealed to an identity.

    Raises:
        CryptoError: SHOAL-K01, it is sealed to another key; K03, damaged or not an age file; K04, not an identity.
    """
    check_header(sealed[:HEADER_BYTES])
    with age_errors():
        data: bytes = pyrage.decrypt(sealed, [parse_identity(identity)])
    return data


def seal_file(plain: Path, cipher: Path, recipients: Sequence[bytes]) -> None:
    """Encrypt a file of any size in constant memory. Raises as `seal`."""
    keys = _recipients(recipients)
    with plain.open("rb") as source, whole_file(cipher) as sink, age_errors():
        # Not encrypt_file: that keeps Python's lock from start to end, and the node would stand still.
        pyrage.encrypt_io(source, sink, keys)


def open_file(cipher: Path, out: Path, identity: str, *, max_bytes: int) -> None:
    """Decrypt a file into `out`, which appears only when all of it is authentic.

    Args:
        max_bytes: most plaintext accepted.

    Raises:
        CryptoError: as `open_`; SHOAL-K07, it is larger than allowed.
    """
    size, most = cipher.stat().st_size, max_bytes + overhead_bytes(max_bytes)
    if size > most:
        raise CryptoError(f"{cipher.name} has {size} bytes, at most {most} were expected", code="SHOAL-K07")
    with whole_file(out) as sink:
        decrypt_into(cipher, sink, identity)


def decrypt_with_key(key: str, cipher: Path, plain: Path) -> None:
    """Decrypt one object with the key that `derive_key` gave for it. Raises as `open_`."""
    with whole_file(plain) as sink:
        decrypt_into(cipher, sink, key)


def overhead_bytes(plain_size: int) -> int:
    """What age adds to a plaintext at most, with as many recipients as we accept."""
    return HEADER_BYTES + TAG_BYTES + TAG_BYTES * max(1, -(-plain_size // SEGMENT_BYTES))


def decrypt_into(cipher: Path, sink: Any, identity: str) -> None:
    """Write the plaintext to `sink` as it is authenticated, segment by segment; on an error some is written already."""
    key = parse_identity(identity)
    with cipher.open("rb") as source:
        check_header(_peek(source))
        with age_errors():
            pyrage.decrypt_io(source, sink, [key])


def check_header(start: bytes) -> None:
    """Refuse a header that is malformed or long before the library reads it.

    Its parser takes time quadratic in the header (100 kB: 24 s), so anyone's file could stop a node.
    """
    if _HEADER.match(start) is None:
        raise CryptoError("damaged, or not a binary age file", code="SHOAL-K03")


def parse_identity(identity: str) -> Any:
    return pyrage.x25519.Identity.from_str(identity_text(identity_bytes(identity)))


def _recipients(recipients: Sequence[bytes]) -> list[Any]:
    if not 0 < len(recipients) <= RECIPIENTS:
        raise CryptoError(f"1 to {RECIPIENTS} recipients, not {len(recipients)}", code="SHOAL-K04")
    return [pyrage.x25519.Recipient.from_str(recipient_text(each)) for each in recipients]


def _peek(source: BinaryIO) -> bytes:
    start = source.read(HEADER_BYTES)
    source.seek(0)
    return start


@contextmanager
def age_errors() -> Iterator[None]:
    try:
        yield
    except pyrage.DecryptError as error:
        if "No matching keys" in str(error):
            raise CryptoError("this is sealed to another key", code="SHOAL-K01") from None
        raise CryptoError("damaged, or not a binary age file", code="SHOAL-K03") from None
    except pyrage.EncryptError as error:
        raise CryptoError(f"cannot encrypt: {error}", code="SHOAL-K04") from None
    except OSError as error:
        if error.errno is not None:
            raise
        raise CryptoError("damaged: a part of it is not authentic", code="SHOAL-K03") from None
    except BaseException as error:
        # A panic in the library's Rust code derives from BaseException: it would end the node.
        if type(error).__name__ != "PanicException":
            raise
        raise CryptoError("the age library failed on this input", code="SHOAL-K03") from None
