"""age files under a passphrase, and age's text form, which survives being pasted into a password manager."""

from __future__ import annotations

import base64
import binascii
import re

import pyrage

from shoal.errors import CryptoError
from shoal.seal.envelope import HEADER_BYTES, age_errors, check_header

_BEGIN, _END = "-----BEGIN AGE ENCRYPTED FILE-----", "-----END AGE ENCRYPTED FILE-----"
_COLUMNS = 64
_ARMOR = re.compile(rf"{_BEGIN}\s([A-Za-z0-9+/=\s]+){_END}")


def seal_with_passphrase(data: bytes, passphrase: str) -> bytes:
    """Encrypt; scrypt makes each guess take about a second.

    >>> open_with_passphrase(seal_with_passphrase(b"keys", "correct horse"), "correct horse")  # doctest: +SKIP
    b'keys'
    """
    with age_errors():
        sealed: bytes = pyrage.passphrase.encrypt(data, passphrase)
    return sealed


def open_with_passphrase(sealed: bytes, passphrase: str) -> bytes:
    """Decrypt.

    Raises:
        CryptoError: SHOAL-K01, another passphrase, which cannot be told from damage; K03, not an age file.
    """
    check_header(sealed[:HEADER_BYTES])
    try:
        with age_errors():
            data: bytes = pyrage.passphrase.decrypt(sealed, passphrase)
    except CryptoError:
        raise CryptoError(
            "this is not its passphrase, or it is damaged", code="SHOAL-K01", hint="try again, or take another copy"
        ) from None
    return data


def has_passphrase(sealed: bytes) -> bool:
    """Whether a passphrase opens it, and not a key."""
    return sealed.startswith(b"age-encryption.org/v1\n-> scrypt ")


def armor(sealed: bytes) -> str:
    """As text, which any age program reads."""
    text = base64.b64encode(sealed).decode()
    return "\n".join([_BEGIN, *(text[at : at + _COLUMNS] for at in range(0, len(text), _COLUMNS)), _END, ""])


def dearmor(data: bytes) -> bytes:
    """The inverse; what is binary already stays as it is.

    Raises:
        CryptoError: SHOAL-K03, it is neither.
    """
    if data.startswith(b"age-encryption.org/"):
        return data
    found = _ARMOR.search(data.decode("ascii", "replace"))
    try:
        if found is None:
            raise ValueError
        return base64.b64decode("".join(found[1].split()), validate=True)
    except (ValueError, binascii.Error):
        raise CryptoError("not an age file", code="SHOAL-K03", hint="give what `shoal keys backup` wrote") from None
