"""The manifest: what a task trains, on what, and by which rules; content-addressed, its hash is on chain.

Prices, deadlines, rounds and seats stand in the contract's `Plan` and nowhere else.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from shoal.core import limits
from shoal.core.codec import CodecError, decode, digest, encode
from shoal.core.ids import Digest


@dataclass(frozen=True, slots=True)
class Blob:
    """An object in storage, named by the SHA-256 of its bytes (always ciphertext, or a public document)."""

    sha256: Digest
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ChunkInfo:
    """One encrypted piece of the data set."""

    blob: Blob
    rows: int


@dataclass(frozen=True, slots=True)
class Rules:
    """How the fold judges time. Seconds of consensus time."""

    round_timeout_s: int
    """A holder that has not delivered its chunk by then loses its seat."""
    aggregate_timeout_s: int
    """An aggregator that is silent for this long loses its seat."""
    confirm_every: int
    """Every so many rounds a quorum confirms the checkpoint on chain."""


@dataclass(frozen=True, slots=True)
class AuditRules:
    """How audits are judged. Seconds of consensus time."""

    open_s: int
    """A trainer that has not opened a drawn unit by then is a no-show; and so long the last draw is waited for."""
    verdict_s: int
    """What a validator has for each of its units, from their opening."""
    tolerance_ppm: int
    """How far an update may be from what the validator finds, in millionths of its norm: other processors add up in
    another order. What is nearer was trained, what is further was not."""


@dataclass(frozen=True, slots=True)
class Manifest:
    nonce: bytes
    """16 random bytes: the same training can be bought twice."""
    network: str
    contract: str
    document: Blob
    """The graph document, in clear: bidders preflight it."""
    initial: Digest
    """SHA-256 of the initial checkpoint in clear."""
    initial_blob: Blob
    recipe: dict[str, Any]
    chunks: tuple[ChunkInfo, ...]
    validation: ChunkInfo
    slot_bytes: int
    """Size of every update, checkpoint and result object."""
    rules: Rules
    summary: dict[str, Any]
    """For people: name, rows, classes, shape. Never data."""
    audit: AuditRules | None = None
    via: bytes = b""
    """Signing key of the node that serves the document and takes opened bids in the client's place; may be empty."""

    def to_bytes(self) -> bytes:
        audit = self.audit
        return encode(
            {
                "v": 1,
                "nonce": self.nonce,
                "network": self.network,
                "contract": self.contract,
                "document": _blob(self.document),
                "initial": self.initial,
                "initial_blob": _blob(self.initial_blob),
                "recipe": self.recipe,
                "chunks": [[*_blob(chunk.blob), chunk.rows] for chunk in self.chunks],
                "validation": [*_blob(self.validation.blob), self.validation.rows],
                "slot_bytes": self.slot_bytes,
                "rules": [self.rules.round_timeout_s, self.rules.aggregate_timeout_s, self.rules.confirm_every],
                "summary": self.summary,
                **({"via": self.via} if self.via else {}),
            }
            | ({"audit": [audit.open_s, audit.verdict_s, audit.tolerance_ppm]} if audit else {})
        )

    @property
    def hash(self) -> Digest:
        return digest(self.to_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Manifest:
        """Parse a stranger's manifest.

        Raises:
            CodecError: malformed, out of bounds, or not canonical.
        """
        value = decode(data, max_bytes=limits.LOG_ENTRY_BYTES)
        try:
            version = value["v"]
            manifest = cls(
                nonce=_sized(value["nonce"], 16),
                network=_text(value["network"]),
                contract=_text(value["contract"]),
                document=_parse_blob(value["document"], limits.DOCUMENT_BYTES),
                initial=Digest(_sized(value["initial"], 32)),
                initial_blob=_parse_blob(value["initial_blob"], limits.WEIGHTS_BYTES),
                recipe=_table(value["recipe"]),
                chunks=tuple(_parse_chunk(item) for item in value["chunks"]),
                validation=_parse_chunk(value["validation"]),
                slot_bytes=_whole(value["slot_bytes"], 1, limits.WEIGHTS_BYTES),
                rules=_parse_rules(value["rules"]),
                summary=_table(value["summary"]),
                audit=_parse_audit(value["audit"]) if "audit" in value else None,
                via=_sized(value["via"], 32) if "via" in value else b"",
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CodecError(f"not a manifest: {error}") from error
        if version != 1 or not 1 <= len(manifest.chunks) <= limits.CHUNKS:
            raise CodecError("not a manifest of this version, or of too many chunks")
        if manifest.to_bytes() != data:
            raise CodecError("a manifest with fields that nobody reads")
        return manifest


def _blob(blob: Blob) -> list[Any]:
    return [blob.sha256, blob.size_bytes]


def _parse_blob(value: Any, max_bytes: int) -> Blob:
    sha256, size = value
    return Blob(Digest(_sized(sha256, 32)), _whole(size, 1, max_bytes))


def _parse_chunk(value: Any) -> ChunkInfo:
    sha256, size, rows = value
    # Encryption adds a header and a tag per 64 KiB.
    return ChunkInfo(_parse_blob([sha256, size], limits.CHUNK_BYTES + limits.MIB), _whole(rows, 1, 2**31))


def _parse_rules(value: Any) -> Rules:
    round_timeout, aggregate_timeout, confirm_every = value
    return Rules(
        _whole(round_timeout, 1, limits.TASK_LIFE_S),
        _whole(aggregate_timeout, 1, limits.TASK_LIFE_S),
        _whole(confirm_every, 1, limits.ROUNDS),
    )


def _parse_audit(value: Any) -> AuditRules:
    open_s, verdict_s, tolerance_ppm = value
    return AuditRules(
        _whole(open_s, 1, limits.TASK_LIFE_S),
        _whole(verdict_s, 1, limits.TASK_LIFE_S),
        _whole(tolerance_ppm, 0, 1_000_000),
    )


def _sized(value: Any, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise ValueError(f"expected {size} bytes")
    return value


def _whole(value: Any, low: int, high: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"expected a whole number from {low} to {high}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value.encode()) > limits.TEXT_BYTES:
        raise ValueError("expected a short text")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("expected a table")
    for item in value.values():
        if isinstance(item, float) and not math.isfinite(item):
            raise ValueError("a number is not finite")
    return value
