"""Deterministic age files: whoever has the same plaintext and secret makes the same ciphertext, byte for byte.

Why: trainers must be able to check the *hash* of an object that another one published, from their own plaintext. So
nothing in the file may be random. In the manner of SIV (Rogaway and Shrimpton, "A Provable-Security Treatment of the
Key-Wrap Problem", 2006) everything random is derived from the plaintext instead:

    identity                                 = HKDF-SHA256(secret, "... identity" | label)
    file key (16) | ephemeral (32) | nonce (16) = HKDF-SHA256(secret, "... object" | SHA-256(plaintext) | label)

Two different plaintexts, or one under two labels, never share a key, an ephemeral or a nonce unless SHA-256 collides,
so repeating an encryption is never a reuse of a nonce for other bytes. What is given up, by design: who sees two
objects of one label learns whether their plaintexts are equal (they have equal hashes); who has the secret can test a
guess of the plaintext. And what is gained: `decrypt_deterministic` recomputes header and nonce, so it accepts exactly
one ciphertext of a plaintext, made by someone who has the secret.

The file is an ordinary age v1 file with one X25519 recipient (C2SP `age.md`), which every age program opens with
`derive_key`'s identity.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shoal.errors import CryptoError
from shoal.seal.envelope import SEGMENT_BYTES, decrypt_into
from shoal.seal.files import sha256_file, whole_file
from shoal.seal.identity import identity_text, public_key

SECRET_BYTES = 32
NONCE_BYTES = 16
_FILE_KEY_BYTES = 16
_IDENTITY_INFO = b"shoal/seal/1 identity\0"
_OBJECT_INFO = b"shoal/seal/1 object\0"
_X25519_INFO = b"age-encryption.org/v1/X25519"
_HEADER = re.compile(
    rb"age-encryption\.org/v1\n-> X25519 [A-Za-z0-9+/]{43}\n[A-Za-z0-9+/]{43}\n--- [A-Za-z0-9+/]{43}\n"
)
HEADER_BYTES = 168
"""Length of every header of ours."""


def encrypt_deterministic(secret: bytes, label: bytes, plain: Path, cipher: Path) -> tuple[bytes, bytes, int]:
    """Encrypt a file in constant memory; returns (SHA-256 of the plaintext, SHA-256 of the ciphertext, its bytes).

    >>> encrypt_deterministic(secret, b"checkpoint/3", Path("weights"), Path("object"))  # doctest: +SKIP
    (b'...', b'...', 168_344)

    Args:
        secret: 32 bytes, shared by all who may read and recompute.
        label: what this is, unique among the uses of the secret that must not be linked.

    Raises:
        CryptoError: SHOAL-K10, the file changed while it was read.
    """
    digest = sha256_file(plain)
    start, file_key, nonce = _derive(secret, label, digest)
    plain_hash, cipher_hash, size = hashlib.sha256(), hashlib.sha256(start), len(start)
    with plain.open("rb") as source, whole_file(cipher) as sink:
        sink.write(start)
        for segment in _segments(source, plain_hash, ChaCha20Poly1305(_hkdf(file_key, nonce, b"payload", 32))):
            cipher_hash.update(segment)
            size += len(segment)
            sink.write(segment)
        if plain_hash.digest() != digest:
            # Key and nonce belong to the bytes that were hashed first: other bytes under them must not get out.
            raise CryptoError(f"{plain.name} changed while it was encrypted", code="SHOAL-K10")
    return digest, cipher_hash.digest(), size


def decrypt_deterministic(secret: bytes, label: bytes, cipher: Path, plain: Path) -> bytes:
    """Undo `encrypt_deterministic`; returns the plaintext's SHA-256. On an error `plain` is not written.

    Raises:
        CryptoError: SHOAL-K01, another secret or label; K03, damaged; K08, a valid age file, but not the one that
            encrypt_deterministic makes of this plaintext.
    """
    with cipher.open("rb") as file:
        start = file.read(HEADER_BYTES + NONCE_BYTES)
    if _HEADER.match(start) is None:
        raise CryptoError("damaged, or not a deterministic age file", code="SHOAL-K03")
    with whole_file(plain) as file:
        sink = _HashedWriter(file)
        decrypt_into(cipher, sink, derive_key(secret, label))
        digest = sink.sha256.digest()
        if _derive(secret, label, digest)[0] != start:
            raise CryptoError(f"{cipher.name} is not the one encryption of its plaintext", code="SHOAL-K08")
    return digest


def derive_key(secret: bytes, label: bytes) -> str:
    """The identity, as text, that opens the objects of one label and no others: to be sealed to whoever may read."""
    return identity_text(_identity(secret, label))


def _identity(secret: bytes, label: bytes) -> bytes:
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"a secret has {SECRET_BYTES} bytes")
    return _hkdf(secret, b"", _IDENTITY_INFO + label, 32)


def _derive(secret: bytes, label: bytes, digest: bytes) -> tuple[bytes, bytes, bytes]:
    """Header and nonce as they stand in the file, the file key, and the nonce."""
    recipient = public_key(_identity(secret, label))
    material = _hkdf(secret, b"", _OBJECT_INFO + digest + label, _FILE_KEY_BYTES + 32 + NONCE_BYTES)
    file_key, ephemeral, nonce = material[:16], material[16:48], material[48:]
    share = public_key(ephemeral)
    shared = X25519PrivateKey.from_private_bytes(ephemeral).exchange(X25519PublicKey.from_public_bytes(recipient))
    wrap = ChaCha20Poly1305(_hkdf(shared, share + recipient, _X25519_INFO, 32))
    body = wrap.encrypt(bytes(12), file_key, None)
    header = b"age-encryption.org/v1\n-> X25519 %s\n%s\n---" % (_base64(share), _base64(body))
    mac = hmac.HMAC(_hkdf(file_key, b"", b"header", 32), hashes.SHA256())
    mac.update(header)
    header += b" %s\n" % _base64(mac.finalize())
    assert len(header) == HEADER_BYTES, "one stanza of fixed length"
    return header + nonce, file_key, nonce


def _segments(source: BinaryIO, plain_hash: hashlib._Hash, aead: ChaCha20Poly1305) -> Iterator[bytes]:
    """STREAM (Hoang and others, 2015): 11 bytes of counter, one that marks the last segment."""
    counter, segment = 0, source.read(SEGMENT_BYTES)
    while True:
        following = source.read(SEGMENT_BYTES)
        plain_hash.update(segment)
        yield aead.encrypt(counter.to_bytes(11, "big") + (b"\0" if following else b"\1"), segment, None)
        if not following:
            return
        counter, segment = counter + 1, following


class _HashedWriter:
    """Passes bytes on to a file and keeps their hash."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.sha256.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()


def _hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, info).derive(key)


def _base64(data: bytes) -> bytes:
    return base64.b64encode(data).rstrip(b"=")
