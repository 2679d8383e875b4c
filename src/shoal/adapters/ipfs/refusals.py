"""What may be said when IPFS fails: errors that name a service and a CID, and never a key, a URL's query or a body."""

from __future__ import annotations

from shoal.errors import CryptoError, StorageError, UsageError

_KEY_HINT = "check JWT_TOKEN, or API_KEY and API_SECRET, and what the key may do in the service's own settings"


def unreachable(name: str, why: str) -> StorageError:
    return StorageError(
        f"cannot reach {name}: {why}", code="SHOAL-S20", hint="check the network connection and its URL"
    )


def refused(name: str, status: int, reason: str) -> StorageError:
    said = f"HTTP {status} {reason}".rstrip()
    return StorageError(f"{name} refuses: {said}", code="SHOAL-S21", hint=_KEY_HINT)


def too_many(name: str, wait_s: float | None) -> StorageError:
    wait = "a minute" if wait_s is None else f"{wait_s:.0f} s"
    return StorageError(
        f"{name} answers that there were too many requests", code="SHOAL-S22", hint=f"try again in {wait}"
    )


def missing(name: str, cid: str) -> StorageError:
    return StorageError(
        f"{name} does not have {cid}",
        code="SHOAL-S23",
        hint="check the CID; content that nobody keeps pinned is gone, and a private file needs its owner's key",
    )


def too_large(what: str, max_bytes: int) -> StorageError:
    return StorageError(
        f"{what} is larger than the {max_bytes} bytes that are allowed",
        code="SHOAL-S24",
        hint="nothing was kept; allow more if this is what you want",
    )


def odd_answer(name: str, why: str) -> StorageError:
    return StorageError(f"{name}: {why}", code="SHOAL-S25", hint="try again later; check that its URL is the right one")


def broken_off(name: str, why: str) -> StorageError:
    return StorageError(f"the transfer with {name} {why}", code="SHOAL-S26", hint="try again")


def not_pinned(name: str, cid: str) -> StorageError:
    return StorageError(f"{name} has no pin of {cid}", code="SHOAL-S27", hint="`shoal ipfs ls` lists what it has")


def not_a_file(cid: str, why: str) -> StorageError:
    return StorageError(
        f"{cid} cannot be read as a file: it is {why}", code="SHOAL-S28", hint="give the CID of a single file"
    )


def local(name: str, error: OSError) -> StorageError:
    return StorageError(
        f"cannot read or write {name}: {error.strerror}",
        code="SHOAL-S11",
        hint="check that the disk is not full and that this user owns the directory",
    )


def bad_bytes(name: str, cid: str) -> CryptoError:
    return CryptoError(
        f"{name} sent other bytes than {cid} names", code="SHOAL-K20", hint="nothing was kept; use another gateway"
    )


def unverified(name: str, cid: str) -> CryptoError:
    return CryptoError(
        f"whether {cid} is the CID of these bytes could not be found out: {name} cut the file in a way that is not "
        "known, and no gateway gave its blocks",
        code="SHOAL-K21",
        hint="set PINATA_GATEWAY, or ipfs_gateways to one that gives CARs; do not hand this CID on before",
    )


def no_cid(text: str, why: str) -> UsageError:
    return UsageError(
        f"{text[:80]!r} is not a CID that can be used: {why}", code="SHOAL-U20", hint="such as bafkrei..."
    )
