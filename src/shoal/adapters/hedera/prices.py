"""What Hedera charges (Simple Fees, HIP-1261), to cap each transaction's fee and to say how much is missing."""

from __future__ import annotations

from dataclasses import dataclass

_GAS_TINYCENTS = 852
_TINYCENTS = {
    "account": 600_000_000,
    "topic": 110_000_000,
    "message": 25_000_000,
    "file": 4_100_000_000,
    "contract": 11_000_000_000,
    "call": 0,
}
"""An upper estimate per kind without gas, in 10^-8 US cents; `message` and `file` are for a full chunk or part."""
_MARGIN = 3
"""The exchange rate moves within the hour and extras (signatures, bytes) vary; a cap that is too low fails the call."""


@dataclass(frozen=True, slots=True)
class Rate:
    """The network's exchange rate: `cents` US cents are worth `hbars` HBAR."""

    cents: int
    hbars: int

    def price(self, kind: str, gas: int = 0) -> int:
        """Tinybar that a transaction of this kind costs at most, if nothing unusual is in it.

        >>> Rate(cents=12, hbars=1).price("call", gas=100_000)
        7100000
        """
        # 10^8 tinycents to the cent, 10^8 tinybar to the HBAR: only the rate matters.
        return (_TINYCENTS[kind] + gas * _GAS_TINYCENTS) * self.hbars // self.cents

    def cap(self, kind: str, gas: int = 0) -> int:
        """Tinybar that the network may charge at most."""
        return _MARGIN * self.price(kind, gas)
