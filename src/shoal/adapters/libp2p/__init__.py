"""The `Network` port over py-libp2p: discovery, gossip, requests and bulk streams, authenticated by Noise.

Names are imported on first use, so that `peer_id_of` does not pull in libp2p.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from shoal.adapters.libp2p.network import Libp2pNetwork, open_network

__all__ = ["Libp2pNetwork", "open_network"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from shoal.adapters.libp2p import network

        return getattr(network, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
