"""What a wallet signs to show whose account it is: the message's form, and the check by the account's key."""

from __future__ import annotations

from typing import Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from shoal.core.ids import keccak256

KeyKind = Literal["ED25519", "ECDSA_SECP256K1"]
_PREFIX = "\x19Hedera Signed Message:\n"


def prefixed(message: str) -> bytes:
    """What wallets sign for a message, so that no signature on one can be a transaction's.

    As `prefixMessageToSign` of hedera-wallet-connect, which counts characters.

    >>> prefixed("hello")
    b'\\x19Hedera Signed Message:\\n5hello'
    """
    return f"{_PREFIX}{len(message)}{message}".encode()


def signed_message(kind: KeyKind, key: bytes, message: str, signature: bytes) -> bool:
    """Whether a key signed a message, with the wallets' prefix or as it is.

    Args:
        key: 32 bytes, or a compressed point of 33.
        signature: 64 bytes; for ECDSA r and s of a signature over Keccak-256, as Hedera's keys make them.
    """
    return any(_verify(kind, key, data, signature) for data in (prefixed(message), message.encode()))


def _verify(kind: KeyKind, key: bytes, data: bytes, signature: bytes) -> bool:
    if len(signature) != 64:
        return False
    try:
        if kind == "ED25519":
            Ed25519PublicKey.from_public_bytes(key).verify(signature, data)
            return True
        r, s = (int.from_bytes(part, "big") for part in (signature[:32], signature[32:]))
        point = EllipticCurvePublicKey.from_encoded_point(SECP256K1(), key)
        # Prehashed asks for a hash of this length only; Keccak-256 is not among the library's own.
        point.verify(encode_dss_signature(r, s), keccak256(data), ECDSA(Prehashed(SHA256())))
        return True
    except (InvalidSignature, ValueError):
        return False
