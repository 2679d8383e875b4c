"""The embedded S3 server: SeaweedFS's `weed mini`, hardened, on loopback, supervised by a process of ours."""

from shoal.adapters.seaweed.command import Layout
from shoal.adapters.seaweed.supervisor import Supervisor

__all__ = ["Layout", "Supervisor"]
