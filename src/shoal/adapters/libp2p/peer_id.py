"""The libp2p name of a node, computed from its Ed25519 signing key without importing libp2p."""

from __future__ import annotations

import base58

_IDENTITY_MULTIHASH = bytes([0x00, 0x24])
_ED25519_PROTOBUF = bytes([0x08, 0x01, 0x12, 0x20])


def peer_id_of(signing_key: bytes) -> str:
    """The peer id that only the holder of this signing key can prove (libp2p specs, `peer-ids.md`).

    Args:
        signing_key: 32 bytes, the public half, as registered on chain.

    >>> peer_id_of(bytes(32))
    '12D3KooW9pNAk8aiBuGVQtWRdbkLmo5qVL3e2h5UxbN2Nz9ttwiw'
    """
    if len(signing_key) != 32:
        raise ValueError(f"an Ed25519 key has 32 bytes, not {len(signing_key)}")
    return base58.b58encode(_IDENTITY_MULTIHASH + _ED25519_PROTOBUF + signing_key).decode("ascii")


def signing_key_of(peer_id: str) -> bytes:
    """The Ed25519 public key that a peer id holds. Raises ValueError for a peer id of another kind.

    >>> signing_key_of(peer_id_of(bytes(32))) == bytes(32)
    True
    """
    data = base58.b58decode(peer_id)
    prefix = _IDENTITY_MULTIHASH + _ED25519_PROTOBUF
    if not data.startswith(prefix) or len(data) != len(prefix) + 32:
        raise ValueError("not the peer id of an Ed25519 key")
    return data[len(prefix) :]
