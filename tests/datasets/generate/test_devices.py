"""Generation on a device: the path of a GPU, run here by the plain-torch forms on the CPU."""

import os

import h5py
import pytest
import torch

from pdeops.datasets import Poisson, generate, open_dataset, problem_named
from pdeops.domain import Grid
from pdeops.solvers import Diffusion, solve_sparse
from pdeops.solvers.multigrid.side_by_side import block_diagonal, solve_side_by_side

CPU = torch.device("cpu")
SMALL = {"t_end": 0.2, "num_frames": 2, "refinement": 2, "num_waves": 4}
CASES = [  # name, kind, parameters, nodes per axis
    ("darcy", "rough", {"num_modes": 16}, (17, 12)),
    *(
        pytest.param(*case, marks=pytest.mark.slow)
        for case in [
            ("darcy", "multiscale", {}, (9, 14)),
            ("poisson", "gaussian", {"num_modes": 8}, (9, 10)),
            ("poisson", "mixed", {"num_modes": 8}, (9, 10)),
            ("navier_stokes", "fno_1e-3", SMALL, (16, 16)),
            ("navier_stokes", "mcwilliams_dense", SMALL | {"t_start": 0.1, "t_end": 0.3}, (16, 16)),
            ("burgers", "gaussian", SMALL | {"num_waves": 8}, (32,)),
        ]
    ),
]


@pytest.fixture
def pretended_gpu(monkeypatch):
    """`generate` finds a GPU, whose samples the CPU solves together."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a pretended GPU")

    def pretend(problem):
        together, sizes = problem.solved_together, []

        def on_cpu(spec, indices, device):
            assert device == torch.device("cuda")
            sizes.append(len(indices))
            return together(spec, indices, CPU)

        monkeypatch.setattr(problem, "solved_together", on_cpu, raising=False)
        return sizes

    return pretend


@pytest.mark.parametrize(("name", "kind", "parameters", "shape"), CASES)
def test_samples_solved_together_are_those_solved_one_by_one(name, kind, parameters, shape):
    """The inputs to the last bit; the solutions to the tolerance of a steady equation, or to the
    error in time, which steps of another length change."""
    problem = problem_named(name, kind, **parameters)
    spec = problem.spec(problem.grid(shape), 3, 3)
    together = problem.solved_together(spec, [2, 0], CPU)
    for index, sample in zip((2, 0), together, strict=True):
        alone = problem.solved_sample(spec, index)
        assert sample.residual <= spec.tolerance
        for field in spec.fields:
            u, v = (s.fields[field.name] for s in (sample, alone))
            if field.role == "input":
                assert torch.equal(u, v)
            elif field.role == "state":
                assert torch.equal(u[0], v[0])
                assert (u - v).norm() <= 2 * max(sample.residual, alone.residual) * v.norm()
            else:
                assert (u - v).norm() <= 1e-8 * v.norm()


def test_a_file_from_a_device_names_it_and_can_be_continued(tmp_path, pretended_gpu):
    problem = problem_named("darcy", num_modes=8)
    sizes, grid, out = pretended_gpu(problem), problem.grid((9, 9)), tmp_path / "a.h5"
    arguments = {"num_samples": 12, "seed": 5, "out": out}

    def stop(finished):
        if finished:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate(problem, grid, **arguments, device="cuda", progress=stop)
    with pytest.raises(ValueError, match=r"device: cpu here, a pretended GPU there"):
        generate(problem, grid, **arguments)
    assert generate(problem, grid, **arguments, device="cuda")["resumed"] == 3
    assert sizes == [3, 2, 2, 2, 2, 1]
    with h5py.File(out) as file:
        assert file.attrs["device"] == "a pretended GPU"
        assert 0 < file["residual"][()].max() <= 1e-10
    generate(problem, grid, **(arguments | {"num_samples": 3, "out": tmp_path / "b.h5"}))
    with h5py.File(tmp_path / "b.h5") as file:
        assert "device" not in file.attrs
    found, expected = (open_dataset(tmp_path / f"{n}.h5").read(range(3)) for n in "ab")
    assert torch.equal(found.input, expected.input)
    torch.testing.assert_close(found.target, expected.target, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("problem", "arguments", "message"),
    [
        (problem_named("shallow_water"), {}, "shallow_water has no solver for other devices"),
        (Poisson("neumann"), {}, "poisson neumann is singular"),
        (problem_named("darcy"), {"workers": 2}, "one process solves all samples; .* workers 2"),
        (problem_named("darcy"), {}, "torch sees no GPU"),
    ],
    ids=["sphere", "singular", "workers", "missing"],
)
def test_what_a_device_cannot_do_writes_nothing(tmp_path, problem, arguments, message):
    grid = problem.grid((9, 16))
    with pytest.raises(ValueError, match=message):
        generate(
            problem, grid, num_samples=1, seed=0, out=tmp_path / "a.h5", device="cuda", **arguments
        )
    assert os.listdir(tmp_path) == []


def test_a_batch_that_stops_is_solved_again_sample_by_sample():
    """So that the message names the sample that failed."""
    problem = problem_named("navier_stokes", **SMALL)
    spec = problem.spec(problem.grid((16, 16)), 0, 2)
    draw = problem.sample_input
    problem.sample_input = lambda grid, seed, i: draw(grid, seed, i) * (1e12 if i else 1)
    good, bad = problem.solved_together(spec, [0, 1], CPU)
    assert good.residual < spec.tolerance
    assert not bad.fields
    assert "blow-up" in bad.reason or "Courant" in bad.reason


@pytest.mark.parametrize(
    ("shape", "boundary"), [((5, 4), "dirichlet"), ((4, 3, 3), "mixed"), ((3, 4), "mixed")]
)
def test_operators_side_by_side_are_a_block_diagonal_matrix(shape, boundary):
    sides = [boundary if boundary == "dirichlet" else "neumann"] * len(shape)
    sides[1] = "dirichlet"
    grid = Grid(shape, boundary=sides)
    generator = torch.Generator().manual_seed(0)
    operators = [
        Diffusion(
            torch.rand(shape, generator=generator, dtype=torch.float64) + 0.1, grid, reaction=c
        )
        for c in (0.0, 0.7, 0.0)
    ]
    blocks = torch.block_diag(*(torch.from_numpy(A.to_csr().toarray()) for A in operators))
    matrix = torch.from_numpy(block_diagonal(operators).to_csr().toarray())
    torch.testing.assert_close(matrix, blocks, rtol=1e-14, atol=0)


def test_each_system_meets_the_tolerance_though_one_is_small():
    """One residual for all would leave the small system unsolved."""
    grid = Grid((24, 20))
    k = torch.randn(2, 24, 20, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    k = (k * torch.tensor([0.1, 5.0])[:, None, None]).exp()  # the small one needs more iterations
    operators = [Diffusion(a, grid) for a in k]
    b = (
        torch.ones(2, *grid.interior.shape, dtype=torch.float64)
        * torch.tensor([1.0, 1e-6])[:, None, None]
    )
    x = solve_side_by_side(operators, b, rtol=1e-9)
    for A, u, f in zip(operators, x, b, strict=True):
        assert (f - A @ u).norm() <= 1e-9 * f.norm()
        exact = solve_sparse(A, f).x
        assert (u - exact).norm() <= 1e-5 * exact.norm()
    with pytest.raises(ValueError, match="zero or not finite"):
        solve_side_by_side(operators, 0 * b, rtol=1e-9)
    with pytest.raises(ValueError, match="equal grids"):
        block_diagonal([operators[0], Diffusion(1.0, Grid((9, 9)))])
