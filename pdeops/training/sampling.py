"""The samples of each step, a function of (seed, epoch, step) for any number of workers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from ..batch import Batch
from . import distributed, rng
from .interrupt import kept_from_children, leave_to_parent


@dataclass(frozen=True)
class Sampler:
    """Batches of all samples, in a random order that depends on (seed, epoch).

    A batch is global, over all processes and accumulated pieces; the last one may be short.
    """

    seed: int
    num_samples: int
    batch_size: int

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch, including a short one."""
        return math.ceil(self.num_samples / self.batch_size)

    def order(self, epoch: int) -> list[int]:
        """The permutation of all sample indices in this epoch."""
        draw = rng.generator(self.seed, rng.ORDER, epoch)
        return torch.randperm(self.num_samples, generator=draw).tolist()

    def size(self, step: int) -> int:
        """Number of samples in the batch of this step."""
        return min(self.batch_size, self.num_samples - step * self.batch_size)

    def batches(self, epoch: int, step: int = 0) -> Iterator[list[int]]:
        """The batches of an epoch from the given step on."""
        order = self.order(epoch)
        for start in range(step * self.batch_size, self.num_samples, self.batch_size):
            yield order[start : start + self.batch_size]


@dataclass(frozen=True)
class _Keys:
    """(epoch, index) of this rank's samples, batch by batch, from a position to the end of the run.

    A rank whose slice of a short batch is empty gets one sample with weight zero, because it must
    take part in the exchange of gradients.
    """

    sampler: Sampler
    epoch: int
    step: int
    end: int

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for epoch in range(self.epoch, self.end):
            for batch in self.sampler.batches(epoch, self.step if epoch == self.epoch else 0):
                mine = batch[distributed.my_slice(len(batch))] or batch[:1]
                yield [(epoch, index) for index in mine]


class _EpochAware(Dataset):
    """A dataset indexed by (epoch, index), which calls `set_epoch` in every loading process."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset: Any = dataset
        self.epoch: int | None = None

    def __getitems__(self, keys: list[tuple[int, int]]) -> Any:
        epoch = keys[0][0]
        if epoch != self.epoch:
            self.epoch = epoch
            if hasattr(self.dataset, "set_epoch"):
                self.dataset.set_epoch(epoch)
        indices = [index for _, index in keys]
        if hasattr(self.dataset, "__getitems__"):
            return self.dataset.__getitems__(indices)
        return [self.dataset[index] for index in indices]


def stream(
    dataset: Dataset, sampler: Sampler, *, epoch: int, step: int, end: int, num_workers: int
) -> Iterator[Batch]:
    """This rank's slice of every batch from (epoch, step) to the end of epoch end-1.

    Workers are spawned once for the whole stream (forking a process with threads can deadlock), so
    the dataset must be picklable. Random numbers of a dataset should depend only on its epoch
    (`set_epoch`) and the index; then resuming within an epoch is exact for any number of workers.
    """
    loader: DataLoader = DataLoader(
        _EpochAware(dataset),
        batch_sampler=_Keys(sampler, epoch, step, end),
        collate_fn=Batch.collate,
        num_workers=num_workers,
        worker_init_fn=leave_to_parent,
        multiprocessing_context="spawn" if num_workers else None,
        generator=rng.generator(sampler.seed, rng.WORKERS, epoch, step),
    )
    with kept_from_children():
        return iter(loader)
