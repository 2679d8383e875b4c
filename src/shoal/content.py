"""The composition root of content on IPFS: which service keeps it, and where it is fetched from, by the settings."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path

from shoal.adapters.ipfs import KuboRpc, Pinata, TrustlessGateway
from shoal.errors import ConfigError
from shoal.ports import ContentSource, ContentStore, Pin, Progress
from shoal.settings import Settings


def open_store(settings: Settings) -> AbstractAsyncContextManager[ContentStore]:
    """The service that keeps this user's content.

    >>> async with open_store(Settings.load()) as store:  # doctest: +SKIP
    ...     pin = await store.add_bytes(b"hello", name="hello.txt")

    Raises:
        ConfigError: SHOAL-C01, none is set; C02, its URL is malformed.
    """
    has_key = settings.pinata_jwt.get_secret_value() or settings.pinata_api_key.get_secret_value()
    kind = settings.ipfs_store
    if kind == "auto":
        kind = "pinata" if has_key else "kubo" if settings.kubo_rpc else "auto"
    if kind == "pinata":
        return _pinata(settings)
    if kind == "kubo":
        settings.need("kubo_rpc")
        return KuboRpc(settings.kubo_rpc, timeout_s=settings.ipfs_timeout_s)
    raise ConfigError(
        "no IPFS service is set that could keep content",
        code="SHOAL-C01",
        hint="set JWT_TOKEN, or API_KEY and API_SECRET, of Pinata; or SHOAL_KUBO_RPC of a node of your own",
    )


def open_source(settings: Settings) -> AbstractAsyncContextManager[ContentSource]:
    """Where content is fetched from: the service that keeps this user's, or else public gateways, which need no key.

    Raises:
        ConfigError: SHOAL-C01, C02.
    """
    try:
        return open_store(settings)
    except ConfigError as error:
        if error.code != "SHOAL-C01" or settings.ipfs_store != "auto":
            raise
        return TrustlessGateway(settings.ipfs_gateways, timeout_s=settings.ipfs_timeout_s)


async def pin_file(settings: Settings, path: Path, *, name: str = "", progress: Progress | None = None) -> Pin:
    """Upload one file to the service that is set, verify the CID that it gives it, and leave it pinned.

    What is pinned on the public network can never be taken back: of private things, only ciphertext.

    Raises:
        ConfigError: SHOAL-C01, no service is set.
        UsageError, StorageError, CryptoError: as `ContentStore.add_file`.
    """
    async with open_store(settings) as store:
        return await store.add_file(path, name=name, progress=progress)


def is_public(settings: Settings) -> bool:
    """Whether what is added can be read by everybody: all but Pinata's private files."""
    uses_kubo = settings.ipfs_store == "kubo" or (
        settings.ipfs_store == "auto" and not settings.pinata_jwt.get_secret_value()
    )
    return uses_kubo or settings.pinata_network == "public"


def _pinata(settings: Settings) -> Pinata:
    return Pinata(
        jwt=settings.pinata_jwt.get_secret_value(),
        api_key=settings.pinata_api_key.get_secret_value(),
        api_secret=settings.pinata_api_secret.get_secret_value(),
        gateway=settings.pinata_gateway,
        gateway_key=settings.pinata_gateway_key.get_secret_value(),
        network=settings.pinata_network,
        others=settings.ipfs_gateways,
        notes=settings.dir / "uploads",
        timeout_s=settings.ipfs_timeout_s,
        api_url=settings.pinata_api_url,
        uploads_url=settings.pinata_uploads_url,
    )
