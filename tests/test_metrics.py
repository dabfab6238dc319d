"""Closed forms, completeness of the bands, and means that do not know the batch size."""

import math

import pytest
import torch
import torch.multiprocessing as mp

from pdeops.domain import Grid
from pdeops.losses import MeanSquare
from pdeops.metrics import METRICS, MetricMean, band_errors

GRIDS = [
    Grid((9, 9)),
    Grid((16, 15), (1.0, 2.0), "periodic"),
    Grid((7, 8), (1.0, 2.0), placement="interior"),
    Grid((6, 11), (3.0, 0.5), ("neumann", "periodic"), ("centers", "left")),
    Grid((33,), boundary="neumann"),
    Grid((5, 4, 6), boundary=("periodic", "dirichlet", "neumann")),
]


def pair(generator, grid, batch=5, channels=2):
    return torch.randn(2, batch, channels, *grid.shape, generator=generator, dtype=torch.float64)


def test_the_names_of_the_table():
    assert list(METRICS) == [
        "relative_l2",
        "relative_h1",
        "nrmse",
        "vrmse",
        "max_error",
        "boundary_error",
        "conserved_error",
        "low_frequency_error",
        "mid_frequency_error",
        "high_frequency_error",
    ]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", METRICS)
def test_one_number_per_sample_that_knows_no_other(generator, name, grid):
    p, t = pair(generator, grid)
    values = METRICS[name](p, t, grid)
    assert values.shape == (5,)
    alone = torch.cat([METRICS[name](p[i : i + 1], t[i : i + 1], grid) for i in range(5)])
    assert torch.allclose(values, alone, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", METRICS)
def test_finite_on_zero_and_constant_fields_and_zero_without_error(generator, name, grid):
    p, t = pair(generator, grid)
    zero, one = torch.zeros_like(p), torch.ones_like(p)
    for target in (t, zero, one):
        assert METRICS[name](target, target, grid).abs().max() < 1e-12
        for prediction in (p, zero, one):
            assert METRICS[name](prediction, target, grid).isfinite().all()
            assert (METRICS[name](prediction, target, grid) >= 0).all()


@pytest.mark.parametrize("grid", GRIDS)
def test_relative_errors_of_a_scaled_field(generator, grid):
    _, t = pair(generator, grid)
    for name in ("relative_l2", "relative_h1", "nrmse"):
        assert METRICS[name](1.1 * t, t, grid).tolist() == pytest.approx([0.1] * 5, rel=1e-12)


def test_a_constant_offset_in_closed_form():
    grid = Grid((17, 17))
    x, _ = grid.nodes()
    t = torch.cos(math.pi * x)[None, None]  # ∫t² = 1/2, ∫|∇t|² = π²/2, ∫|t| ≈ 2/π
    p = t + 0.3
    found = {name: metric(p, t, grid).item() for name, metric in METRICS.items()}
    n, rms = 17, t.square().mean().sqrt().item()
    variance = (rms**2) * (n * n) / (n * n - 1)
    expected = {
        "relative_l2": 0.3 / math.sqrt(1 / 2),
        "relative_h1": 0.3 / math.sqrt((1 + math.pi**2) / 2),
        "nrmse": 0.3 / rms,
        "vrmse": 0.3 / math.sqrt(variance),
        "max_error": 0.3,
        "boundary_error": 0.3,
        "conserved_error": 0.3 / (grid.quadrature() * t.abs()).sum().item(),
        "low_frequency_error": 0.09,
        "mid_frequency_error": 0.0,
        "high_frequency_error": 0.0,
    }
    assert found == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_one_wrong_node_on_the_boundary_and_one_inside():
    grid = Grid((5, 6))
    t = torch.zeros(1, 1, 5, 6)
    edge, inside = t.clone(), t.clone()
    edge[0, 0, 0, 3] = 6.0
    inside[0, 0, 2, 3] = 6.0
    num_edge = 2 * (5 + 6) - 4
    boundary = METRICS["boundary_error"]
    assert boundary(edge, t, grid).item() == pytest.approx(6 / math.sqrt(num_edge))
    assert boundary(inside, t, grid).item() == 0
    cells = Grid((5, 6), boundary="neumann", placement="centers")
    assert boundary(edge, t, cells).item() == pytest.approx(6 / math.sqrt(num_edge))
    for no_ends in (Grid((5, 6), boundary="periodic"), Grid((5, 6), placement="interior")):
        assert boundary(edge, t, no_ends).item() == 0


def test_conserved_error_of_fields_with_zero_mean(generator):
    grid = Grid((32,), boundary="periodic")
    t = torch.sin(2 * math.pi * grid.axis(0))[None, None]
    conserved = METRICS["conserved_error"]
    assert conserved(t.roll(3, -1), t, grid).item() < 1e-15  # moved, not lost
    assert conserved(t + 0.1, t, grid).item() == pytest.approx(0.1 * math.pi / 2, rel=1e-2)
    assert conserved(t + 0.1, 0 * t, grid).item() == pytest.approx(0.1)


def test_a_wave_falls_in_its_band_whatever_its_direction():
    """PDEBench's 2D bands hold kx, ky >= 0 only; half of the waves of a real field are outside."""
    grid = Grid((64, 64), boundary="periodic")
    x, y = 2 * math.pi * grid.nodes()
    t = torch.zeros(1, 1, 64, 64, dtype=torch.float64)
    waves = {(1, 0): 0, (3, 0): 0, (2, -3): 0, (4, 0): 1, (3, 3): 1, (-8, 8): 1, (0, 12): 2}
    waves |= {(9, -9): 2, (-31, 31): 2, (32, 0): 2}
    for (a, b), band in waves.items():
        e = torch.cos(a * x + b * y)[None, None]
        parts = band_errors(e, t, grid)[0]
        assert parts[band].item() == pytest.approx(e.square().mean().item(), rel=1e-12), (a, b)
        assert parts.sum().item() == pytest.approx(parts[band].item(), rel=1e-12)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_bands_sum_to_the_mean_squared_error(generator, grid):
    p, t = pair(generator, grid)
    names = ("low_frequency_error", "mid_frequency_error", "high_frequency_error")
    total = sum(METRICS[name](p, t, grid) for name in names)
    assert torch.allclose(total, MeanSquare(grid).per_sample(p, t), rtol=1e-13)


def test_the_bands_sum_to_the_plain_mse_on_a_torus(generator):
    grid = Grid((30, 31), (2.0, 3.0), "periodic")
    p, t = pair(generator, grid)
    total = band_errors(p, t, grid).sum(1)
    assert torch.allclose(total, (p - t).square().mean((1, 2, 3)), rtol=1e-13)


def test_vrmse_of_the_mean_is_one(generator):
    grid = Grid((20, 20))
    t = 5 + pair(generator, grid)[1]
    mean = t.mean((2, 3), keepdim=True).expand_as(t)
    n = grid.num_nodes
    expected = math.sqrt((n - 1) / n)
    assert METRICS["vrmse"](mean, t, grid).tolist() == pytest.approx([expected] * 5, rel=1e-12)


@pytest.mark.parametrize(
    "name", ["relative_l2", "relative_h1", "nrmse", "vrmse", "conserved_error"]
)
def test_relative_metrics_do_not_know_units(name, generator):
    grid = Grid((20, 20))
    p, t = pair(generator, grid)
    in_metres = METRICS[name](p, t, grid)
    in_kilometres = METRICS[name](1e-3 * p, 1e-3 * t, grid)
    assert torch.allclose(in_metres, in_kilometres, rtol=1e-12)


def test_relative_h1_sees_oscillations_that_l2_does_not():
    grid = Grid((64,), boundary="periodic")
    x = 2 * math.pi * grid.axis(0)
    t, e = torch.sin(x)[None, None], 0.01 * torch.sin(30 * x)[None, None]
    assert METRICS["relative_l2"](t + e, t, grid).item() == pytest.approx(0.01)
    ratio = math.sqrt((1 + (60 * math.pi) ** 2) / (1 + (2 * math.pi) ** 2))
    assert METRICS["relative_h1"](t + e, t, grid).item() == pytest.approx(0.01 * ratio, rel=1e-10)


@pytest.mark.parametrize("batch", [1, 3, 4, 7, 32])
def test_means_do_not_depend_on_the_batch_size(generator, batch):
    """13 samples: every batch size but 1 leaves a short last batch."""
    grid = GRIDS[0]
    p, t = pair(generator, grid, batch=13)
    t = t * torch.logspace(-2, 2, 13)[:, None, None, None]
    mean = MetricMean(grid)
    for a, b in zip(p.split(batch), t.split(batch), strict=True):
        mean.update(a, b)
    expected = {name: metric(p, t, grid).mean().item() for name, metric in METRICS.items()}
    assert mean.num_samples == 13
    assert mean.compute() == pytest.approx(expected, rel=1e-13)


def test_float32_fields_are_measured_in_float64(generator):
    grid = GRIDS[0]
    p, t = pair(generator, grid).float()
    for name, metric in METRICS.items():
        assert torch.equal(metric(p, t, grid), metric(p.double(), t.double(), grid)), name


def test_a_subset_by_name_and_a_hint_for_a_wrong_one(generator):
    grid = GRIDS[0]
    mean = MetricMean(grid, names=("relative_h1", "max_error"))
    mean.update(*pair(generator, grid))
    assert list(mean.compute()) == ["relative_h1", "max_error"]
    with pytest.raises(ValueError, match=r"'relative_l1'.*Did you mean 'relative_"):
        MetricMean(grid, names=("relative_l1",))


def test_no_mean_of_no_samples():
    with pytest.raises(ValueError, match="no samples"):
        MetricMean(GRIDS[0]).compute()


def test_update_keeps_no_graph(generator):
    grid = GRIDS[0]
    p, t = pair(generator, grid)
    mean = MetricMean(grid)
    mean.update(p.requires_grad_(), t)
    assert not mean._sums.requires_grad


def test_all_reduce_in_one_process_changes_nothing(generator):
    grid = GRIDS[0]
    mean = MetricMean(grid)
    mean.update(*pair(generator, grid))
    before = mean.compute()
    assert mean.all_reduce().compute() == before


def _worker(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=3
    )
    try:
        p, t = torch.load(f"{folder}/fields.pt", weights_only=True)
        mean = MetricMean(GRIDS[0], names=("relative_l2", "max_error"))
        share = [slice(0, 4), slice(4, 5), slice(5, 5)][rank]  # the last process has no sample
        if rank < 2:
            mean.update(p[share], t[share])
        mean.all_reduce().all_reduce()
        assert mean.num_samples == 5
        with pytest.raises(ValueError, match="already summed"):
            mean.update(p, t)
        torch.save(mean.compute(), f"{folder}/{rank}.pt")
    finally:
        torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_all_reduce_weighs_every_sample_once(generator, tmp_path):
    p, t = pair(generator, GRIDS[0])
    torch.save((p, t), tmp_path / "fields.pt")
    mp.spawn(_worker, (str(tmp_path),), nprocs=3)
    expected = {n: METRICS[n](p, t, GRIDS[0]).mean().item() for n in ("relative_l2", "max_error")}
    for rank in range(3):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found == pytest.approx(expected, rel=1e-14)
