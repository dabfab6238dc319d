"""Data augmentation by rotations and reflections of the box (the dihedral group)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..batch import Batch
from ..nn.symmetry import Isometry, isometries, reflect
from .dataset import FieldDataset


class DihedralAugmentation(torch.utils.data.Dataset):
    """A data set that transforms sample i, in each epoch, by a random symmetry of its box.

    Input x and target y are transformed by the same symmetry, chosen by a hash of (seed, epoch, i)
    independently of batch, worker and rank. This is valid if all fields are scalar and the
    equation, the boundary condition and the distribution of the inputs are isotropic
    (`spec.isometric`), as for -div(k grad p) = 1 with p = 0 on the boundary. For a file without a
    spec, the caller must ensure this. Trajectories and their windows are transformed as a whole.

    Nodes i/n without the right end (`half_open`) are reflected by i -> n - i. The values at i = 0
    would come from the end that is not stored: there x takes its nearest stored values, and y keeps
    the values of its own (near zero) boundary line.

    Raises:
        ValueError: the spec states that the problem is not isometric, or a field is a vector.
    """

    def __init__(self, dataset: FieldDataset, seed: int) -> None:
        check_isometric(dataset)
        self.dataset, self.seed = dataset, seed
        domain: Any = dataset.domain
        self.isometries = isometries(domain)
        # Shared memory: persistent workers see the epoch that the main process sets.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    def __getattr__(self, name: str) -> Any:
        """Attributes of the wrapped data set: domain, spec, in_channels, ..."""
        if name.startswith("_") or name == "dataset":  # while unpickling there is no data set yet
            raise AttributeError(name)
        return getattr(self.dataset, name)

    @property
    def epoch(self) -> int:
        """The current epoch."""
        return int(self._epoch)

    def set_epoch(self, epoch: int) -> None:
        """Use the symmetries of this epoch from now on."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Batch:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Batch]:
        chosen = _hash(self.seed, self.epoch, np.asarray(indices)) % np.uint64(len(self.isometries))
        batch = self.dataset.read(indices)
        return [self._moved(batch[i], self.isometries[int(g)]) for i, g in enumerate(chosen)]

    def _moved(self, sample: Batch, isometry: Isometry) -> Batch:
        """Transform input and target by the same isometry; see the class for values at an open
        end."""
        return sample.replace(
            input=self._move(sample.input, isometry, first=-1),
            target=self._move(sample.target, isometry, first=0),
        )

    def _move(self, u: Tensor, isometry: Isometry, *, first: int) -> Tensor:
        order, reflected = isometry
        leading = u.ndim - len(order)  # channels, and times in front of them
        u = u.permute(*range(leading), *(a + leading for a in order))
        for axis in reflected:
            u = reflect(u, axis + leading, half_open=self.dataset.half_open, first=first)
        return u.contiguous()


def check_isometric(dataset: FieldDataset) -> None:
    """Raise a ValueError if the data are not symmetric under the symmetries of the box: the spec
    states so, or a field is a vector, whose components a rotation mixes."""
    if dataset.source.vectors:
        raise ValueError(
            f"Fields with several channels ({', '.join(dataset.source.vectors)}) are taken for "
            f"vectors, whose components change in rotations and reflections, and only scalar "
            f"fields are moved. Train with data.symmetries and data.average_symmetries false; or, "
            f"where the channels are scalars, store each as a field of its own."
        )
    if dataset.spec is not None and dataset.spec.isometric is False:
        raise ValueError(
            f"Samples of {dataset.spec.name} ({dataset.spec.kind}) are not symmetric under "
            f"rotations and reflections. Train with data.symmetries and data.average_symmetries "
            f"false."
        )


def _hash(seed: int, epoch: int, index: np.ndarray) -> np.ndarray:
    """64-bit hash of (seed, epoch, index) by SplitMix64 (Steele, Lea, Flood 2014)."""
    z = np.full(index.shape, np.uint64(seed))
    for word in (np.uint64(epoch), index.astype(np.uint64)):
        z = _mix(z) + word
    return _mix(z)


def _mix(z: np.ndarray) -> np.ndarray:
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
