"""The objective against the solver that it makes faster, and against eigenvalues."""

import pytest
import torch
from torch import nn

from pdeops.batch import Batch
from pdeops.domain import Grid
from pdeops.solvers import Diagonal, Diffusion, cg
from pdeops.tasks.preconditioner.conjugate_gradients import MEASURES, ConjugateGradients


class Anything(nn.Module):
    """A model from a map of residuals."""

    def __init__(self, correction):
        super().__init__()
        self.correction = correction

    def at(self, faces):
        return self.correction


@pytest.fixture
def system(generator):
    grid = Grid((6, 5), (6.0, 5.0), "dirichlet", "interior")
    a = torch.rand(grid.shape, generator=generator, dtype=torch.float64) + 0.1
    A = Diffusion(a, grid)
    e = torch.randn(3, *grid.shape, generator=generator, dtype=torch.float64)
    faces = [c.expand(3, *c.shape) for c in A.faces]
    return A, Batch(operator=faces, target=e)


def scaled(logarithms):
    return Anything(lambda r: r * logarithms.exp())


def matrix(A):
    return torch.from_numpy(A.to_csr().toarray())


def log_condition(A, logarithms):
    half = (logarithms.flatten() / 2).exp()
    eigenvalues = torch.linalg.eigvalsh(half[:, None] * matrix(A) * half)
    return (eigenvalues[-1] / eigenvalues[0]).log()


def test_condition_is_that_of_the_preconditioned_matrix_and_so_is_its_gradient(system, generator):
    """With as many steps as there are unknowns the Ritz values are the eigenvalues."""
    A, batch = system
    logarithms = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64)
    ours, exact = (logarithms.clone().requires_grad_() for _ in range(2))
    loss = ConjugateGradients(steps=30)(scaled(ours), batch)
    loss.backward()
    expected = log_condition(A, exact)
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    torch.testing.assert_close(ours.grad, exact.grad, rtol=1e-3, atol=1e-4)


def test_few_steps_bound_the_condition_from_below(system):
    A, batch = system
    none = torch.zeros(A.grid.shape, dtype=torch.float64)
    bounds = [ConjugateGradients(steps=k)(scaled(none), batch).item() for k in (3, 6, 12)]
    assert bounds == sorted(bounds)
    assert 0.9 * log_condition(A, none) < bounds[-1] < log_condition(A, none)


@pytest.mark.parametrize("steps", [2, 5])
def test_walks_as_the_solver_does(system, steps):
    A, batch = system
    M = Diagonal(A)
    rates, reductions = ConjugateGradients(steps=steps).walk(Anything(M.apply), batch)
    for i, e in enumerate(batch.target):
        b = A @ e
        x = cg(A, b, M=M, rtol=1e-14, max_iterations=steps).x
        left = ((e - x) * (A @ (e - x))).sum() / (e * b).sum()
        assert rates[:, i].sum().item() == pytest.approx(left.log().item() / 2, rel=1e-6)
        rest = (b - A @ x).norm() / b.norm()
        assert reductions[:, i].prod().sqrt().item() == pytest.approx(rest.item(), rel=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_an_exact_preconditioner_is_no_accident(system, measure):
    """CG is done after one step; what follows must not become NaN."""
    A, batch = system
    inverse = torch.linalg.inv(matrix(A))
    exact = Anything(lambda r: (r.flatten(1) @ inverse).view(r.shape))
    loss = ConjugateGradients(steps=5, measure=measure)(exact, batch).item()
    assert abs(loss) < 1e-6 if measure == "condition" else loss < -3


@pytest.mark.parametrize("measure", ["condition", "energy"])  # not that of the Frobenius norm
def test_descending_makes_cg_faster(system, measure, generator):
    A, batch = system
    bad = torch.randn(A.grid.shape, generator=generator, dtype=torch.float64).requires_grad_()
    start = bad.detach().clone()
    objective = ConjugateGradients(steps=6, measure=measure)
    optimizer = torch.optim.Adam([bad], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        objective(scaled(bad), batch).backward()
        optimizer.step()
    assert log_condition(A, bad.detach()) < 0.8 * log_condition(A, start)


def test_what_it_refuses():
    with pytest.raises(ValueError, match=r"condition, energy"):
        ConjugateGradients(measure="conditoin")
    with pytest.raises(ValueError, match="2 or more; got 1"):
        ConjugateGradients(steps=1)
