"""Vectors in the binary files of flow solvers."""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor


def read_vector(path: str | Path) -> Float[Tensor, " n"]:
    """The numbers in a binary file: first their count (uint64), then float64, all little-endian,
    as C++ codes often store right-hand sides and pressures.

    Raises:
        ValueError: the file is not as long as its count says, or holds NaN or infinity.
        OSError: the file does not exist.
    """
    import numpy as np

    path = Path(path)
    size = path.stat().st_size
    count = int(np.fromfile(path, dtype="<u8", count=1)[0]) if size >= 8 else 0
    if size != 8 * (1 + count) or size < 8:
        raise ValueError(
            f"{path} is no vector: a count n (uint64) and n numbers (float64) are 8 + 8n bytes; it "
            f"has {size} bytes, and n = {count}. Read other files with numpy."
        )
    values = torch.from_numpy(np.fromfile(path, dtype="<f8", offset=8))
    if not values.isfinite().all():
        raise ValueError(f"{path} holds NaN or infinity. Check where it was made.")
    return values
