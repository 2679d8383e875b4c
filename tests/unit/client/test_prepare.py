"""Cutting: every chunk fits, whatever the size of the data set; nothing is cut finer than it must be."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.client.prepare import fewest_chunks, fitting
from shoal.core.limits import CHUNK_BYTES, MIB
from shoal.learn.data import Part

ROW = 32 * 32 * 4 + 8


def rows(count: int) -> Part:
    """So many 32 x 32 images, which take no memory."""
    x = np.broadcast_to(np.float32(0), (count, 1, 32, 32))
    return Part(x, np.broadcast_to(np.int64(0), (count,)))


@pytest.mark.parametrize("count", [1, 15_000, 16_000, 100_000, 1_000_000])
def test_the_fewest_chunks_are_as_many_as_are_needed(count: int) -> None:
    chunks = fewest_chunks(rows(count))
    assert -(-count // chunks) * ROW <= CHUNK_BYTES - MIB + ROW, "dealt equally within one row"
    assert chunks == 1 or (chunks - 1) * (CHUNK_BYTES - MIB) < count * ROW


def test_what_fits_is_kept_whole() -> None:
    part = rows(10_000)
    assert fitting(part) is part


def test_a_validation_split_that_is_too_large_is_cut_to_what_fits() -> None:
    part = fitting(rows(50_000))
    assert CHUNK_BYTES - MIB - ROW < len(part.x) * ROW <= CHUNK_BYTES - MIB
    assert len(part.y) == len(part.x)
