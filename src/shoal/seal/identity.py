"""age's X25519 keys as text and as bytes: `AGE-SECRET-KEY-1...` opens what was sealed to `age1...`."""

from __future__ import annotations

import os

from bech32 import bech32_decode, bech32_encode, convertbits
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from shoal.errors import CryptoError

KEY_BYTES = 32
_RECIPIENT = "age"
_IDENTITY = "age-secret-key-"


def new_identity() -> tuple[str, bytes]:
    """A fresh key pair: the identity as text (secret), the recipient as 32 bytes (public).

    >>> identity, recipient = new_identity()
    >>> identity[:16], len(recipient)
    ('AGE-SECRET-KEY-1', 32)
    """
    secret = os.urandom(KEY_BYTES)
    return identity_text(secret), public_key(secret)


def recipient_of(identity: str) -> bytes:
    """The recipient that belongs to an identity. Raises CryptoError SHOAL-K04 when it is not an identity."""
    return public_key(identity_bytes(identity))


def check_recipient(recipient: bytes) -> None:
    """Refuse what nobody can hold the identity of.

    Recipients come from strangers. A point of low order makes every shared secret zero, so that anyone could open
    what is sealed to it; the age library ends the whole process when it meets one.

    Raises:
        CryptoError: SHOAL-K04, not 32 bytes, or a point of low order (RFC 7748, section 6.1).
    """
    if len(recipient) != KEY_BYTES:
        raise CryptoError(f"a recipient has {KEY_BYTES} bytes, not {len(recipient)}", code="SHOAL-K04")
    try:
        X25519PrivateKey.from_private_bytes(bytes(KEY_BYTES)).exchange(X25519PublicKey.from_public_bytes(recipient))
    except ValueError:
        raise CryptoError("a recipient's key is a point of low order: it protects nothing", code="SHOAL-K04") from None


def public_key(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def recipient_text(recipient: bytes) -> str:
    """`age1...`; raises as `check_recipient`."""
    check_recipient(recipient)
    return _encode(_RECIPIENT, recipient)


def parse_recipient(text: str) -> bytes:
    """The 32 bytes of `age1...`. Raises CryptoError SHOAL-K04 for anything else."""
    hrp, words = bech32_decode(text)
    recipient = convertbits(words, 5, 8, False) if hrp == _RECIPIENT and words is not None else None
    if recipient is None:
        raise CryptoError("not an age recipient: it must read age1...", code="SHOAL-K04")
    check_recipient(bytes(recipient))
    return bytes(recipient)


def identity_text(secret: bytes) -> str:
    return _encode(_IDENTITY, secret).upper()


def identity_bytes(identity: str) -> bytes:
    hrp, words = bech32_decode(identity)
    secret = convertbits(words, 5, 8, False) if hrp == _IDENTITY and words is not None else None
    if secret is None or len(secret) != KEY_BYTES:
        raise CryptoError("not an age identity: it must read AGE-SECRET-KEY-1...", code="SHOAL-K04")
    return bytes(secret)


def _encode(hrp: str, data: bytes) -> str:
    text: str = bech32_encode(hrp, convertbits(data, 8, 5))
    return text
