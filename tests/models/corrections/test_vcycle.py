"""The learned V-cycle: a preconditioner for plain CG whatever its weights, classical untrained."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.kernels.blackbox import layout
from pdeops.kernels.blackbox.reference import ReferenceHierarchy
from pdeops.kernels.blackbox.sparsify import equal_shares
from pdeops.linop import check_spd
from pdeops.models.corrections import vcycle
from pdeops.models.corrections.vcycle import VCyclePreconditioner
from pdeops.solvers import Diffusion, Multigrid, cg
from pdeops.solvers.multigrid.hierarchy import system_of

from ...random_systems import assert_spd_for_any_weights, systems


def build(ndim, *, awake=True, **arguments):
    torch.manual_seed(0)
    model = VCyclePreconditioner(ndim, **{"hidden_channels": 6, **arguments})
    if awake:  # a fresh network gives the classical shares
        torch.nn.init.normal_(model.head.weight)
    return model


def jumps(shape, generator, contrast=100.0):
    a = torch.where(torch.rand(shape, generator=generator) < 0.5, 1.0, contrast).double()
    return Diffusion(a, Grid(shape, 1.0, "dirichlet", "interior"))


@pytest.mark.parametrize("draws", [20, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("ndim", [2, 3])
def test_is_symmetric_and_positive_definite_for_any_weights(ndim, draws, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)  # small systems are to have levels, too
    assert_spd_for_any_weights(build(ndim).double(), systems(ndim), generator, draws)


@pytest.mark.parametrize("shape", [(33, 30), (9, 12, 10)])
def test_untrained_it_is_the_classical_cycle(shape, generator):
    A = jumps(shape, generator)
    b = torch.randn(shape, generator=generator, dtype=torch.float64)
    ours = build(len(shape), awake=False).double().on(A)
    assert torch.equal(ours @ b, Multigrid(A, shares=equal_shares) @ b)
    trained = build(len(shape)).double().on(A)
    assert (trained @ b - ours @ b).norm() > 1e-3 * (ours @ b).norm()


@pytest.mark.parametrize("shape", [(33, 30), (9, 12, 10)])
def test_loops_are_what_is_trained(shape, generator, monkeypatch):
    """`on` and `at` are one map: that of the plain twin in each case, with the same levels."""
    monkeypatch.setattr(layout, "DIRECT", vcycle._SMALL)
    A, model = jumps(shape, generator), build(len(shape)).double()
    M = model.on(A)
    M._hierarchy = ReferenceHierarchy(system_of(A), shares=model.shares)
    b = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    other = jumps(shape, generator)
    faces = [torch.stack(pair) for pair in zip(A.faces, other.faces, strict=True)]
    trained = model.at(faces)(b[:, None])[:, 0]
    with torch.no_grad():
        torch.testing.assert_close(trained[0], M @ b[0], rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(model(b[:, None], faces)[:, 0], trained)
    assert (trained[1] - M @ b[1]).norm() > 0.1 * trained[1].norm()


def test_gradients_are_those_of_differences(generator, monkeypatch):
    monkeypatch.setattr(vcycle, "_SMALL", 100)
    A, model = jumps((12, 11), generator), build(2).double()
    b = torch.randn(1, 1, 12, 11, generator=generator, dtype=torch.float64)
    faces = [f[None] for f in A.faces]

    def loss():
        return (b * model.at(faces)(b)).sum()

    loss().backward()
    for p in (model.head.weight, model.lift.weight):
        direction = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        expected = (p.grad * direction).sum().item()
        values = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                p += step * direction
                values.append(loss().item())
                p -= step * direction
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("scale", [1e-6, 1e5])
def test_neither_the_size_of_the_coefficient_nor_h_matters(scale, generator, monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    A = jumps((21, 18), generator)
    scaled = Diffusion.from_faces([scale * f for f in A.faces], A.grid)
    model = build(2).double()
    b = torch.randn(21, 18, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(scale * (model.on(scaled) @ b), model.on(A) @ b)


@pytest.mark.parametrize("contrast", [10.0, 1e4])
def test_in_single_precision_cg_takes_as_many_iterations(contrast, generator):
    """Down to the round-off of the residual in double precision."""
    x, y = torch.meshgrid(*[torch.linspace(0, 9, n).double() for n in (95, 100)], indexing="ij")
    a = torch.where(torch.sin(x + y) * torch.sin(x - 2 * y) > 0, contrast, 1.0).double()
    A, model = Diffusion(a, Grid((95, 100), 1.0, "dirichlet", "interior")), build(2, awake=False)
    b = torch.randn(95, 100, generator=generator, dtype=torch.float64)
    assert model.on(A).dtype == torch.float32
    single = cg(A, b, M=model.on(A), rtol=1e-13)
    double = cg(A, b, M=model.double().on(A), rtol=1e-13)
    assert single.residuals[-1] < 1e-12
    assert abs(single.iterations - double.iterations) <= 1


def test_beyond_single_precision_it_takes_that_of_the_operator(generator):
    A = jumps((24, 24), generator)
    tiny = Diffusion.from_faces([1e-50 * f for f in A.faces], A.grid)
    M = build(2).on(tiny)
    assert M.dtype == torch.float64
    check_spd(M)


def test_what_it_refuses(generator):
    with pytest.raises(ValueError, match="2 or 3 axes; got ndim = 1"):
        VCyclePreconditioner(1)
    with pytest.raises(ValueError, match="1 or more; got 0"):
        VCyclePreconditioner(2, hidden_channels=0)
    with pytest.raises(ValueError, match="Diffusion operator on 3 axes"):
        build(3).on(jumps((9, 9), generator))
    torus = Diffusion(torch.rand(8, 8).double() + 1, Grid((8, 8), 1.0, "periodic"), reaction=1.0)
    with pytest.raises(ValueError, match="not periodic"):
        build(2).on(torus)


def test_size_is_what_the_card_says():
    assert sum(p.numel() for p in VCyclePreconditioner(2).parameters()) == 2984
