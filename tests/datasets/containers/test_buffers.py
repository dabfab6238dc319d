"""Memory is used again only when nothing refers to it any more."""

import pickle
import threading

import numpy as np
import pytest
import torch

from pdeops.datasets import open_dataset
from pdeops.datasets.containers.buffers import Buffers

SHAPE, DTYPE = (3, 4), np.dtype("f4")


def address(array):
    return array.__array_interface__["data"][0]


# What may still be held of an array when the array itself is gone.
HOLD = {
    "array": lambda a: a,
    "view": lambda a: a[1:, None],
    "tensor": torch.from_numpy,
    "part of a tensor": lambda a: torch.from_numpy(a)[2:],
    "tensor of a view": lambda a: torch.from_numpy(np.ascontiguousarray(a[:, None])),
    "samples": lambda a: list(torch.from_numpy(a)),
    "graph": lambda a: (torch.from_numpy(a) * torch.ones(4, requires_grad=True)).sum().grad_fn,
}


@pytest.mark.parametrize("kind", HOLD)
def test_what_is_held_is_not_handed_out(kind):
    buffers = Buffers()
    held = HOLD[kind](buffers.empty(SHAPE, DTYPE))
    used = address(buffers._kept[0])
    others = [buffers.empty(SHAPE, DTYPE) for _ in range(3)]
    assert used not in map(address, others)
    del held, others
    assert address(buffers.empty(SHAPE, DTYPE)) == used  # the control: now it is


def test_only_the_same_shape_and_type_fit():
    buffers = Buffers()
    first = address(buffers.empty(SHAPE, DTYPE))
    for shape, dtype in (((3, 5), DTYPE), (SHAPE, np.dtype("f8")), ((12,), DTYPE)):
        array = buffers.empty(shape, dtype)
        assert (array.shape, array.dtype) == (shape, dtype)
        assert address(array) != first
        del array
    assert address(buffers.empty(SHAPE, DTYPE)) == first


def test_no_more_is_kept_than_a_loop_needs(monkeypatch):
    buffers = Buffers()
    many = [buffers.empty(SHAPE, DTYPE) for _ in range(20)]
    assert len({address(a) for a in many}) == 20
    assert len(buffers._kept) == Buffers.MAX_ARRAYS
    monkeypatch.setattr(Buffers, "MAX_BYTES", 10)
    large = Buffers()
    large.empty(SHAPE, DTYPE)
    assert not large._kept


def test_a_copy_begins_with_none():
    buffers = Buffers()
    buffers.empty(SHAPE, DTYPE)
    assert not pickle.loads(pickle.dumps(buffers))._kept


def test_batches_that_are_kept_stay_as_they_were(darcy_file):
    """All batches of several loops at once, and each of them changed by its owner."""
    data = open_dataset(darcy_file)
    truth = data.in_memory().read(range(12))
    kept = []
    for _ in range(3):
        for i in range(0, 12, 3):
            batch = data.read([i, i + 2, i + 1])
            assert torch.equal(batch.target, truth.target[[i, i + 2, i + 1]])
            batch.input += len(kept)
            kept.append((i, batch))
    for number, (i, batch) in enumerate(kept):
        assert torch.equal(batch.input, truth.input[[i, i + 2, i + 1]] + number)


def test_threads_do_not_share_a_batch(darcy_file):
    data = open_dataset(darcy_file)
    truth = data.in_memory().read(range(12)).target
    wrong = []

    def read(seed):
        draw = np.random.default_rng(seed)
        for _ in range(200):
            indices = draw.permutation(12)[:4]
            batch = data.read(indices).target
            if not torch.equal(batch, truth[indices]):
                wrong.append(indices)

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
