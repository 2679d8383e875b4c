"""Handwritten digits: 1,797 gray images of 8 x 8 pixels."""

import numpy as np
from sklearn.datasets import load_digits


def load() -> tuple[np.ndarray, np.ndarray, list[str]]:
    found = load_digits()
    # Pixels are counts from 0 to 16.
    x = (found.images / 16.0).astype(np.float32)[:, None]
    return x, found.target, [str(name) for name in found.target_names]
