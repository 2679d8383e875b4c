"""Slots: objects of one size, so that neither an upload's size limit nor a listing tells what is inside."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from shoal.errors import CryptoError
from shoal.seal.envelope import SEGMENT_BYTES, TAG_BYTES
from shoal.seal.files import whole_file

_LENGTH_BYTES = 8
_SPARE_BYTES = 1024
"""Room for a header that is longer than our own: another age program's, with an extra stanza."""
_ROUND_BYTES = 4096
_PIECE_BYTES = 1024 * 1024


def slot_bytes(plain_size: int) -> int:
    """The size of a slot that takes any ciphertext of a plaintext of this size, for one recipient.

    >>> slot_bytes(0), slot_bytes(1_000_000)
    (4096, 1003520)
    """
    payload = plain_size + TAG_BYTES * max(1, -(-plain_size // SEGMENT_BYTES))
    size = _LENGTH_BYTES + _SPARE_BYTES + payload
    return -(-size // _ROUND_BYTES) * _ROUND_BYTES


def pad_to(cipher: Path, padded: Path, size: int) -> None:
    """Write 8 bytes of length (big-endian), the ciphertext, and zeros up to `size` bytes.

    Raises:
        CryptoError: SHOAL-K09, it does not fit.
    """
    with cipher.open("rb") as source, whole_file(padded) as sink:
        length = os.fstat(source.fileno()).st_size
        if _LENGTH_BYTES + length > size:
            raise CryptoError(f"{cipher.name} has {length} bytes and does not fit its slot of {size}", code="SHOAL-K09")
        sink.write(length.to_bytes(_LENGTH_BYTES, "big"))
        shutil.copyfileobj(source, sink, _PIECE_BYTES)
        if sink.tell() != _LENGTH_BYTES + length:
            raise CryptoError(f"{cipher.name} changed while it was padded", code="SHOAL-K10")
        sink.truncate(size)


def unpad(padded: Path, cipher: Path) -> None:
    """Undo `pad_to`; on an error `cipher` is not written.

    Raises:
        CryptoError: SHOAL-K09, the length is out of bounds, or something other than zeros follows.
    """
    with padded.open("rb") as source, whole_file(cipher) as sink:
        room = os.fstat(source.fileno()).st_size - _LENGTH_BYTES
        length = int.from_bytes(source.read(_LENGTH_BYTES), "big")
        if not 0 <= length <= room:
            raise CryptoError(f"{padded.name} is not a padded object", code="SHOAL-K09")
        while length:
            piece = source.read(min(length, _PIECE_BYTES))
            if not piece:
                raise CryptoError(f"{padded.name} changed while it was read", code="SHOAL-K10")
            sink.write(piece)
            length -= len(piece)
        while piece := source.read(_PIECE_BYTES):
            if piece.count(0) != len(piece):
                raise CryptoError(f"the padding of {padded.name} is not zero", code="SHOAL-K09")
