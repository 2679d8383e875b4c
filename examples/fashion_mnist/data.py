"""Fashion-MNIST: gray images of 28 x 28 pixels of ten kinds of clothes, from the Debian package of the same name."""

import gzip
from pathlib import Path

import numpy as np

FOLDER = Path("/usr/share/datasets/fashion-mnist")
ROWS = 12_000
"""Of 60,000: enough to see it work within a minute. The file is in random order."""
NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]
_IMAGES, _LABELS = 0x803, 0x801


def load() -> tuple[np.ndarray, np.ndarray, list[str]]:
    images = _read("train-images-idx3-ubyte.gz", _IMAGES)[:ROWS]
    labels = _read("train-labels-idx1-ubyte.gz", _LABELS)[:ROWS]
    return (images / 255.0).astype(np.float32)[:, None], labels, NAMES


def _read(name: str, kind: int) -> np.ndarray:
    """An IDX file: a number for the kind, the size of each dimension, both as big-endian 32 bits, then the bytes."""
    path = FOLDER / name
    if not path.is_file():
        raise FileNotFoundError(f"there is no {path}: install it with `sudo apt install dataset-fashion-mnist`")
    content = gzip.decompress(path.read_bytes())
    dimensions = kind & 0xFF
    found, *shape = np.frombuffer(content, dtype=">u4", count=1 + dimensions).tolist()
    if found != kind:
        raise ValueError(f"{path} is not an IDX file of the expected kind")
    return np.frombuffer(content, dtype=np.uint8, offset=4 * (1 + dimensions)).reshape(shape)
