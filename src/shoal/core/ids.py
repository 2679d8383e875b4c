"""Identifiers used everywhere: accounts, addresses, hashes, task ids, and how they are written as text."""

from __future__ import annotations

import re
from typing import NewType

from Crypto.Hash import keccak

Address = NewType("Address", bytes)
"""20 bytes: an account as the contract sees it (`msg.sender`)."""
TaskId = NewType("TaskId", bytes)
"""32 bytes: keccak256(abi.encode(client address, manifest hash))."""
Digest = NewType("Digest", bytes)
"""32 bytes: a SHA-256."""

ZERO_DIGEST = Digest(bytes(32))

_ENTITY = re.compile(r"0\.0\.([0-9]{1,18})\Z")
_ADDRESS = re.compile(r"0x([0-9a-fA-F]{40})\Z")


def keccak256(data: bytes) -> bytes:
    """Keccak-256 as the EVM computes it.

    >>> keccak256(b"").hex()[:8]
    'c5d24601'
    """
    return keccak.new(digest_bits=256, data=data).digest()


def word(value: int | bytes) -> bytes:
    """One 32-byte ABI word: integers and addresses are left-padded, 32-byte values unchanged."""
    if isinstance(value, bytes):
        if len(value) not in (20, 32):
            raise ValueError(f"an ABI word is made of 20 or 32 bytes, not {len(value)}")
        return value.rjust(32, b"\0")
    return value.to_bytes(32, "big")


def task_id(client: Address, manifest: Digest) -> TaskId:
    """The id that `createTask` gives to a task: the same client and manifest can never make two tasks."""
    return TaskId(keccak256(word(client) + word(manifest)))


def entity_number(text: str) -> int:
    """The number of a Hedera entity.

    >>> entity_number("0.0.1001")
    1001
    """
    match = _ENTITY.match(text)
    if not match:
        raise ValueError(f"{text!r} is not an entity id of the form 0.0.N")
    return int(match[1])


def address_text(address: bytes) -> str:
    """`0x` and 40 hexadecimal digits."""
    return "0x" + address.hex()


def account_text(address: bytes) -> str:
    """What people know an account by: its id where the address holds it, else the beginning of the address.

    >>> account_text(bytes(18) + bytes([3, 233]))
    '0.0.1001'
    """
    number = int.from_bytes(address, "big")
    return f"0.0.{number}" if not any(address[:12]) else address_text(address)[:14]


def parse_address(text: str) -> Address:
    """The inverse of `address_text`; raises ValueError on anything else."""
    match = _ADDRESS.match(text)
    if not match:
        raise ValueError(f"{text!r} is not a 20-byte address")
    return Address(bytes.fromhex(match[1]))


def short(value: bytes) -> str:
    """The first 12 hexadecimal digits, for people."""
    return value.hex()[:12]
