"""What holds for every kind of every problem; wrong names and grids; what a spec says."""

import pytest
import torch

from pdeops.datasets import DATASETS, Darcy, problem_named, problem_of
from pdeops.domain import Grid
from pdeops.nn.symmetry import isometries
from pdeops.solvers import with_boundary

KINDS = [(name, kind) for name, problem in DATASETS.items() for kind in problem.KINDS]
GRIDS = {"square": ((33, 33), 1.0), "box": ((33, 18), (1.0, 0.6))}


@pytest.fixture(params=KINDS, ids="-".join)
def problem(request):
    return problem_named(*request.param)


@pytest.fixture(params=GRIDS.values(), ids=GRIDS)
def grid(request, problem):
    shape, extent = request.param
    return Grid(shape, extent, problem.boundary)


class TestEveryKind:
    """The contract of a problem, for each of its kinds."""

    def test_the_solution_satisfies_the_discrete_equation(self, problem, grid):
        for index in range(3):
            x = problem.sample_input(grid, 0, index)
            result = problem.solve(x, grid)
            assert result.converged
            assert result.x.shape == grid.shape
            assert result.x.dtype == torch.float64
            known = with_boundary(torch.zeros(grid.interior.shape) + 1, grid) == 0
            assert (result.x[known] == 0).all()
            assert (result.x[~known] != 0).all()
            assert problem.residual(x[None], result.x[None, None], grid).item() <= 1e-10

    def test_the_residual_is_that_of_the_operator(self, problem, grid, generator):
        """Against b - A u written out, for a field that is no solution."""
        x = torch.stack([problem.sample_input(grid, 0, i) for i in range(2)])
        y = torch.randn((2, 1, *grid.shape), generator=generator)
        got = problem.residual(x.float(), y, grid)
        inner = tuple(slice(1, -1) if b == "dirichlet" else slice(None) for b in problem.boundary)
        for i in range(2):
            x_i = x[i].float().double()
            A, b = problem.operator(x_i, grid), problem.rhs(x_i, grid)
            assert A.grid == grid.interior
            expected = (b - A @ y[i, 0][inner].double().contiguous()).norm() / b.norm()
            assert got[i].item() == pytest.approx(expected.item(), rel=1e-12)
        assert (got > 1).all()  # noise does not solve the equation

    def test_the_spec_leads_back_to_the_problem(self, problem, grid):
        spec = problem.spec(grid, 3, 5)
        again = problem_of(type(spec).from_json(spec.to_json()))
        assert type(again) is type(problem)
        assert again.spec(grid, 3, 5) == spec
        again.check_grid(spec.domain)
        torch.testing.assert_close(
            again.sample_input(grid, 3, 0), problem.sample_input(grid, 3, 0), rtol=0, atol=0
        )

    def test_samples_are_the_same_functions_on_a_finer_grid(self, problem, grid):
        fine = grid.refined(2)
        for index in range(3):
            x, finer = (problem.sample_input(g, 0, index) for g in (grid, fine))
            torch.testing.assert_close(x, finer[..., ::2, ::2], rtol=1e-12, atol=1e-13)

    def test_its_grid_has_its_boundary(self, problem, grid):
        own = problem.grid((9, 17))
        assert own == Grid((9, 17), boundary=problem.boundary)
        assert own.with_shape((5, 5)) == problem.grid((5, 5))
        other = Grid((9, 9), boundary=("periodic", "neumann"))
        with pytest.raises(ValueError, match=f"{problem.name} {problem.kind} is solved on 2D"):
            problem.check_grid(other)

    def test_moved_inputs_have_moved_solutions(self, problem, grid):
        x = problem.sample_input(grid, 0, 0)
        y = problem.solve(x, grid, rtol=1e-12).x
        for isometry in isometries(grid):
            moved = problem.solve(move(x, isometry).contiguous(), grid, rtol=1e-12).x
            torch.testing.assert_close(moved, move(y[None], isometry)[0], rtol=0, atol=1e-11)

    def test_the_law_of_its_inputs_has_the_symmetries_it_claims(self, problem):
        """Means of linear and quadratic functionals of x and of g x, in standard errors."""
        grid = problem.grid((9, 9))
        x = torch.stack([problem.sample_input(grid, 5, i)[0] for i in range(400)])
        x = (x - x.mean()) / x.std()
        random = torch.Generator().manual_seed(0)
        weights = torch.randn(8, 9, 9, generator=random, dtype=torch.float64)
        largest = 0.0
        for g in isometries(grid)[1:]:
            here, there = (torch.einsum("wij,nij->nw", w, x) for w in (weights, move(weights, g)))
            for power in (1, 2):
                gap = here**power - there**power
                z = gap.mean(0) / (gap.std(0) / len(x) ** 0.5)
                largest = max(largest, z.abs().max().item())
        assert largest < 4.5 if problem.isometric else largest > 20


def move(u, isometry):
    """A field (channel, x, y) moved by a symmetry of its box."""
    order, reflected = isometry
    return u.permute(0, *(a + 1 for a in order)).flip([a + 1 for a in reflected])


def test_unknown_names_list_the_choices_and_the_nearest():
    with pytest.raises(
        ValueError, match=r"Unknown problem: 'dacry'. Did you mean 'darcy'\? Choices: darcy, p"
    ):
        problem_named("dacry")
    with pytest.raises(ValueError, match=r"kind of darcy: 'piecewize'. Did you mean 'piecewise'"):
        Darcy("piecewize")
    with pytest.raises(ValueError, match=r"kind of darcy: 'zzz'. Choices: piecewise"):
        Darcy("zzz")
    with pytest.raises(
        ValueError, match=r"parameter of darcy piecewise: 'hihg'. Did you mean 'high'"
    ):
        Darcy(hihg=4.0)
    with pytest.raises(ValueError, match="Parameter low is of type float; got 'three'"):
        Darcy(low="three")
    with pytest.raises(ValueError, match=r"num_modes is of type int; got 16\.0"):
        Darcy(num_modes=16.0)
    assert type(Darcy(low=4).inputs.low) is float
    assert problem_of(Darcy().spec(Grid((9, 9)), 0, 1)) is not None


@pytest.mark.parametrize(
    "grid",
    [
        Grid((2, 9)),
        Grid((9,)),
        Grid((9, 9, 9)),
        Grid((9, 9), boundary="periodic"),
        Grid((9, 9), boundary="neumann"),
        Grid((9, 9), placement="interior"),
    ],
    ids=["tiny", "1D", "3D", "periodic", "neumann", "interior"],
)
def test_grids_it_is_not_posed_on_are_refused(grid):
    with pytest.raises(ValueError, match="2D grids that store their Dirichlet boundary"):
        Darcy().check_grid(grid)


def test_a_spec_names_what_differs():
    here = Darcy(low=4.0).spec(Grid((9, 9)), 0, 10)
    there = Darcy().spec(Grid((9, 17)), 0, 10)
    assert here.difference(here) == []
    assert here.difference(there) == [
        "domain.shape: [9, 9] here, [9, 17] there",
        "parameters.low: 4.0 here, 3.0 there",
    ]
