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
        "register": 96_414,
        "depositStake": 35_481,
        "requestUnstake": 56_130,
        "cancelUnstake": 28_542,
        "completeUnstake": 36_877,
        "withdraw": 40_794,
        "joinValidators": 134_824,
        "leaveValidators": 46_005,
        "createTask": 240_037,
        "cancel": 95_720,
        "award": 64_705,
        "accept": 79_921,
        "ready": 39_289,
        "start": 38_857,
        "confirmCheckpoint": 136_775,
        "requestDraw": 56_339,
        "draw": 370_161,
        "publishResult": 86_677,
        "confirmResult": 161_303,
        "accuse": 189_097,
        "challengeResult": 253_072,
        "drawJury": 590_913,
        "judge": 43_465,
        "resolve": 248_444,
        "settle": 92_455,
        "claim": 99_704,
        "claimAudits": 100_250,
        "expire": 58_527,
        "appeal": 259_226,
        "release": 42_656,
        "deploy": 8_919_123,
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
