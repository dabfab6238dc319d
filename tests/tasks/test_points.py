"""The task `supervised` on points that differ from sample to sample."""
# Axes: b batch, d coordinates, n points.

from dataclasses import replace

import numpy as np
import pytest
import torch

import pdeops
from pdeops.batch import Batch
from pdeops.compare.runs import common
from pdeops.datasets import DatasetSpec, Field, PointSample, open_dataset, write_points
from pdeops.domain import Points
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.tasks.operators import fit_both

BOX = [[0.0, 0.0], [1.0, 1.0]]
MODEL = {
    "name": "PointLSM",
    "hidden_channels": 8,
    "n_modes": [4, 4],
    "latent_shape": [8, 8],
    "levels": 2,
    "patches": 1,
    "num_heads": 2,
}


def samples(count, seed, *, weights=True):
    """u = sin(3x) y a on random points; a is an input, one number on each sample."""
    generator = torch.Generator().manual_seed(seed)
    drawn = []
    for i in range(count):
        n = 12 + i % 4
        x = torch.rand(2, n, generator=generator, dtype=torch.float64)
        a = torch.rand(1, generator=generator).double().expand(n)
        w = torch.rand(n, generator=generator).double() if weights else None
        drawn.append(PointSample({"a": a, "u": torch.sin(3 * x[0]) * x[1] * a}, x, weights=w))
    return drawn


def file(path, drawn):
    fields = (Field("a", "input", "amplitude"), Field("u", "target", "u", "m"))
    spec = DatasetSpec("waves", "random", "none", fields, Points(2, box=BOX), {}, None, len(drawn))
    spec = replace(spec, tolerance=float("inf"), isometric=None)
    return write_points(path, spec, drawn, "float64")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("points")
    file(folder / "train.h5", samples(12, 0))
    file(folder / "test.h5", samples(6, 1))
    return folder


@pytest.fixture(scope="module")
def run(folder):
    recipe = pdeops.load_recipe({
        "name": "points",
        "data": {"train": str(folder / "train.h5"), "test": str(folder / "test.h5")},
        "model": MODEL,
        "training": {"epochs": 1, "batch_size": 4},
    })  # fmt: skip
    pdeops.train(recipe, out=folder / "run")
    return pdeops.load_run(folder / "run")


def test_padding_changes_nothing(run, folder):
    """Metrics and predictions of samples in a batch, and one by one."""
    data = open_dataset(folder / "test.h5")
    alone = [pdeops.evaluate(run, data.subset([i])) for i in range(len(data))]
    together = pdeops.evaluate(run, data)
    for name in ("relative_l2", "nrmse", "vrmse", "max_error", "conserved_error"):
        mean = np.mean([report[name] for report in alone])
        assert together[name] == pytest.approx(mean, rel=1e-4), name
    batch = data.read([0, 3])
    given = {n: batch.get(n) for n in ("positions", "mask", "weights")}
    predicted = run(batch.input, **given)
    assert predicted.shape == (2, 1, 15)
    assert not predicted[0, :, 12:].any()
    spoilt = batch.replace(input=torch.where(batch.mask[:, None], batch.input, 1e3))
    assert torch.equal(run(spoilt.input, **given), predicted)
    one = data[0]
    assert torch.allclose(
        run(one.input, positions=one.positions, weights=one.weights),
        predicted[0, :, :12],
        atol=1e-5,
    )
    arrays = run(one.input[0].numpy(), positions=one.positions.numpy(), weights=one.weights.numpy())
    assert isinstance(arrays, np.ndarray)
    assert np.allclose(arrays, predicted[0, 0, :12], atol=1e-5)


def test_a_point_taken_twice_with_half_the_weight_changes_no_metric(run, folder):
    drawn = samples(6, 1)
    doubled = []
    for s in drawn:
        fields = {n: torch.cat([u, u[:3]]) for n, u in s.fields.items()}
        w = torch.cat([s.weights, s.weights[:3]])
        w[:3] /= 2
        w[-3:] /= 2
        doubled.append(PointSample(fields, torch.cat([s.positions, s.positions[:, :3]], 1), w))
    twice = file(folder / "twice.h5", doubled)
    plain = file(folder / "plain.h5", [replace(s, weights=None) for s in drawn])
    weighted, other = (pdeops.evaluate(run, f) for f in (folder / "test.h5", twice))
    unweighted = pdeops.evaluate(run, plain)
    for name in ("relative_l2", "nrmse", "max_error", "conserved_error"):
        assert other[name] == pytest.approx(weighted[name], rel=1e-4), name
    assert abs(unweighted["relative_l2"] / weighted["relative_l2"] - 1) > 1e-3  # negative control
    assert (weighted["integrals"], unweighted["integrals"]) == ("weighted", "unweighted")


def test_normalizers_ignore_padding(run, folder):
    data = open_dataset(folder / "train.h5", dtype=torch.float64)
    scale, _ = fit_both(run.operator, data)
    values = torch.cat([data[i].input[0] for i in range(len(data))])
    assert scale.mean.item() == pytest.approx(values.mean().item(), rel=1e-12)
    assert scale.std.item() == pytest.approx(values.std(correction=0).item(), rel=1e-12)


