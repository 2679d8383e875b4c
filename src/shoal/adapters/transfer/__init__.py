"""Moving bytes by presigned URL over HTTP: verified, resumed, and never into a private network."""

from shoal.adapters.transfer.http import HttpTransfer

__all__ = ["HttpTransfer"]
