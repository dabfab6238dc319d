"""Darcy: the laws of the permeabilities, orders of convergence."""

import math
from itertools import pairwise

import pytest
import torch

from pdeops.datasets import Darcy, DihedralAugmentation, generate, open_dataset
from pdeops.datasets.problems.random_fields import GaussianField
from pdeops.domain import Grid
from pdeops.tasks import load_recipe, train


def observed_orders(errors, ratio=2.0):
    return [math.log(a / b, ratio) for a, b in pairwise(errors)]


def test_sample_i_on_65_nodes_is_exactly_nested_in_129():
    for index in range(10):
        x, fine = (Darcy().sample_input(Grid((n, n)), 0, index) for n in (65, 129))
        assert torch.equal(x, fine[..., ::2, ::2])


def test_the_permeability_takes_two_values_about_half_each():
    grid = Grid((65, 65))
    k = torch.stack([Darcy().sample_input(grid, 0, i) for i in range(200)])
    assert k.unique().tolist() == [3.0, 12.0]
    share = (k == 12).double().mean((1, 2, 3))
    # Without the constant mode no sample is nearly all of one kind, and both kinds are alike on
    # average.
    assert share.mean().item() == pytest.approx(0.5, abs=0.02)
    assert share.std() < 0.1
    assert share.min() > 0.2
    assert share.max() < 0.8


def test_421_has_419_squared_unknowns():
    grid = Darcy().grid((421, 421))
    assert grid.interior.shape == (419, 419)


def test_rough_has_more_and_smaller_blobs_of_contrast_six():
    grid = Grid((129, 129))
    crossings = {}
    for kind, low in (("piecewise", 3.0), ("rough", 2.0)):
        k = torch.stack([Darcy(kind).sample_input(grid, 0, i)[0] for i in range(40)])
        assert k.unique().tolist() == [low, 12.0]
        crossings[kind] = (k.diff(dim=1) != 0).double().mean().item()
    assert crossings["rough"] > 1.25 * crossings["piecewise"]


@pytest.mark.parametrize("scale", [1.0, 9.0])
def test_the_logarithm_of_a_lognormal_permeability_has_the_stated_variance(scale):
    grid = Grid((9, 5), extent=(1.0, 0.5))
    problem = Darcy("lognormal", num_modes=16, scale=scale)
    g = torch.stack([problem.sample_input(grid, 0, i)[0] for i in range(1000)]).log()
    field = GaussianField(tau=3.0, alpha=2.0, num_modes=16, scale=scale, zero_mean=False)
    # Relative standard deviation of a mean of 1000 squares of normals: sqrt(2/1000) = 4.5 %.
    assert (g.square().mean(0) / field.variance(grid) - 1).abs().max() < 5 * math.sqrt(2 / 1000)
    assert (g.mean(0) / field.variance(grid).sqrt()).abs().max() < 5 / math.sqrt(1000)


def test_multiscale_is_the_product_it_is_defined_by():
    from pdeops.datasets.problems.random_fields import sample_generator

    grid = Grid((7, 5), extent=(1.0, 0.5))
    x, y = grid.nodes()
    draws = sample_generator(3, 1)
    expected = torch.ones(grid.shape, dtype=torch.float64)
    for k in range(1, 7):
        a = draws.uniform(2 ** (k - 1), 1.5 * 2 ** (k - 1))
        expected *= (1 + 0.5 * torch.cos(a * math.pi * (x + y))) * (
            1 + 0.5 * torch.sin(a * math.pi * (y - 3 * x))
        )
    got = Darcy("multiscale").sample_input(grid, 3, 1)[0]
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)
    assert got[0, 0] == pytest.approx(1.5**6)  # every wave peaks in this corner


def test_multigrid_does_not_slow_down_on_many_scales():
    """Contrasts of 1e3 to 1e4; the same count on 129 and 257 nodes, where the waves are resolved
    ever better."""
    for n in (129, 257):
        grid = Grid((n, n))
        problem = Darcy("multiscale")
        for index in range(3):
            k = problem.sample_input(grid, 0, index)
            assert k.max() / k.min() > 1e3
            result = problem.solve(k, grid)
            assert result.converged
            assert result.iterations <= 13


WISHES = ("symmetries", "average_symmetries")