def test_predictions_are_written_on_the_points_of_the_file(run, folder):
    report = pdeops.predict(run, folder / "test.h5", folder / "predicted.h5")
    assert report["points"] == "12 to 15 points in each sample, quadrature weights"
    data, predicted = (open_dataset(folder / f) for f in ("test.h5", "predicted.h5"))
    for i in range(len(data)):
        one = data[i]
        assert torch.equal(predicted[i].positions, one.positions)
        assert torch.equal(predicted[i].weights, one.weights)
        assert torch.equal(predicted[i].input, one.input)
        y = run(one.input, positions=one.positions, weights=one.weights)
        assert torch.allclose(predicted[i].target, y, atol=1e-5)
    assert "predicted by PointLSM" in predicted.spec.source


class TestRefused:
    def test_calls(self, run):
        x, p = torch.zeros(2, 1, 5), torch.rand(2, 2, 5)
        for message, arguments in (
            (r"run\(x, positions=...\) of shape \(batch, 2, points\)", {}),
            (r"Positions have shape \(batch, 2, points\); got", {"positions": p.mT}),
            ("positions of 2 samples and weights of 1", {"positions": p, "weights": p[:1, 0]}),
            ("positions are those of 4", {"positions": p[..., :4]}),
            ("points of sample 0 lie outside of the box", {"positions": p + 1}),
            ("not finite in the coordinates", {"positions": p / 0 * 0}),
            ("mask is false", {"positions": p, "mask": torch.zeros(2, 5, dtype=torch.bool)}),
        ):
            with pytest.raises(ValueError, match=message):
                run(x, **arguments)

    def test_jobs_that_need_a_grid(self, folder, run):
        def train(**more):
            data = {"train": str(folder / "train.h5")}
            tables = {"name": "points", "data": data, "model": MODEL, **more}
            pdeops.train(pdeops.load_recipe(tables), out=folder / "none")

        with pytest.raises(ValueError, match=r"symmetries of a box needs a domain of type Grid"):
            train(data={"train": str(folder / "train.h5"), "symmetries": True})
        with pytest.raises(ValueError, match="FNO needs a domain of type"):
            train(model={"name": "FNO", "n_modes": [4, 4]})
        with pytest.raises(ValueError, match="training data name no equation"):
            common({"a": run})

    def test_trajectories(self, folder):
        fields = (Field("u", "state", "u"),)
        domain = Points(2, box=BOX)
        spec = DatasetSpec(
            "flow", "k", "none", fields, domain, {}, None, 2, float("inf"), times=(0.0, 1.0)
        )
        drawn = [PointSample({"u": torch.rand(2, n)}, torch.rand(2, n)) for n in (4, 5)]
        write_points(folder / "flow.h5", spec, drawn)
        tables = {"task": "rollout", "data": {"train": str(folder / "flow.h5")}, "model": MODEL}
        with pytest.raises(ValueError, match="'rollout' needs nodes that all samples share"):
            pdeops.train(pdeops.load_recipe({"name": "r", **tables}), out=folder / "none")

    def test_damaged_files(self, folder):
        import h5py

        path = file(folder / "damaged.h5", samples(4, 2))
        with h5py.File(path, "r+") as h5:
            h5["positions"][13 + 12] = 7.0
        tables = {"name": "p", "data": {"train": str(path)}, "model": MODEL}
        with pytest.raises(ValueError, match=r"damaged.h5: 1 of 14 points of sample 2 lie outside"):
            pdeops.train(pdeops.load_recipe(tables), out=folder / "none")


class Total(torch.nn.Module):
    """The sum over all points, padding included."""

    def forward(self, x):
        return x.sum(-1, keepdim=True).expand_as(x)


def test_padding_is_zero_before_and_after_any_model():
    mask = torch.tensor([[True, True, False], [True, True, True]])
    at = Batch(positions=torch.rand(2, 2, 3), mask=mask)
    scales = (Normalizer.identity(1) for _ in range(2))
    y = Operator(Total(), *scales, domain=Points(2))(torch.full((2, 1, 3), 5.0), at=at)
    assert y.tolist() == [[[10, 10, 0]], [[15, 15, 15]]]


def test_a_batch_keeps_its_mask_in_another_dtype():
    clouds = [Batch(positions=torch.rand(2, n)) for n in (3, 5)]
    moved = Batch.collate(clouds).to(torch.float64)
    assert moved.mask.dtype == torch.bool
    assert moved.positions.dtype == torch.float64


@pytest.mark.slow
def test_the_training_error_of_three_cars_goes_down(shared_data, tmp_path):
    """On real, irregular points."""
    cars = shared_data / "neuraloperator" / "mini_car.pt"
    if not cars.is_file():
        pytest.skip("neuraloperator's cars are not in the shared data")
    model = {**MODEL, "n_modes": [6, 6, 6], "latent_shape": [8, 8, 8]}
    recipe = pdeops.load_recipe({
        "name": "cars",
        "data": {"train": str(cars), "validation": str(cars)},
        "model": model,
        "training": {"epochs": 40, "batch_size": 3},
        "optimizer": {"name": "AdamW", "lr": 5e-3},
    })  # fmt: skip
    result = pdeops.train(recipe, out=tmp_path / "run")
    assert result["validation"]["relative_l2"] < 0.5
