"""Files of samples with points of their own: what is written is read back, row by row."""
# Axes: n points, c channels, t times, d coordinates.

import os
import shutil
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from pdeops.datasets import DatasetSpec, Field, PointSample, generate, inspect, open_dataset
from pdeops.datasets import write_points as write
from pdeops.datasets.layouts.points_file import sizes_of
from pdeops.datasets.problems.problem import Generated, Solved
from pdeops.datasets.ragged import RaggedSizes
from pdeops.datasets.windows import Window
from pdeops.domain import Grid, Points

COUNTS = (5, 8, 8, 4)
FIELDS = (
    Field("stress", "target", "von Mises stress", "Pa"),
    Field("shift", "target", "displacement", "m", ("x", "y")),
    Field("radius", "parameter", "radius of the void"),
)


def spec_of(fields=FIELDS, count=4, **more):
    domain = Points(2, box=[[0, 0], [1, 1]])
    return DatasetSpec("e", "k", "none", fields, domain, {}, None, count, float("inf"), **more)


def sample(n, *, mesh=True, index=0):
    """A strip of triangles on n points, and fields that are functions of the coordinates."""
    generator = torch.Generator().manual_seed(index)
    x = torch.linspace(0, 1, n, dtype=torch.float64)
    y = (torch.arange(n) % 2) * (0.5 + 0.5 * torch.rand(1, generator=generator).double())
    k = torch.arange(n - 2)
    odd = k % 2 == 1
    cells = torch.stack([k, torch.where(odd, k + 2, k + 1), torch.where(odd, k + 1, k + 2)], 1)
    return PointSample(
        {"stress": x + 10 * y, "shift": torch.stack([x, y]) / 3, "radius": torch.tensor(n / 7)},
        torch.stack([x, y]),
        weights=x + 1 if mesh else None,
        cells=cells if mesh else None,
    )


@pytest.fixture(scope="module")
def samples():
    return [replace(sample(n, index=i), residual=i / 10) for i, n in enumerate(COUNTS)]


@pytest.fixture(scope="module")
def file(samples, tmp_path_factory):
    return write(tmp_path_factory.mktemp("points") / "a.h5", spec_of(), samples, "float64")


def test_every_sample_is_read_back(file, samples):
    data = open_dataset(file, dtype=torch.float64)
    assert data.spec == spec_of()
    assert (data.inputs, data.targets) == (("x", "y"), ("stress", "shift_x", "shift_y"))
    for i, s in enumerate(samples):
        one = data[i]
        assert set(one.members()) == {"input", "target", "positions", "weights", "parameters"}
        assert torch.equal(one.target, torch.cat([s.fields["stress"][None], s.fields["shift"]]))
        assert torch.equal(one.input, s.positions)
        assert torch.equal(one.positions, s.positions)
        assert torch.equal(one.weights, s.weights)
        assert one.parameters.tolist() == [s.fields["radius"].item()]
        here = data.points(i)
        assert torch.equal(here.cells, s.cells)
        assert torch.equal(here.weights, s.weights)


def test_batches_are_those_that_collate_makes(file):
    data = open_dataset(file)
    from pdeops.batch import Batch

    for order in ([3, 0, 1], [1, 2]):
        batch, expected = data.read(order), Batch.collate([data[i] for i in order])
        assert set(batch.members()) == set(expected.members())
        for name, u in batch.members().items():
            assert torch.equal(u, expected.get(name)), name
    assert "mask" not in data.read([1, 2])
    assert data.read([0, 3]).mask.sum(1).tolist() == [5, 4]


def test_views_and_memory(file):
    data = open_dataset(file)
    part = data.subset([3, 1])
    held = part.in_memory()
    for a, b in ((part, held), (data, data.in_memory())):
        for i in range(len(a)):
            for name, u in a[i].members().items():
                assert torch.equal(u, b[i].get(name)), name
            assert torch.equal(a.points(i).cells, b.points(i).cells)
        for name, u in a.read([0, 1]).members().items():  # with the mask
            assert torch.equal(u, b.read([0, 1]).get(name)), name
    assert torch.equal(part.points(0).positions, data.points(3).positions)
    assert held.parameters["radius"].tolist() == pytest.approx([4 / 7, 8 / 7])
    assert held.source.residuals().tolist() == [0.3, 0.1]
    blocks = [(list(i), {n: u.shape[-1] for n, u in values.items()}) for i, values in data.values()]
    assert [i for i, _ in blocks] == [[0], [1, 2], [3]]  # no block is padded
    assert [set(n.values()) for _, n in blocks] == [{5}, {8}, {4}]


def test_only_the_rows_of_a_sample_are_read(file, monkeypatch):
    data = open_dataset(file)
    store, asked = data.source.store, []
    read = store.read
    monkeypatch.setattr(store, "read", lambda name, key: asked.append(key[0]) or read(name, key))
    data.read([2])
    assert {(rows.start, rows.stop) for rows in asked} == {(13, 21)}


def test_the_file_as_others_see_it(file):
    xarray = pytest.importorskip("xarray")
    with h5py.File(file) as h5:
        assert h5["num_points"][()].tolist() == list(COUNTS)
        assert h5["num_points"].attrs["sample_dimension"] == "point"
        assert h5["stress"].attrs["units"] == "Pa"
        assert all(u.chunks is None for u in h5.values())
    with xarray.open_dataset(file, engine="h5netcdf") as data:
        assert data["shift"].dims == ("point", "channel")
        assert data["cells"].dims == ("cell", "corner")
        assert data.sizes["point"] == sum(COUNTS)
        assert "point" not in data.coords
    report = inspect(file)
    assert report["grid_type"].endswith(
        "4 to 8 points in each sample, 2 to 6 cells, quadrature weights"
    )
    assert report["fields"]["stress"]["max"] == pytest.approx(
        max(s.fields["stress"].max().item() for s in map(sample, COUNTS)), abs=5
    )
    assert report["train"].startswith("[data]")


