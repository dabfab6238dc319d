"""Reading: lazily, in batches, in worker processes; subsets; checks."""

import os
import pickle
import shutil

import h5py
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from pdeops.batch import Batch
from pdeops.datasets import compatible, open_dataset
from pdeops.datasets.dataset import FieldDataset
from pdeops.datasets.source import MemorySource
from pdeops.domain import Grid


@pytest.fixture
def dataset(darcy_file):
    return open_dataset(darcy_file)


@pytest.fixture
def truth(darcy_file):
    with h5py.File(darcy_file) as file:
        return {"x": file["permeability"][()][:, None], "y": file["pressure"][()][:, None]}


def in_memory(n=6, grid=None, channels=(1, 1), path=None):
    grid = grid or Grid((5, 4))
    generator = torch.Generator().manual_seed(0)
    x, y = (torch.randn(n, c, *grid.shape, generator=generator) for c in channels)
    names = [tuple(f"{k}{i}" for i in range(c)) for k, c in zip("xy", channels, strict=True)]
    roles = ("input", "target")
    source = MemorySource(
        dict(zip(roles, (x, y), strict=True)), dict(zip(roles, names, strict=True))
    )
    return FieldDataset(source, grid, path=path)


def assert_batch(batch, truth, indices):
    for key, u in (("x", batch.input), ("y", batch.target)):
        assert u.dtype == torch.float32
        assert u.is_contiguous()
        np.testing.assert_array_equal(u.numpy(), truth[key][indices])


@pytest.mark.parametrize(
    "indices",
    [[0], [11], [0, 1, 2], [3, 4, 8, 9, 10], [5, 1, 9], [7, 7, 2], list(range(12)), [11, 10, 9]],
    ids=str,
)
def test_a_batch_is_what_the_file_holds(dataset, truth, indices):
    assert_batch(dataset.read(indices), truth, indices)
    items = dataset.__getitems__(indices)
    assert_batch(Batch.collate(items), truth, indices)


def test_items_batches_and_negative_numbers(dataset, truth):
    assert len(dataset) == 12
    assert (dataset.in_channels, dataset.out_channels) == (1, 1)
    assert dataset.inputs == ("permeability",)
    assert dataset[4].input.shape == (1, 17, 17)
    np.testing.assert_array_equal(dataset[-1].target, truth["y"][-1])
    with pytest.raises(IndexError):
        dataset[12]
    sizes = [len(batch.input) for batch in dataset.batches(5)]
    assert sizes == [5, 5, 2]
    assert_batch(Batch.cat(list(dataset.batches(5))), truth, slice(None))


def test_no_samples_are_an_empty_batch(dataset):
    assert dataset.read([]).input.shape == (0, 1, 17, 17)
    assert len(dataset.__getitems__([])) == 0
    assert list(dataset.subset([]).batches(4)) == []


def test_float64_on_request(poisson_file):
    dataset = open_dataset(poisson_file, dtype=torch.float64)
    with h5py.File(poisson_file) as file:
        np.testing.assert_array_equal(dataset.read([3]).target[0, 0], file["potential"][3])
    assert dataset[0].target.dtype == torch.float64


def test_a_subset_keeps_grid_spec_and_channels(dataset, truth):
    part = dataset.subset(range(4, 12)).subset([7, 0, 3])
    assert_batch(part.read(range(3)), truth, [11, 4, 7])
    assert (part.domain, part.spec, part.in_channels) == (dataset.domain, dataset.spec, 1)
    with pytest.raises(ValueError, match=r"samples 0..2; got 3"):
        part.subset([3])


def test_in_memory_holds_the_same(dataset, truth):
    held = dataset.subset([5, 2, 8]).in_memory()
    assert_batch(held.read([2, 0]), truth, [8, 5])
    assert held.spec == dataset.spec
    held.read([0]).input.zero_()  # what is read is free to change
    assert_batch(held.read([0]), truth, [5])