def test_samples_without_symmetries_are_not_augmented(tmp_path):
    grid = Grid((9, 9))
    for kind in ("multiscale", "rough"):
        out = tmp_path / f"{kind}.h5"
        generate(Darcy(kind), grid, num_samples=2, seed=0, out=out)
    assert len(DihedralAugmentation(open_dataset(tmp_path / "rough.h5"), seed=0)) == 2
    with pytest.raises(ValueError, match=r"Samples of darcy \(multiscale\) are not symmetric"):
        DihedralAugmentation(open_dataset(tmp_path / "multiscale.h5"), seed=0)
    table = [f"data.train={tmp_path}/multiscale.h5", "data.validation=1", "data.samples=2"]
    for wish in WISHES:
        wishes = [f"data.{w}={'true' if w == wish else 'false'}" for w in WISHES]
        recipe = load_recipe("mgno_quickstart", [*table, *wishes])
        with pytest.raises(ValueError, match=f"are not symmetric.*data.{wish}"):
            train(recipe, out=tmp_path / "run", device="cpu")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: Darcy(low=-1.0), "permeability is positive"),
        (lambda: Darcy("rough", high=0.0), "permeability is positive"),
        (lambda: Darcy("multiscale", num_scales=0), "at least 1; got 0"),
    ],
)
def test_parameters_out_of_range_are_refused(call, match):
    with pytest.raises(ValueError, match=match):
        call()


class ManufacturedDarcy(Darcy):
    """Darcy with the source of a chosen solution."""

    def __init__(self, f):
        super().__init__()
        self.f = f

    def rhs(self, x, grid):
        return self.f(*grid.nodes())[1:-1, 1:-1].contiguous()


def l2_errors(problem, k, u, shapes, extent):
    errors = []
    for shape in shapes:
        grid = Grid(shape, extent)
        X, Y = grid.nodes()
        result = problem.solve(k(X, Y)[None], grid)
        assert result.converged
        errors.append((grid.quadrature() * (result.x - u(X, Y)) ** 2).sum().sqrt().item())
    return errors


def test_darcy_is_second_order_for_smooth_permeability():
    """u = sin(pi x) sin(pi y / L) with k = 2 + cos(pi x) y, on a box."""
    L, pi = 0.7, math.pi

    def k(x, y):
        return 2 + torch.cos(pi * x) * y

    def u(x, y):
        return torch.sin(pi * x) * torch.sin(pi * y / L)

    def f(x, y):
        sx, cx, sy, cy = (
            torch.sin(pi * x),
            torch.cos(pi * x),
            torch.sin(pi * y / L),
            torch.cos(pi * y / L),
        )
        laplacian = -(pi**2) * (1 + 1 / L**2) * sx * sy
        grad_k_grad_u = (-pi * sx * y) * (pi * cx * sy) + cx * (pi / L * sx * cy)
        return -k(x, y) * laplacian - grad_k_grad_u

    errors = l2_errors(
        ManufacturedDarcy(f), k, u, [(17, 13), (33, 25), (65, 49), (129, 97)], (1.0, L)
    )
    assert observed_orders(errors) == pytest.approx([2.0] * 3, abs=0.1)


@pytest.mark.parametrize("axis", [0, 1])
def test_darcy_is_second_order_across_a_jump_midway_between_nodes(axis):
    """k = 3 | 12 at s = 1/2; u = s (s - 1) (s - 1/2) / k(s) sin(pi t): u and the flux are
    continuous."""
    pi = math.pi

    def split(x, y):
        return (x, y) if axis == 0 else (y, x)

    def k(x, y):
        return torch.where(split(x, y)[0] < 0.5, 3.0, 12.0).double()

    def u(x, y):
        s, t = split(x, y)
        return s * (s - 1) * (s - 0.5) / k(x, y) * torch.sin(pi * t)

    def f(x, y):
        s, t = split(x, y)
        return -((6 * s - 3) - pi**2 * s * (s - 1) * (s - 0.5)) * torch.sin(pi * t)

    shapes = [(n, n) for n in (16, 32, 64, 128)]  # an odd number of cells: 1/2 is the middle of one
    errors = l2_errors(ManufacturedDarcy(f), k, u, shapes, 1.0)
    cells = [15, 31, 63, 127]
    orders = [
        math.log(errors[i] / errors[i + 1], cells[i + 1] / cells[i]) for i in range(len(errors) - 1)
    ]
    assert orders == pytest.approx([2.0] * 3, abs=0.1)
