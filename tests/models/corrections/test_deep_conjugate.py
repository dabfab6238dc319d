"""The network of directions: linear in r, of any size, aware of walls."""

import io
from functools import partial

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models.corrections.deep_conjugate import DeepConjugate
from pdeops.solvers import Diffusion, Matrix, cg, deep_conjugate_direction

SMALL = {"widths": (4, 6), "features": 5}


def build(ndim=2, *, seed=0, awake=True, **arguments):
    torch.manual_seed(seed)
    model = DeepConjugate(ndim, **{**SMALL, **arguments}).eval()
    if awake:  # a fresh network is blind to walls
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "gates" in name:
                    p += 0.3 * torch.randn(p.shape)
    return model


def system(shape, seed=0):
    grid = Grid(shape, [float(n) for n in shape], "neumann", "centers")
    fluid = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) > 0.15
    return Diffusion(1.0, grid, fluid=fluid)


def residuals(A, number, generator):
    return A @ torch.randn(number, 1, *A.grid.shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("shape", [(50,), (16, 16), (17, 23), (5, 40), (8, 9, 13)])
def test_is_linear_on_grids_of_any_shape(shape, generator):
    A = system(shape)
    f = build(len(shape)).double().on(A)
    u, v = residuals(A, 2, generator).split(1)
    z = f(3 * u - 2 * v)
    assert z.shape == (1, 1, *shape)
    torch.testing.assert_close(z, 3 * f(u) - 2 * f(v), rtol=1e-9, atol=1e-12)
    assert z.norm() > 0


def test_reads_the_walls(generator):
    model, A, B = build().double(), system((24, 20)), system((24, 20), seed=1)
    r = residuals(A, 1, generator)
    assert (model.on(A)(r) - model.on(B)(r)).norm() > 1e-3 * model.on(A)(r).norm()
    blind = build(awake=False).double()
    torch.testing.assert_close(blind.on(A)(r), blind.on(B)(r))


def test_samples_have_their_own_walls(generator):
    """A batch of systems gives what each gives alone."""
    model = build().double()
    systems = [system((13, 18), seed) for seed in range(3)]
    r = torch.cat([residuals(A, 1, generator) for A in systems])
    faces = [torch.stack(c) for c in zip(*(A.faces for A in systems), strict=True)]
    together = model(r, faces)
    for A, u, z in zip(systems, r, together, strict=True):
        torch.testing.assert_close(model.on(A)(u[None])[0], z)


def test_couplings_count_by_their_ratios_alone(generator):
    grid = Grid((12, 15), (1.2, 1.5), "neumann", "centers")
    A, B = Diffusion(1.0, grid), Diffusion(7.0, grid)
    r = residuals(A, 1, generator)
    model = build().double()
    torch.testing.assert_close(model.on(A)(r), model.on(B)(r))


def test_sees_the_whole_box(generator):
    """From one corner of the box to the other in one application, on any size."""
    model = build().double()
    for n in (33, 130):
        grid = Grid((n, n), (float(n),) * 2, "neumann", "centers")
        r = torch.zeros(1, 1, n, n, dtype=torch.float64)
        r[..., 0, 0] = 1
        assert (model.on(Diffusion(1.0, grid))(r)[..., -8:, -8:] != 0).all()


@pytest.mark.parametrize("seed", range(3))
def test_starts_as_a_sum_over_levels(seed):
    """Untrained it is of use already, where CG has not yet seen the sides of the box."""
    grid = Grid((96, 96), (96.0, 96.0), "neumann", "centers")
    A, x = Diffusion(1.0, grid), grid.nodes()[0] ** 2 + grid.nodes()[1]
    model = build(seed=seed, widths=(8, 16), awake=False)
    left = []
    for method in (cg, partial(deep_conjugate_direction, net=model.on(A))):
        e = x - method(A, A @ x, max_iterations=5).x
        left.append((e * (A @ e)).sum().sqrt() / (x * (A @ x)).sum().sqrt())
    assert left[1] < 0.9 * left[0]


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_work_is_counted(ndim):
    """Against the convolutions as they are called, on a grid that halves to the end."""
    model = build(ndim, widths=(3, 5, 4), awake=False)
    n = (1024, 64, 16)[ndim - 1]
    counted = []

    def count(module, inputs, output):
        if isinstance(module, torch.nn.modules.conv._ConvTransposeNd):
            fields = inputs[0]
        else:
            fields = output
        counted.append(module.weight.numel() * fields[0, 0].numel())

    faces = [torch.ones(1, *(n + (a == b) for b in range(ndim))) for a in range(ndim)]
    f = model.at(faces)
    for module in model.modules():
        if hasattr(module, "weight"):
            module.register_forward_hook(count)
    f(torch.ones(1, 1, *[n] * ndim))
    assert sum(counted) / n**ndim == pytest.approx(model.work, rel=0.05)


def test_saved_and_rebuilt(generator):
    model, A = build(3), system((6, 7, 8))
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    again = DeepConjugate(3, **model.arguments)
    again.load_state_dict(torch.load(file, weights_only=True))
    r = residuals(A, 1, generator)
    assert torch.equal(again.on(A)(r), model.on(A)(r))
    assert model.on(A)(r).dtype == torch.float64  # of r, whatever the weights are


def test_every_parameter_has_a_gradient(generator):
    model, A = build(), system((16, 16))
    r = residuals(A, 2, generator).float()
    z = model(r, [c.float()[None] for c in A.faces])
    (z * torch.randn(z.shape, generator=generator)).sum().backward()
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]


def test_bad_input_is_refused(generator):
    A = system((8, 8, 8))
    with pytest.raises(ValueError, match="Diffusion operator on 2 axes"):
        build().on(A)
    with pytest.raises(ValueError, match=r"recognise\(matrix\)\.inner"):
        build(3).on(Matrix(A.to_csr(), A.grid))
    with pytest.raises(ValueError, match="must be 1 or more"):
        DeepConjugate(2, widths=())
