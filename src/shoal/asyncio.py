"""The Python API for asyncio programs: `async with shoal.asyncio.local() as net`."""

from shoal.sdk.aio import Net, Offer, Run, connect, local

__all__ = ["Net", "Offer", "Run", "connect", "local"]
