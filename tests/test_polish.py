"""First guesses: an operator that is exact leaves nothing to do, a wrong one does no harm."""

from pathlib import Path

import pytest
import torch
from torch import nn

from pdeops.datasets import Darcy, Poisson
from pdeops.domain import Grid
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer
from pdeops.polish import first_guess
from pdeops.solvers import Diffusion, Laplacian, Multigrid, cg, recognise
from pdeops.tasks import load_recipe
from pdeops.tasks.supervised import Run


class Predicts(nn.Module):
    """A model that predicts what a function says; it stands for a trained one."""

    def __init__(self, predict, normalizer):
        super().__init__()
        self.predict, self.normalizer = predict, normalizer
        self.parameter = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return torch.stack([self.predict(u[0]) for u in self.normalizer.inverse(x)])[:, None]


def run_of(problem, predict, mean=7.0, std=2.0):
    grid = problem.grid((17, 17))
    units = Normalizer(torch.tensor([mean]), torch.tensor([std]))
    operator = Operator(Predicts(predict, units), units, Normalizer.identity(1))
    recipe = load_recipe("fno_darcy65")
    return Run(Path("runs/stand_in"), recipe, operator, grid, problem.spec(grid, 0, 1), 1)


@pytest.fixture
def blobs():
    """Darcy at 33 x 41 nodes, on a matrix in units of its own."""
    problem = Darcy("piecewise")
    grid = problem.grid((33, 33))
    x = problem.sample_input(grid, seed=3, index=0)
    return problem, grid, x


@pytest.mark.parametrize("unit", ["h", "none"])
def test_the_coefficient_is_found_in_the_matrix(blobs, unit):
    problem, grid, x = blobs
    seen = []

    def predict(k):
        seen.append(k)
        return torch.ones_like(k)

    factor = 1.0 if unit == "h" else grid.spacing[0] ** 2
    A = recognise(problem.operator(x, grid).to_csr() * factor).operator
    first_guess(run_of(problem, predict), A, torch.ones(A.grid.shape, dtype=torch.float64))
    inner = (slice(1, -1), slice(1, -1))
    right = ((seen[0] - x[0])[inner].abs() < 1e-9).double().mean()
    assert seen[0].shape == grid.shape
    assert right > 0.9  # all but the nodes at corners of the blobs
    assert seen[0].min() >= 3 - 1e-9
    assert seen[0].max() <= 12 + 1e-9


def test_an_exact_operator_leaves_nothing_to_do():
    """Smooth in one direction, so that the coefficient is found exactly: layers."""
    problem, grid = Darcy("piecewise"), Grid((25, 21))
    k = torch.full(grid.shape, 3.0, dtype=torch.float64)
    k[12:] = 12.0
    A = recognise(3.7 * problem.operator(k[None], grid).to_csr()).operator
    b = torch.full(A.grid.shape, -20.0, dtype=torch.float64)
    run = run_of(problem, lambda k: problem.solve(k[None], grid).x)
    x0 = first_guess(run, A, b)
    plain = cg(A, b, M=Multigrid(A), rtol=1e-8)
    result = cg(A, b, M=Multigrid(A), x0=x0, rtol=1e-8)
    assert result.converged
    assert result.iterations < plain.iterations / 2


@pytest.mark.parametrize("kind", ["gaussian", "neumann", "mixed"])
def test_an_exact_operator_of_poissons_equation(kind):
    problem = Poisson(kind)
    grid = problem.grid((17, 21))
    x = problem.sample_input(grid, seed=5, index=1)
    A = recognise(Laplacian(grid).to_csr() * 0.01).operator
    b = problem.rhs(x, grid) * 40
    run = run_of(problem, lambda f: problem.solve(f[None], grid).x, std=1.0)
    assert cg(A, b, x0=first_guess(run, A, b), rtol=1e-8).iterations == 0


@pytest.mark.parametrize(
    "predict", [torch.neg, torch.zeros_like, torch.sin, lambda k: k * torch.nan]
)
def test_a_wrong_operator_does_no_harm(blobs, predict):
    """In the norm that CG minimises the guess is never worse than zero."""
    problem, grid, x = blobs
    A = recognise(problem.operator(x, grid).to_csr()).operator
    b = torch.ones(A.grid.shape, dtype=torch.float64)
    truth = cg(A, b, M=Multigrid(A), rtol=1e-12).x
    error = truth - first_guess(run_of(problem, predict), A, b)
    energy = [(e * (A @ e)).sum() for e in (error, truth)]
    assert energy[0] <= energy[1] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("A", "reason"),
    [
        (Diffusion(1.0, Grid((9, 9, 9))), "3 axes, not 2"),
        (Diffusion(1.0, Grid((9, 9), boundary="periodic")), "are periodic and periodic"),
        (
            Diffusion(1.0, Grid((9, 9), boundary="neumann")),
            "neumann and neumann, not dirichlet",
        ),
        (
            Diffusion(1.0, Grid((9, 9), placement="centers"), fluid=torch.eye(9) == 0),
            "solid nodes",
        ),
    ],
    ids=["3d", "periodic", "neumann", "solid"],
)
def test_other_systems_are_refused(A, reason):
    run = run_of(Darcy("piecewise"), torch.neg)
    with pytest.raises(ValueError, match=reason):
        first_guess(run, A, torch.ones(A.grid.shape, dtype=torch.float64))


def test_a_run_on_foreign_data_is_refused(blobs):
    problem, _, _ = blobs
    known = run_of(problem, torch.neg)
    run = Run(known.folder, known.recipe, known.operator, known.domain, None, 1)
    A = Diffusion(1.0, Grid((9, 9)))
    with pytest.raises(ValueError, match="does not know"):
        first_guess(run, A, torch.ones(A.grid.shape, dtype=torch.float64))
