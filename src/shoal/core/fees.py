"""What Hedera charges: the fee schedule in US dollars (HIP-1261), measured gas, and the exchange rate.

Known before anything is sent. Sums are in tinycents, 10^-8 of a US cent, as the network counts them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

TINYCENTS_PER_USD = 10**10

# HIP-1261 (Simple Fees): hiero-consensus-node's simpleFeesSchedules.json, August 2026.
_NODE, _INCLUDED_BYTES = 100_000, 1_350
_NETWORK_MULTIPLIER = 9
_PROCESSING_BYTE, _STATE_BYTE, _MESSAGE_BYTE = 10_000, 1_000_000, 6_800
_ACCOUNT, _TOPIC, _MESSAGE, _FILE, _CONTRACT = 499_000_000, 99_000_000, 7_000_000, 499_000_000, 9_999_000_000
_INCLUDED_MESSAGE_BYTES, _INCLUDED_STATE_BYTES = 100, 1_000
GAS_TINYCENTS = 852

ENVELOPE_BYTES = 170
"""What a signed transaction is larger than what it carries: id, node, fee and one signature; measured, rounded up."""

GAS: Mapping[str, int] = MappingProxyType(
    {
        "deploy": 4_318_515,
        "register": 113_893,
        "depositStake": 35_864,
        "unstake": 37_840,
        "withdraw": 40_969,
        "createTask": 207_703,
        "award": 65_037,
        "accept": 80_821,
        "ready": 39_021,
        "start": 36_926,
        "confirmCheckpoint": 134_167,
        "publishResult": 85_466,
        "confirmResult": 159_766,
        "settle": 78_801,
        "claim": 80_360,
        "expire": 69_068,
        "cancel": 88_898,
        "release": 54_665,
    }
)
"""Measured, the dearest case of each function (contracts/README.md; `tests/evm/test_build.py` keeps both true)."""


def create_account() -> int:
    return _ACCOUNT + _processing()


def create_topic(memo_bytes: int = 0) -> int:
    """A topic without keys.

    >>> create_topic() / TINYCENTS_PER_USD
    0.01
    """
    return _TOPIC + _processing(memo_bytes)


def message(size_bytes: int) -> int:
    """One transaction on a topic, of at most 1,024 bytes.

    >>> message(1_024) / TINYCENTS_PER_USD
    0.00142832
    """
    return _MESSAGE + max(0, size_bytes - _INCLUDED_MESSAGE_BYTES) * _MESSAGE_BYTE + _processing(size_bytes)


def file_part(size_bytes: int) -> int:
    """A file with its first part, or one more part."""
    return _FILE + max(0, size_bytes - _INCLUDED_STATE_BYTES) * _STATE_BYTE + _processing(size_bytes)


def create_contract(gas: int) -> int:
    return _CONTRACT + _processing() + gas * GAS_TINYCENTS


def call(gas: int) -> int:
    """A contract's function: nothing but its gas, unused gas is refunded (HIP-1249)."""
    return gas * GAS_TINYCENTS


def _processing(size_bytes: int = 0) -> int:
    """The node's part, and nine times that for the network; one signature is included."""
    extra = max(0, size_bytes + ENVELOPE_BYTES - _INCLUDED_BYTES) * _PROCESSING_BYTE
    return (_NODE + extra) * (1 + _NETWORK_MULTIPLIER)


@dataclass(frozen=True, slots=True)
class Rate:
    """The network's exchange rate: `cents` US cents are worth `hbars` HBAR."""

    cents: int
    hbars: int

    def tinybar(self, tinycents: int) -> int:
        """A sum in tinybar, rounded up. 10^8 tinycents to the cent, 10^8 tinybar to the HBAR: only the rate matters.

        >>> Rate(cents=12, hbars=1).tinybar(call(100_000))
        7100000
        """
        return -(-tinycents * self.hbars // self.cents)
