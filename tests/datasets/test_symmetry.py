"""Rotated and reflected samples: which, when, and that they solve the same equation."""

import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from pdeops.batch import Batch
from pdeops.datasets import Darcy, DatasetSpec, DihedralAugmentation, Field, open_dataset
from pdeops.datasets.dataset import FieldDataset
from pdeops.datasets.layouts import native_file
from pdeops.datasets.source import MemorySource
from pdeops.datasets.symmetry import isometries
from pdeops.domain import Grid


def held(x, y, grid, **arguments):
    source = MemorySource({"input": x, "target": y}, {"input": ["x"], "target": ["y"]})
    return FieldDataset(source, grid, **arguments)


def numbered(grid, n=400, **arguments):
    """The same field in each sample, each node with its own number."""
    u = (
        torch.arange(float(grid.num_nodes))
        .reshape(1, 1, *grid.shape)
        .repeat(n, 1, *[1] * grid.ndim)
    )
    return held(u, -u, grid, **arguments)


@pytest.mark.parametrize(
    ("grid", "count"),
    [
        (Grid((5, 5)), 8),
        (Grid((5, 4)), 4),
        (Grid((5, 5), extent=(1.0, 0.5)), 4),
        (Grid((5, 5), boundary=("dirichlet", "neumann")), 4),
        (Grid((5,)), 2),
        (Grid((4, 4, 4)), 48),
        (Grid((4, 4, 3)), 16),
    ],
    ids=["square", "counts", "box", "conditions", "1D", "cube", "prism"],
)
def test_the_symmetries_form_a_group_of_the_right_order(grid, count):
    assert len(isometries(grid)) == count
    data = DihedralAugmentation(numbered(grid, 2), seed=0)
    u = data.dataset[0].input
    images = [data._move(u, g, first=-1) for g in data.isometries]
    assert torch.equal(images[0], u)
    assert all(v.shape == u.shape for v in images)
    as_set = {tuple(v.flatten().tolist()) for v in images}
    assert len(as_set) == count  # all different,
    for v in images:  # and closed under composition
        assert {
            tuple(data._move(v, g, first=-1).flatten().tolist()) for g in data.isometries
        } == as_set


def test_x_and_y_move_alike_and_all_symmetries_occur_equally():
    data = DihedralAugmentation(numbered(Grid((5, 5)), 800), seed=0)
    items = data.__getitems__(list(range(800)))
    assert all(torch.equal(item.input, -item.target) for item in items)
    counts = {}
    for item in items:
        key = tuple(item.input.flatten().tolist())
        counts[key] = counts.get(key, 0) + 1
    assert len(counts) == 8
    assert all(60 < c < 140 for c in counts.values())  # binomial(800, 1/8): 100 ± 4 · 9.4


def test_the_choice_depends_on_seed_epoch_and_index_only():
    data = DihedralAugmentation(numbered(Grid((5, 5))), seed=0)
    first = torch.stack([item.input for item in data.__getitems__(list(range(400)))])
    assert torch.equal(data[17].input, first[17])
    assert torch.equal(data.__getitems__([300, 17])[1].input, first[17])
    copy = pickle.loads(pickle.dumps(data))
    assert torch.equal(copy[17].input, first[17])
    loader = DataLoader(data, batch_size=64, num_workers=2, collate_fn=Batch.collate)
    assert torch.equal(torch.cat([batch.input for batch in loader]), first)

    def share_of_equal(other):
        items = other.__getitems__(list(range(400)))
        return sum(torch.equal(item.input, u) for item, u in zip(items, first, strict=True)) / 400

    data.set_epoch(1)
    assert data.epoch == 1
    assert 0.05 < share_of_equal(data) < 0.2  # one in eight by chance
    data.set_epoch(0)
    assert share_of_equal(data) == 1
    assert 0.05 < share_of_equal(DihedralAugmentation(data.dataset, seed=1)) < 0.2


def test_persistent_workers_see_the_epoch():
    data = DihedralAugmentation(numbered(Grid((5, 5)), 32), seed=0)
    loader = DataLoader(
        data, batch_size=8, num_workers=1, persistent_workers=True, collate_fn=Batch.collate
    )
    for epoch in (0, 1, 2):
        data.set_epoch(epoch)
        expected = torch.stack([item.input for item in data.__getitems__(list(range(32)))])
        assert torch.equal(torch.cat([batch.input for batch in loader]), expected)


