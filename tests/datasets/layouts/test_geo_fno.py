"""Geo-FNO's arrays and neuraloperator's cars, known by their content."""

import numpy as np
import pytest
import torch

from pdeops.batch import Batch
from pdeops.datasets import convert, inspect, open_dataset
from pdeops.datasets.layouts.geo_fno_elasticity import UNIT_CELL
from pdeops.domain import Grid

from . import point_files as files
from .point_files import N, values


def opened(path, **more):
    return open_dataset(path, dtype=torch.float64, **more)


def test_elasticity(tmp_path):
    folder = files.elasticity(tmp_path / "any")
    report = inspect(folder)
    assert report["format"] == "Geo-FNO, elasticity"
    assert report["other_arrays"] == ["Random_UnitCell_theta_10 (42, 5) float64"]
    rr = values(42, N, seed=2)
    span = f"{rr.min():g} to {rr.max():g}, 42 for each sample"
    assert report["parameters"] == {"rr_0 .. rr_41": span}
    data = opened(folder)
    assert (data.inputs, data.targets, len(data)) == (("x", "y"), ("sigma",), N)
    assert data.domain.box == UNIT_CELL
    batch = data.read([4, 1])
    x, stress, radii = values(12, 2, N), values(12, N, seed=1), values(42, N, seed=2)
    for row, i in enumerate((4, 1)):
        assert np.array_equal(batch.positions[row], x[..., i].T)
        assert np.array_equal(batch.input[row], x[..., i].T)
        assert np.array_equal(batch.target[row, 0], stress[:, i])
        assert np.array_equal(batch.parameters[row], radii[:, i])
    assert "mask" not in batch
    assert "weights" not in batch


@pytest.mark.parametrize(
    ("write", "name", "shape", "channels", "target"),
    [("airfoil", "NACA_Cylinder", (7, 4), 5, 4), ("pipe", "Pipe", (6, 6), 3, 0)],
)
def test_structured_meshes(tmp_path, write, name, shape, channels, target):
    folder = getattr(files, write)(tmp_path / "any")
    report = inspect(folder)
    assert report["format"] == "Geo-FNO, structured mesh"
    assert report["other_arrays"] == []
    assert any("not over the physical domain" in note for note in report["notes"])
    data = opened(folder)
    assert data.domain == Grid(shape, boundary="neumann")
    assert (data.inputs, data.targets) == (("X", "Y"), (f"Q_{target}",))
    q = values(N, channels, *shape, seed=2)
    batch = data.read([2, 0])
    assert np.array_equal(batch.input[:, 1], values(N, *shape, seed=1)[[2, 0]])
    assert np.array_equal(batch.target[:, 0], q[[2, 0], target])
    other = opened(folder, inputs=["X"], targets=["Q_1", "Q_2"])
    assert np.array_equal(other.read([3]).target[0], q[3, 1:3])
    convert(folder, tmp_path / "own.h5")
    assert torch.equal(opened(tmp_path / "own.h5").read([1]).target, data.read([1]).target)


def test_plasticity(tmp_path):
    path = files.plasticity(tmp_path / "any.mat")
    assert inspect(path)["format"] == "Geo-FNO, plasticity"
    data = opened(path)
    assert data.domain == Grid((9, 4), boundary="neumann")
    assert (data.n_in, data.n_out, data.times) == (None, 3, (1, 2, 3))
    batch = data.read([3])
    assert np.array_equal(batch.input[0, 0], np.repeat(values(N, 9)[3][:, None], 4, 1))
    expected = values(N, 9, 4, 3, 4, seed=1)[3]
    assert np.array_equal(batch.target[0], expected.transpose(2, 3, 0, 1))


def test_other_arrays_of_these_names_are_not_taken(tmp_path):
    """X, Y and Q, or XY and sigma, of other shapes have other meanings."""
    files.save(tmp_path / "a", X=values(5, 7), Y=values(5, 7), Q=values(5, 7))
    files.save(tmp_path / "b", XY=values(5, 12, 2), sigma=values(5, 12))
    for name in "ab":
        assert inspect(tmp_path / name)["format"] == "named arrays"


def test_contradictions(tmp_path):
    folder = files.elasticity(tmp_path / "elasticity")
    np.save(folder / "Random_UnitCell_rr_10.npy", values(42, N - 1))
    with pytest.raises(ValueError, match="must have the same samples"):
        open_dataset(folder)
    car = {"vertices": torch.rand(5, 3), "press": torch.rand(1, 5)}
    torch.save([car, {"vertices": torch.rand(6, 3)}], tmp_path / "cars.pt")
    with pytest.raises(ValueError, match=r"Sample 1 of .* has no press"):
        open_dataset(tmp_path / "cars.pt")


@pytest.fixture(scope="module")
def cars(shared_data):
    file = shared_data / "neuraloperator" / "mini_car.pt"
    if not file.is_file():
        pytest.skip("neuraloperator's cars are not in the shared data")
    return file


def test_cars(cars):
    data = open_dataset(cars)
    assert (data.inputs, data.targets, len(data)) == (("x", "y", "z"), ("press",), 3)
    batch = data.read([0, 2])
    stored = torch.load(cars, weights_only=True)
    assert torch.equal(batch.target[1], stored[2]["press"])
    assert torch.equal(batch.positions[0], stored[0]["vertices"].mT)
    assert "weights" not in batch
    normals = open_dataset(cars, inputs=["vertex_normals"], targets=["press"])
    assert torch.equal(normals[1].input, stored[1]["vertex_normals"].mT)
    assert isinstance(Batch.collate([data[i] for i in range(3)]), Batch)
