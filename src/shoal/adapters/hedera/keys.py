"""The operator's key: read by its type, never by a guess, and compared with the one that the network has."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hiero_sdk_python.crypto.private_key import PrivateKey

from shoal.errors import ConfigError

_HEX = re.compile(r"(?:0x)?([0-9a-fA-F]+)\Z")
_RAW_DIGITS = 64
_TYPES = {"ED25519": "ed25519", "ECDSA_SECP256K1": "ecdsa"}


def new_key() -> str:
    """A new Ed25519 private key, as `operator_key` takes it."""
    return f"ed25519:{PrivateKey.generate_ed25519().to_string_raw()}"


def parse_key(text: str, *, raw_type: str | None = None) -> Any:
    """The SDK's private key of DER in hex, `ed25519:<hex>` or `ecdsa:<hex>`.

    Args:
        raw_type: what a key of 32 bytes without a type is taken for; None refuses it.

    Raises:
        ConfigError: SHOAL-C02, it is none of these. The message never holds the key.
    """
    prefix, colon, rest = text.strip().partition(":")
    kind, digits = (prefix.lower(), rest) if colon else (None, prefix)
    match = _HEX.match(digits)
    if match and kind in (None, "ed25519", "ecdsa"):
        is_raw = len(match[1]) == _RAW_DIGITS
        kind = kind or (raw_type if is_raw else "der")
        try:
            if kind == "der":
                return PrivateKey.from_string_der(match[1])
            if kind == "ed25519" and is_raw:
                return PrivateKey.from_string_ed25519(match[1])
            if kind == "ecdsa" and is_raw:
                return PrivateKey.from_string_ecdsa(match[1])
        except ValueError:
            pass  # the SDK's message may hold the key: ours below does not
    raise ConfigError(
        "the private key cannot be read",
        code="SHOAL-C02",
        hint="give DER in hex, or `ed25519:` or `ecdsa:` and 64 hexadecimal digits",
    ) from None


def key_of_account(text: str, account: Mapping[str, Any]) -> Any:
    """The operator's key, checked against what the mirror says of its account.

    Raises:
        ConfigError: SHOAL-C02, it cannot be read; SHOAL-C10, it is not this account's.
    """
    name, shown = account["account"], account.get("key") or {}
    raw_type = _TYPES.get(shown.get("_type", ""))
    if raw_type is None:
        raise ConfigError(
            f"account {name} is not controlled by one Ed25519 or ECDSA key",
            code="SHOAL-C10",
            hint="use an account with a single key",
        )
    key = parse_key(text, raw_type=raw_type)
    public = key.public_key()
    same_type = public.is_ed25519() == (raw_type == "ed25519")
    if not same_type or public.to_bytes_raw().hex() != str(shown.get("key", "")).lower().removeprefix("0x"):
        raise ConfigError(
            f"this key does not belong to {name}",
            code="SHOAL-C10",
            hint=f"{name} has an {raw_type} key; check operator_id, operator_key and network",
        )
    return key