def test_moved_samples_solve_the_same_equation(darcy_file):
    """The residual of a stored pair is that of rounding to float32, moved or not."""
    dataset = open_dataset(darcy_file)
    data = DihedralAugmentation(dataset, seed=3)
    assert (data.domain, data.spec, data.in_channels) == (dataset.domain, dataset.spec, 1)
    items = data.__getitems__(list(range(12)))
    moved = Batch.collate(items)
    x, y = moved.input, moved.target
    assert not torch.equal(x, dataset.read(range(12)).input)
    problem = Darcy(num_modes=16)
    assert problem.residual(x, y, data.domain).max() < 1e-4
    assert (
        problem.residual(x, y.flip(-1), data.domain).min() > 1e-2
    )  # x and y moved apart: no solution


def test_nodes_without_the_right_end_are_reflected_about_the_middle_of_the_box():
    """A sample at i/n against its mirror image sampled at the same nodes."""
    n = 16
    s = torch.arange(n) / n
    S, T = torch.meshgrid(s, s, indexing="ij")

    def k(s, t):
        return 1 + (s + 0.3 * t > 0.6).float()

    def p(s, t):
        return torch.sin(torch.pi * s) * torch.sin(torch.pi * t) * (1 + s - t**2)

    grid = Grid((n, n), placement="centers")
    dataset = held(k(S, T)[None, None], p(S, T)[None, None], grid, half_open=True)
    data = DihedralAugmentation(dataset, seed=0)
    for axis in (0, 1):
        mirrored = [1 - S, T] if axis == 0 else [S, 1 - T]
        x, y = (
            data._move(dataset[0].get(role), ((0, 1), (axis,)), first=first)[0]
            for role, first in (("input", -1), ("target", 0))
        )
        inner = [slice(None), slice(None)]
        inner[axis] = slice(1, None)
        torch.testing.assert_close(y, p(*mirrored), rtol=0, atol=1e-6)  # on the boundary line too
        assert torch.equal(x[tuple(inner)], k(*mirrored)[tuple(inner)])
        assert torch.equal(x.select(axis, 0), x.select(axis, 1))  # the nearest line that is known
        # The plain reflection, right for symmetric nodes, is wrong here by a whole cell.
        assert (p(S, T).flip(axis) - p(*mirrored)).abs().max() > 0.1


def test_the_mean_of_the_published_file_is_invariant(shared_data):
    dataset = open_dataset(shared_data / "neuraloperator" / "darcy_train_16.pt")
    data = DihedralAugmentation(dataset, seed=0)
    mean = dataset.read(range(1000)).target.mean(0)
    for isometry in data.isometries:
        moved = data._move(mean, isometry, first=0)
        assert (moved - mean).norm() / mean.norm() < 0.02  # 1000 samples: 1 %


def test_a_problem_with_a_direction_is_refused(tmp_path):
    fields = (Field("a", "input", "a"), Field("b", "target", "b"))
    spec = DatasetSpec("advection", "test", "none", fields, Grid((5, 5)), {}, None, 2)
    path = native_file.write(
        tmp_path / "a.h5", spec, {f.name: torch.zeros(2, 5, 5) for f in fields}
    )
    with pytest.raises(ValueError, match=r"Samples of advection \(test\) are not symmetric"):
        DihedralAugmentation(open_dataset(path), seed=0)


def test_frames_of_a_window_move_together(tmp_path, generator):
    u = torch.randn(4, 3, 1, 5, 5, generator=generator)
    source = MemorySource({"state": u}, {"state": ["u"]}, times=(0.0, 1.0, 2.0))
    plain = FieldDataset(source, Grid((5, 5)))
    data = DihedralAugmentation(plain, seed=0)
    moved = 0
    for i in range(4):
        sample = data[i]
        frames = torch.cat([sample.input, sample.target])[:, 0]
        found = [
            g for g in data.isometries if torch.equal(data._move(u[i], g, first=-1)[:, 0], frames)
        ]
        assert len(found) == 1  # the same symmetry for all frames
        moved += found[0] != data.isometries[0]
    assert moved
