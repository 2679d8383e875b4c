"""IPFS: Pinata, one's own Kubo node, and gateways that need not be trusted; every CID is verified here."""

from shoal.adapters.ipfs.gateway import TrustlessGateway
from shoal.adapters.ipfs.kubo import KuboRpc
from shoal.adapters.ipfs.pinata import Pinata

__all__ = ["KuboRpc", "Pinata", "TrustlessGateway"]
