"""The Python API for trio programs: `async with shoal.trio.local() as net`."""

from shoal.sdk.net import Net, Offer, connect, local
from shoal.sdk.run import Run

__all__ = ["Net", "Offer", "Run", "connect", "local"]
