"""Hedera keys: trees of ed25519 and secp256k1 public keys, and whether a transaction's signatures satisfy them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, encode_dss_signature
from hiero_sdk_python.hapi.services import basic_types_pb2 as basic

from shoal.core.ids import keccak256

MAX_KEY_DEPTH = 15
"""As the real network: a deeper tree is refused, so that recursion is bounded."""
_SIMPLE = ("ed25519", "ECDSA_secp256k1")


@lru_cache(4096)
def _ed25519(raw: bytes) -> ed25519.Ed25519PublicKey:
    return ed25519.Ed25519PublicKey.from_public_bytes(raw)


@lru_cache(4096)
def _secp256k1(raw: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256K1(), raw)


@lru_cache(4096)
def evm_address(compressed: bytes) -> bytes:
    """The EVM address of a compressed secp256k1 key: the last 20 bytes of the hash of its coordinates.

    Raises:
        ValueError: the bytes are not a point of the curve.
    """
    numbers = _secp256k1(compressed).public_numbers()
    return keccak256(numbers.x.to_bytes(32, "big") + numbers.y.to_bytes(32, "big"))[12:]


def is_empty(key: Any) -> bool:
    """Whether this is the empty key list: that of a hollow account, which nobody can sign for yet."""
    return key.WhichOneof("key") == "keyList" and not key.keyList.keys


def is_valid(key: Any, depth: int = 0) -> bool:
    """Whether every leaf is a well-formed public key and every threshold can be met."""
    which = key.WhichOneof("key")
    if depth > MAX_KEY_DEPTH:
        return False
    if which == "ed25519":
        return len(key.ed25519) == 32
    if which == "ECDSA_secp256k1":
        try:
            return len(evm_address(key.ECDSA_secp256k1)) == 20 and len(key.ECDSA_secp256k1) == 33
        except ValueError:
            return False
    if which == "keyList":
        return bool(key.keyList.keys) and all(is_valid(part, depth + 1) for part in key.keyList.keys)
    if which == "thresholdKey":
        parts = key.thresholdKey.keys.keys
        in_range = 1 <= key.thresholdKey.threshold <= len(parts)
        return in_range and all(is_valid(part, depth + 1) for part in parts)
    return which in ("contractID", "delegatable_contract_id")


def count_keys(key: Any, depth: int = 0) -> int:
    """Leaves of a key tree: what the fee schedule charges for."""
    which = key.WhichOneof("key")
    if depth > MAX_KEY_DEPTH or which is None:
        return 0
    if which == "keyList":
        return sum(count_keys(part, depth + 1) for part in key.keyList.keys)
    if which == "thresholdKey":
        return sum(count_keys(part, depth + 1) for part in key.thresholdKey.keys.keys)
    return 1


class Signatures:
    """The signature map of one transaction; each signature is verified at most once.

    >>> Signatures(signed.sigMap.sigPair, signed.bodyBytes).satisfy(account_key)  # doctest: +SKIP
    True
    """

    def __init__(self, pairs: Sequence[Any], body: bytes) -> None:
        self._pairs = pairs
        self._body = body
        self._verified: dict[bytes, bool] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def satisfy(self, key: Any, depth: int = 0) -> bool:
        """Whether the key, all of a list, or enough of a threshold have signed."""
        which = key.WhichOneof("key")
        if depth > MAX_KEY_DEPTH:
            return False
        if which in _SIMPLE:
            return self._by(which, getattr(key, which))
        if which == "keyList":
            parts = key.keyList.keys
            return bool(parts) and all(self.satisfy(part, depth + 1) for part in parts)
        if which == "thresholdKey":
            threshold = key.thresholdKey
            met = sum(self.satisfy(part, depth + 1) for part in threshold.keys.keys)
            return bool(threshold.threshold >= 1 and met >= threshold.threshold)
        return False

    def key_of_address(self, address: bytes) -> Any | None:
        """The key that has this EVM address and signed: it completes a hollow account (HIP-583)."""
        for pair in self._pairs:
            raw = pair.pubKeyPrefix
            if pair.WhichOneof("signature") != "ECDSA_secp256k1" or len(raw) != 33:
                continue
            try:
                matches = evm_address(raw) == address
            except ValueError:
                continue
            if matches and self._by("ECDSA_secp256k1", raw):
                return basic.Key(ECDSA_secp256k1=raw)
        return None

    def _by(self, which: str, raw: bytes) -> bool:
        known = self._verified.get(raw)
        if known is None:
            known = self._verified[raw] = any(
                self._valid(which, raw, getattr(pair, which))
                for pair in self._pairs
                if pair.WhichOneof("signature") == which and raw.startswith(pair.pubKeyPrefix)
            )
        return known

    def _valid(self, which: str, raw: bytes, signature: bytes) -> bool:
        if len(signature) != 64:
            return False
        try:
            if which == "ed25519":
                _ed25519(raw).verify(signature, self._body)
            else:
                r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
                digest = keccak256(self._body)
                scheme = ec.ECDSA(Prehashed(hashes.SHA256()))  # SHA256 only says: the digest is 32 bytes
                _secp256k1(raw).verify(encode_dss_signature(r, s), digest, scheme)
        except (InvalidSignature, ValueError):
            return False
        return True