def test_torch_subset_and_loader_read_whole_batches(dataset, truth, monkeypatch):
    calls = []
    read = FieldDataset.read
    monkeypatch.setattr(FieldDataset, "read", lambda self, i: calls.append(len(i)) or read(self, i))
    loader = DataLoader(
        torch.utils.data.Subset(dataset, [9, 3, 4, 0]), batch_size=4, collate_fn=Batch.collate
    )
    assert_batch(next(iter(loader)), truth, [9, 3, 4, 0])
    assert calls == [4]


@pytest.mark.parametrize("context", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_give_the_same_batches(dataset, truth, context):
    dataset.read([0])  # the parent's handle is open when the workers start
    loader = DataLoader(
        dataset,
        batch_size=5,
        num_workers=2,
        multiprocessing_context=context,
        collate_fn=Batch.collate,
    )
    assert_batch(Batch.cat(list(loader)), truth, slice(None))
    assert_batch(dataset.read([1]), truth, [1])  # and the parent's still works


def test_handles_are_per_process_and_not_pickled(dataset, truth):
    dataset.read([0])
    handle = dataset.source.store.handle
    assert dataset.source.store.handle is handle
    copy = pickle.loads(pickle.dumps(dataset))
    assert copy.source.store._handle is None
    assert_batch(copy.read([6, 1]), truth, [6, 1])
    child = os.fork()
    if child == 0:  # a forked process opens the file anew
        os._exit(0 if dataset.source.store.handle is not handle else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_opening_leaves_no_handle_behind(dataset):
    """So that the parent of a DataLoader's workers has nothing open unless it reads."""
    assert len(dataset) == 12
    assert dataset.source.store._handle is None


@pytest.mark.parametrize(
    ("field", "sample", "value"), [("pressure", 7, np.nan), ("permeability", 11, np.inf)]
)
def test_check_names_field_and_sample_of_damage(darcy_file, tmp_path, field, sample, value):
    copy = tmp_path / "copy.h5"
    shutil.copy(darcy_file, copy)
    with h5py.File(copy, "r+") as file:
        file[field][sample, 3, 4] = value
    dataset = open_dataset(copy)
    with pytest.raises(
        ValueError,
        match=rf"not finite.*: field '{field}' in sample\(s\) {sample}\. .*--without {sample}",
    ):
        dataset.check()
    with pytest.raises(ValueError, match=rf"sample\(s\) {sample}\."):
        dataset.subset([0, sample]).check()  # numbered as in the file
    dataset.subset([i for i in range(12) if i != sample]).check()


def test_check_passes_on_what_we_generate(darcy_file, poisson_file):
    for path in (darcy_file, poisson_file):
        open_dataset(path).check()


def test_compatible_data_share_all_but_what_may_differ(dataset):
    compatible(dataset, dataset)
    a = in_memory()
    compatible(a, in_memory(n=3))
    fine = in_memory(grid=Grid((9, 7)))
    with pytest.raises(ValueError, match=r"resolution \(5, 4\) there, \(9, 7\) here"):
        compatible(a, fine)
    compatible(a, fine, may_differ=("resolution",))
    for other, message in [
        (in_memory(channels=(2, 1)), "input channels 1 there, 2 here"),
        (in_memory(channels=(1, 2)), "target channels 1 there, 2 here"),
        (in_memory(grid=Grid((5,))), "dimension 2 there, 1 here"),
        (in_memory(grid=Grid((5, 4), boundary="periodic")), "boundary"),
        (in_memory(grid=Grid((5, 4), extent=2.0)), "box"),
        (in_memory(grid=Grid((5, 4), placement="centers")), "placement"),
    ]:
        with pytest.raises(ValueError, match=message):
            compatible(a, other, may_differ=("resolution",))


def test_data_of_another_problem_are_not_compatible(dataset, poisson_file):
    poisson = open_dataset(poisson_file)
    with pytest.raises(ValueError, match=r"problem .*darcy.* there, .*poisson.* here"):
        compatible(dataset, poisson, may_differ=("resolution", "box"))
    foreign = in_memory(grid=dataset.domain)
    compatible(dataset, foreign)
