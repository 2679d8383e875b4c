"""Where a ledger is and who pays: what differs between devnet, Solo, testnet and mainnet."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from shoal.core.ids import entity_number
from shoal.errors import ConfigError

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})\Z")

PRESETS: dict[str, dict[str, Any]] = {
    "devnet": {},
    "custom": {},
    "solo": {
        "node": "localhost:35211",
        "node_account": "0.0.3",
        "mirror_grpc": "localhost:38081",
        "mirror_rest": "http://localhost:38081",
    },
    "testnet": {
        "mirror_grpc": "testnet.mirrornode.hedera.com:443",
        "mirror_rest": "https://testnet.mirrornode.hedera.com",
        "mirror_margin_s": 2.0,
    },
    "mainnet": {
        "mirror_grpc": "mainnet.mirrornode.hedera.com:443",
        "mirror_rest": "https://mainnet-public.mirrornode.hedera.com",
        "mirror_margin_s": 2.0,
    },
}
"""What need not be given. On testnet and mainnet the SDK knows the nodes, and gets their certificates from the mirror.
Solo's one-shot network publishes its mirror, REST and gRPC alike, on 38081. The public mirrors are many machines behind
one name, of which some are behind the others: the newest two seconds are left to settle."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """One network and one account on it.

    Args:
        node: `host:port` of a consensus node; empty where the network's own list is used.
        node_account: that node's account.
        mirror_rest: URL of the mirror node.
        operator_key: DER in hex, or 32 bytes in hex, best with its type: `ed25519:...` or `ecdsa:...`.
        contract_id: the market; None before it is deployed.
        mirror_margin_s: what the mirror shows of the last seconds is not read yet; 0 takes the network's preset.
        timeout_s: how long a node or a mirror that does not answer is waited for, before anything was sent.

    >>> LedgerSettings("testnet", operator_id="0.0.5", operator_key="secret").complete().mirror_rest
    'https://testnet.mirrornode.hedera.com'
    >>> LedgerSettings("testnet", operator_id="0.0.5", operator_key="secret")  # doctest: +ELLIPSIS
    LedgerSettings(network='testnet', ... operator_id='0.0.5', contract_id=None, mirror_margin_s=0.0, timeout_s=30.0)
    """

    network: Literal["devnet", "solo", "testnet", "mainnet", "custom"]
    node: str = ""
    node_account: str = "0.0.3"
    mirror_grpc: str = ""
    mirror_rest: str = ""
    operator_id: str = ""
    operator_key: str = field(default="", repr=False)
    contract_id: str | None = None
    mirror_margin_s: float = 0.0
    timeout_s: float = 30.0

    def complete(self, *, operator: bool = True) -> LedgerSettings:
        """With the presets of the network where nothing was given, and checked.

        Args:
            operator: whether an account and its key are needed, and a node to send to; a reader needs a mirror only.

        Raises:
            ConfigError: SHOAL-C01, something is missing; SHOAL-C02, something is malformed.
        """
        missing: dict[str, Any] = {
            name: text for name, text in PRESETS[self.network].items() if not getattr(self, name)
        }
        filled = dataclasses.replace(self, **missing)
        filled._check(operator)
        return filled

    def _check(self, operator: bool) -> None:
        needed = ["mirror_rest", *(("operator_id", "operator_key") if operator else ())]
        if operator and self.network in ("devnet", "custom"):
            needed.append("node")
        for name in needed:
            if not getattr(self, name):
                raise ConfigError(
                    f"the ledger's {name} is missing", code="SHOAL-C01", hint=f"set it for the network {self.network}"
                )
        for name in ("operator_id", "node_account", "contract_id"):
            if not getattr(self, name):
                continue
            try:
                entity_number(getattr(self, name))
            except ValueError:
                # The value is not told: people paste a key here.
                raise ConfigError(f"{name} is not an entity id of the form 0.0.N", code="SHOAL-C02") from None
        for name in ("node", "mirror_grpc"):
            value = getattr(self, name)
            if value and not _HOST_PORT.match(value):
                raise ConfigError(f"{name}: {value!r} is not host:port", code="SHOAL-C02")
        if not self.mirror_rest.startswith(("http://", "https://")):
            raise ConfigError("mirror_rest is not a URL that begins with http:// or https://", code="SHOAL-C02")
