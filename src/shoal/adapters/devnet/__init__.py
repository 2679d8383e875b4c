"""`shoal devnet`: a local Hedera network that speaks the real protocols, in one process and one SQLite file."""

from shoal.adapters.devnet.server import DevnetConfig, DevnetEndpoints, run

__all__ = ["DevnetConfig", "DevnetEndpoints", "run"]
