"""Where a ledger is and who pays: what differs between devnet, Solo, testnet and mainnet."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from shoal.core.ids import entity_number
from shoal.errors import ConfigError

_HOST_PORT = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})\Z")

PRESETS: dict[str, dict[str, str]] = {
    "devnet": {},
    "solo": {
        "node": "localhost:35211",
        "node_account": "0.0.3",
        "mirror_grpc": "localhost:38081",
        "mirror_rest": "http://localhost:38081",
    },
    "testnet": {
        "mirror_grpc": "testnet.mirrornode.hedera.com:443",
        "mirror_rest": "https://testnet.mirrornode.hedera.com",
    },
    "mainnet": {
        "mirror_grpc": "mainnet.mirrornode.hedera.com:443",
        "mirror_rest": "https://mainnet-public.mirrornode.hedera.com",
    },
}
"""What need not be given. On testnet and mainnet the SDK knows the nodes, and gets their certificates from the mirror.
Solo's one-shot network publishes its mirror, REST and gRPC alike, on 38081."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """One network and one account on it.

    Args:
        node: `host:port` of a consensus node; empty where the network's own list is used.
        node_account: that node's account.
        mirror_rest: URL of the mirror node.
        operator_key: DER in hex, or 32 bytes in hex, best with its type: `ed25519:...` or `ecdsa:...`.
        contract_id: the market; None before it is deployed.
        timeout_s: how long a node or a mirror that does not answer is waited for, before anything was sent.

    >>> LedgerSettings("testnet", operator_id="0.0.5", operator_key="secret").complete().mirror_rest
    'https://testnet.mirrornode.hedera.com'
    >>> LedgerSettings("testnet", operator_id="0.0.5", operator_key="secret")  # doctest: +ELLIPSIS
    LedgerSettings(network='testnet', ... operator_id='0.0.5', contract_id=None, timeout_s=30.0)
    """

    network: Literal["devnet", "solo", "testnet", "mainnet"]
    node: str = ""
    node_account: str = "0.0.3"
    mirror_grpc: str = ""
    mirror_rest: str = ""
    operator_id: str = ""
    operator_key: str = field(default="", repr=False)
    contract_id: str | None = None
    timeout_s: float = 30.0

    def complete(self) -> LedgerSettings:
        """With the presets of the network where nothing was given, and checked.

        Raises:
            ConfigError: SHOAL-C01, something is missing; SHOAL-C02, something is malformed.
        """
        missing: dict[str, Any] = {
            name: text for name, text in PRESETS[self.network].items() if not getattr(self, name)
        }
        filled = dataclasses.replace(self, **missing)
        filled._check()
        return filled

    def _check(self) -> None:
        for name in ("mirror_rest", "operator_id", "operator_key", *(("node",) if self.network == "devnet" else ())):
            if not getattr(self, name):
                raise ConfigError(
                    f"the ledger's {name} is missing", code="SHOAL-C01", hint=f"set it for the network {self.network}"
                )
        for name in ("operator_id", "node_account", *(("contract_id",) if self.contract_id else ())):
            try:
                entity_number(getattr(self, name))
            except ValueError as error:
                raise ConfigError(f"{name}: {error}", code="SHOAL-C02") from None
        for name in ("node", "mirror_grpc"):
            value = getattr(self, name)
            if value and not _HOST_PORT.match(value):
                raise ConfigError(f"{name}: {value!r} is not host:port", code="SHOAL-C02")
        if not self.mirror_rest.startswith(("http://", "https://")):
            raise ConfigError("mirror_rest is not a URL that begins with http:// or https://", code="SHOAL-C02")