def test_a_file_without_its_counts_is_refused(file, tmp_path):
    for name in ("num_points", "num_cells", "positions"):
        damaged = tmp_path / f"{name}.h5"
        shutil.copy(file, damaged)
        with h5py.File(damaged, "r+") as there:
            del there[name]
        with pytest.raises(ValueError, match=f"lacks the variables of its points: {name}"):
            open_dataset(damaged)


def test_trajectories_on_points(tmp_path, generator):
    states = (Field("u", "state", "u", "1", ("a", "b")), Field("k", "input", "k"))
    spec = spec_of(states, 2, times=(0.0, 0.5, 1.5))
    rand = lambda *shape: torch.rand(*shape, generator=generator)  # noqa: E731
    samples = [PointSample({"u": rand(3, 2, n), "k": rand(n)}, rand(2, n)) for n in (4, 6)]
    data = open_dataset(write(tmp_path / "t.h5", spec, samples))
    batch = data.read([1, 0])
    assert batch.input.shape == (2, 1, 3, 6)
    assert torch.equal(batch.target[0], samples[1].fields["u"][1:])
    assert torch.equal(batch.target[1, ..., :4], samples[0].fields["u"][1:])
    assert torch.equal(batch.input[1, 0, :, :4], torch.cat(
        [samples[0].fields["u"][0], samples[0].fields["k"][None]]))  # fmt: skip
    assert not batch.target[1, ..., 4:].any()
    windows = data.windowed(Window(1, 1))
    assert [windows.points(i).num_nodes for i in range(len(windows))] == [4, 4, 6, 6]


class TestRefused:
    """Nothing is left behind."""

    def refused(self, folder, message, samples, spec=None, **more):
        with pytest.raises(ValueError, match=message):
            write(folder / "a.h5", spec or spec_of(), samples, **more)
        assert os.listdir(folder) == []

    def test_samples_that_do_not_fit(self, tmp_path, samples):
        self.refused(tmp_path, "has 4 samples; got 3", samples[:3])
        mixed = [*samples[:3], sample(4, mesh=False)]
        self.refused(tmp_path, "All samples of a file have weights or none", mixed)
        lacking = [replace(s, fields={**s.fields, "more": s.weights}) for s in samples]
        self.refused(tmp_path, "Sample 0 and the spec have different variables: more", lacking)
        bad = [*samples[:2], replace(samples[2], positions=samples[2].positions * 3), samples[3]]
        self.refused(tmp_path, r"points of sample 2 lie outside .*declare a larger box", bad)

    def test_sizes_that_do_not_fit(self, tmp_path, samples):
        sizes = replace(sizes_of(samples), points=(5, 8, 7, 5))
        message = r"stress of sample 2 must have shape \(7,\); got \(8,\)"
        self.refused(tmp_path, message, iter(samples), sizes=sizes)
        self.refused(tmp_path, "4 samples; got 2", iter(samples[:2]), sizes=sizes_of(samples))
        with pytest.raises(ValueError, match="sample 1 has 0"):
            RaggedSizes((3, 0))

    def test_grids_and_reserved_names(self, tmp_path, samples):
        on_grid = replace(spec_of(), domain=Grid((4, 4)))
        self.refused(tmp_path, r"domain Points\(d\) without positions; got 4 x 4", [], on_grid)
        named = [PointSample({"weights": s.weights}, s.positions) for s in samples]
        spec = spec_of((Field("weights", "target", "w"),))
        self.refused(tmp_path, "Call it 'target_weights'", named, spec)


class Strips(Generated):
    """Strips with a random number of points; the number depends on (seed, i) alone."""

    name, equation, KINDS, remedy = "strips", "none", {}, ""

    def __init__(self):
        pass

    def check_grid(self, grid):
        pass

    def grid(self, shape):
        return Points(2, box=[[0, 0], [1, 1]])

    def spec(self, grid, seed, num_samples):
        return replace(spec_of(count=num_samples), seed=seed, tolerance=1.0)

    def sizes(self, spec):
        return sizes_of([self.drawn(spec, i) for i in range(spec.num_samples)])

    def drawn(self, spec, i):
        return sample(int(np.random.default_rng((spec.seed, i)).integers(4, 9)), index=i)

    def solved_sample(self, spec, index):
        return Solved(self.drawn(spec, index).rows(spec, index), 0.5, "drawn")


def test_generation_writes_the_same_file(tmp_path):
    problem = Strips()
    generate(problem, problem.grid(()), num_samples=3, seed=4, out=tmp_path / "a.h5")
    spec = problem.spec(None, 4, 3)
    drawn = [replace(problem.drawn(spec, i), residual=0.5) for i in range(3)]
    write(tmp_path / "b.h5", spec, drawn)
    with h5py.File(tmp_path / "a.h5") as a, h5py.File(tmp_path / "b.h5") as b:
        assert set(a) == set(b)
        for name in set(a) - {"channel"}:
            assert np.array_equal(a[name][()], b[name][()]), name
    with pytest.raises(ValueError, match="exists already"):
        generate(problem, problem.grid(()), num_samples=3, seed=4, out=tmp_path / "a.h5")
