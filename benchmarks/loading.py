"""One epoch of shuffled batches: our HDF5 file through the trainer's loader, compared with
neuraloperator's loader and with whole batches from memory-mapped .npy files.

All files hold the same fields, uncompressed, and are in the page cache. Each side returns the
corners of all its fields in their order, so that a wrong or an unread sample would be noticed.
"""

import contextlib
import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pdeops.batch import Batch
from pdeops.datasets import FieldDataset, convert, open_dataset
from pdeops.training.sampling import Sampler, stream

from .bench import Bench

NUM_SAMPLES, BATCH_SIZE, N = 1000, 32, 128


@dataclass
class Files:
    """The same pairs of fields in the format of each side, and the order in which they are read."""

    folder: TemporaryDirectory
    ours: FieldDataset
    theirs: Dataset
    arrays: tuple[np.ndarray, np.ndarray]
    sampler: Sampler


def files() -> Files:
    folder = TemporaryDirectory()
    path = Path(folder.name)
    rng = np.random.default_rng(0)
    a, u = (rng.standard_normal((NUM_SAMPLES, N, N), dtype=np.float32) for _ in range(2))
    convert({"a": a, "u": u}, path / "ours.h5", inputs=["a"], targets=["u"])
    with h5py.File(path / "theirs.h5", "w") as file:
        file["x"], file["y"] = a, u
    np.save(path / "a.npy", a)
    np.save(path / "u.npy", u)
    with contextlib.redirect_stdout(io.StringIO()):  # its import prints
        from neuralop.data.datasets.hdf5_dataset import H5pyDataset
    return Files(
        folder,
        open_dataset(path / "ours.h5"),
        # Resolution 1024 in its table means step 1: every point of the file, for any size.
        H5pyDataset(str(path / "theirs.h5"), resolution=1024),
        (np.load(path / "a.npy", mmap_mode="r"), np.load(path / "u.npy", mmap_mode="r")),
        Sampler(seed=0, num_samples=NUM_SAMPLES, batch_size=BATCH_SIZE),
    )


def corners(batches: Iterable[Any]) -> Tensor:
    """The first value of every input and the last value of every target."""
    pairs = ((b.input, b.target) if isinstance(b, Batch) else (b["x"], b["y"]) for b in batches)
    seen = [torch.stack([x.flatten(1)[:, 0], y.flatten(1)[:, -1]]) for x, y in pairs]
    return torch.cat(seen, 1)


def by_pdeops(state: Files) -> Tensor:
    return corners(stream(state.ours, state.sampler, epoch=0, step=0, end=1, num_workers=0))


def by_neuraloperator(state: Files) -> Tensor:
    batches = list(state.sampler.batches(0))
    return corners(DataLoader(state.theirs, batch_sampler=batches))


def by_numpy(state: Files) -> Tensor:
    x, y = state.arrays
    return corners(
        Batch(input=torch.from_numpy(x[batch]), target=torch.from_numpy(y[batch]))
        for batch in state.sampler.batches(0)
    )


SIZE = (
    f"{NUM_SAMPLES} pairs of {N} x {N}, batch {BATCH_SIZE}, shuffled, no workers, page cache warm"
)

BENCHES = [
    Bench(
        name=name,
        size=SIZE,
        dtype="float32",
        setup=files,
        work=by_pdeops,
        reference=reference,
        work_name="HDF5 of pdeops through the trainer's loader",
        reference_name=reference_name,
        tolerance=0.0,
        repeats=15,
        threads=2,
    )
    for name, reference, reference_name in (
        ("loading_neuraloperator", by_neuraloperator, "neuraloperator's H5pyDataset, DataLoader"),
        ("loading_npy", by_numpy, "whole batches of memory-mapped .npy, no loader"),
    )
]
