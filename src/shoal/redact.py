"""Secrets that this process knows, and what looks like one: taken out of whatever is logged or shown.

Errors and logs name no secret by themselves; this is the net below, for what a library quotes, or a fault of ours.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import re

MASK = "********"
WINDOW = 16
"""A piece of a secret that is as long as this gives it away; shorter ones cannot be told from other text."""
SHORTEST = 12
"""What is shorter is a placeholder, or a word that stands in other texts too."""
_MOST_BYTES = 4_096
"""Of one secret."""
_RUN = re.compile(rf"[A-Za-z0-9+/_=.:-]{{{WINDOW},}}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")

_PATTERNS = (
    # A presigned URL is as good as a key for as long as it lives, and so is what stands before an @.
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?\"'<>]*)\?[^\s\"'<>]+", re.IGNORECASE), rf"\1?{MASK}"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/@\"'<>]+@", re.IGNORECASE), rf"\1{MASK}@"),
    (re.compile(r"([?&]|\b)(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+", re.IGNORECASE), rf"\1\2{MASK}"),
    (re.compile(r"AGE-SECRET-KEY-1[0-9A-Z]+", re.IGNORECASE), MASK),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    (re.compile(r"\b30[0-9a-f]{2}020100[0-9a-f]{32,}", re.IGNORECASE), MASK),
    (re.compile(r"\b(bearer\s+)[^\s\"',]+", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"), MASK),
)
"""What is secret wherever it comes from: presigned URLs, age identities, private keys, tokens."""

_windows: set[str] = set()
_short: set[str] = set()


def know(*secrets: str | bytes) -> None:
    """From now on these are taken out, in whatever form: as they are, in hexadecimal digits, in base64.

    >>> know("correct horse battery staple")
    >>> clean("it says correcthorse; or: correct horse battery staple")
    'it says correcthorse; or: ********'
    """
    for secret in secrets:
        for form in _forms(secret[:_MOST_BYTES]):
            if len(form) >= WINDOW and _RUN.fullmatch(form):
                _windows.update(form[index : index + WINDOW] for index in range(len(form) - WINDOW + 1))
            elif len(form) >= SHORTEST:
                _short.add(form)


def clean(text: str) -> str:
    """A text without what is secret.

    >>> clean("GET https://s3.example/b/chunk-0?X-Amz-Signature=00aa gave 403")
    'GET https://s3.example/b/chunk-0?******** gave 403'
    """
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    for secret in _short:
        text = text.replace(secret, MASK)
    return _RUN.sub(lambda run: MASK if _gives_away(run[0]) else run[0], text) if _windows else text


def _gives_away(run: str) -> bool:
    return any(run[index : index + WINDOW] in _windows for index in range(len(run) - WINDOW + 1))


def _forms(secret: str | bytes) -> set[str]:
    """How a secret may be written."""
    forms, raw = set[str](), list[bytes]()
    if isinstance(secret, str):
        forms |= {secret, secret.rpartition(":")[2]}  # `ed25519:` may stand before a key
        raw.append(secret.encode())
        digits = secret.rpartition(":")[2].removeprefix("0x")
        if _HEX.fullmatch(digits):
            raw.append(bytes.fromhex(digits))
        elif len(digits) >= WINDOW:
            with contextlib.suppress(binascii.Error, ValueError):
                raw.append(base64.b64decode(digits, validate=True))
    else:
        raw.append(secret)
    for data in raw:
        if len(data) >= WINDOW // 2:
            forms |= {data.hex(), data.hex().upper()}
            forms |= {base64.b64encode(data).decode().rstrip("="), base64.urlsafe_b64encode(data).decode().rstrip("=")}
    return forms
