"""The residual of evolution equations: exact products, effectivity, and negative controls."""

import math

import pytest
import torch

from pdeops.calculus.fourier import derivative, inverse_laplacian, laplacian, resample
from pdeops.calculus.norms import Sobolev
from pdeops.domain import Grid
from pdeops.estimators import Differences, EvolutionDefect, EvolutionResidual
from pdeops.solvers import (
    AllenCahn,
    Burgers,
    GrayScott,
    Heat,
    KortewegDeVries,
    KuramotoSivashinsky,
    NavierStokes,
    Wave,
)

from .conftest import BOX, cases, random_field, shuffled, translated

NONLINEAR = [name for name in cases() if name != "heat"]


def residual_by_products_at_nodes(u, u_t, grid, nu, drag):
    """‖-u_t - u·∇u + νΔu - μu‖ in H⁻¹ by products at the nodes of a grid four times as fine."""
    fine = grid.refined(4)
    w, w_t = (resample(v, grid, fine.shape) for v in (u, u_t))
    psi = -inverse_laplacian(w, fine)
    v_x, v_y = derivative(psi, fine, 1), -derivative(psi, fine, 0)
    convection = v_x * derivative(w, fine, 0) + v_y * derivative(w, fine, 1)
    R = -w_t - convection + nu * laplacian(w, fine) - drag * w
    return R, Sobolev(-1.0, fine, 1.0)


@pytest.mark.parametrize("n", [11, 12])
def test_every_wave_of_the_product_counts(n, generator):
    """For white noise, Nyquist waves included, no wave is dropped nor aliased."""
    grid = Grid((n, n + 2), BOX, "periodic")
    equation = NavierStokes(grid, 0.3, drag=0.2)
    times = [0.1 * i for i in range(5)]
    u = torch.randn(2, 5, 1, *grid.shape, generator=generator, dtype=torch.float64)
    u -= u.mean((-2, -1), keepdim=True)
    estimator = EvolutionResidual(equation, times, alpha=1.0)
    D = Differences(4).matrix(times)
    u_t = torch.einsum("mn,bncxy->bmcxy", D, u)
    R, norm = residual_by_products_at_nodes(u, u_t, grid, 0.3, 0.2)
    by_instant = norm(R.flatten(0, 1)).view(2, 5)
    assert estimator.by_instant(u) == pytest.approx(by_instant, rel=1e-12)
    theta = estimator.weights
    assert estimator(u) == pytest.approx((theta * by_instant**2).sum(1).sqrt(), rel=1e-12)
    fields = resample(estimator.residual(u), estimator.equation.grid, grid.refined(4).shape)
    assert (fields - R).abs().max() < 1e-10 * R.abs().max()


def test_the_solver_drops_waves_that_the_estimator_counts(generator):
    """On the solver's own waves both agree; the residual has more."""
    grid = Grid((16, 16), BOX, "periodic")
    equation = NavierStokes(grid, 0.1, drag=0.1, forcing=torch.cos(2 * grid.nodes()[0]))
    w = torch.randn(1, 1, 16, 16, generator=generator, dtype=torch.float64)
    state = equation.encode(w)
    w = equation.decode(state)
    tendency = equation.decode(equation.symbol * state + equation.nonlinear(state, 0.0))
    padded = equation.padded()
    w_hat = padded.encode(resample(w, grid, padded.grid.shape))
    exact = padded.decode(padded.symbol * w_hat + padded.nonlinear(w_hat, 0.0))
    resolved = resample(exact, padded.grid, grid.shape)
    agreed = equation.decode(equation.encode(resolved))
    assert (agreed - tendency).abs().max() < 1e-13 * tendency.abs().max()
    assert (exact - resample(tendency, grid, padded.grid.shape)).norm() > 0.05 * exact.norm()


@pytest.mark.parametrize("name", cases())
def test_shuffled_and_translated_frames_are_no_solution(name, trajectories):
    """E1: they raise η a hundredfold."""
    make, grid, times, u = trajectories[name]
    estimator = EvolutionResidual(make(grid), times)
    floor = estimator(u).item()
    assert estimator(shuffled(u)).item() > 100 * floor
    assert estimator(translated(u)).item() > 100 * floor
    assert estimator(u.flip(1)).item() > 100 * floor  # time runs one way


@pytest.mark.parametrize("name", cases())
def test_the_defect_of_steps_sees_shuffled_and_translated_frames(name, trajectories):
    make, grid, times, u = trajectories[name]
    estimator = EvolutionDefect(make(grid), times)
    floor = estimator(u).item()
    assert floor < EvolutionResidual(make(grid), times)(u).item()
    assert estimator(shuffled(u)).item() > 100 * floor
    assert estimator(translated(u)).item() > 100 * floor


@pytest.mark.parametrize("kind", [EvolutionResidual, EvolutionDefect])
@pytest.mark.parametrize("name", NONLINEAR)
def test_a_scaled_trajectory_is_no_solution(name, kind, trajectories):
    make, grid, times, u = trajectories[name]
    estimator = kind(make(grid), times)
    assert estimator(0.9 * u).item() > 3 * estimator(u).item()


@pytest.mark.parametrize("kind", [EvolutionResidual, EvolutionDefect])
def test_a_wrong_coefficient_is_seen(kind, trajectories):
    """For the linear heat equation, of which 0.9 u is a solution."""
    _, grid, times, u = trajectories["heat"]
    floor = kind(Heat(grid, 0.5), times)(u).item()
    assert kind(Heat(grid, 0.5), times)(0.9 * u).item() == pytest.approx(0.9 * floor, rel=1e-6)
    assert kind(Heat(grid, 0.55), times)(u).item() > 100 * floor


def test_the_published_estimator_is_vacuous_and_ours_is_not(trajectories):
    """F1: a time derivative from a step of the solver at each frame alone scores any order of the
    frames the same; across frames, shuffling is seen."""
    _, grid, times, u = trajectories["navier_stokes"]
    equation = NavierStokes(grid, 0.02)
    ours = EvolutionResidual(equation, times)

    def steps_at_each_frame(u):
        """D = (u⁺ - u⁻)/2dt, u± by a step ±dt, Euler for N and Crank-Nicolson for L."""
        dt, space = 1e-6, ours.space
        u_hat = space.forward(u)
        L, N = space.equation.symbol, ours.nonlinear(u_hat)
        ahead, back = (
            ((1 + s * dt * L / 2) * u_hat + s * dt * N) / (1 - s * dt * L / 2) for s in (1, -1)
        )
        R = L * u_hat + N - (ahead - back) / (2 * dt)
        return ours.whiten(R).norm().item()

    published = [steps_at_each_frame(v) for v in (u, shuffled(u), translated(u))]
    assert published == pytest.approx([published[0]] * 3, rel=0.1)
    assert published[0] < 1e-5
    assert ours(shuffled(u)).item() > 1  # of vorticity of size one


def test_shuffling_is_seen_where_the_first_frames_are_known(trajectories):
    """An error of the first predicted frame alone counts, through the known frames."""
    make, grid, times, u = trajectories["navier_stokes"]
    estimator = EvolutionResidual(make(grid), times)
    jump = u.clone()
    jump[:, 5:] += 0.01 * u[:, 5:].roll(3, -1)  # the rest stays smooth in time
    assert estimator(jump).item() > 10 * estimator(u).item()
    shifted = u + 0.01 * u.roll(3, -1)
    initial = shifted[:, 0]
    with_initial = estimator(shifted, initial=u[:, 0]).square()
    error = Sobolev(0.0, grid)(initial - u[:, 0]).square()
    assert with_initial.item() == pytest.approx((estimator(shifted) ** 2 + error).item(), rel=1e-12)


def manufactured(nu):
    """ω = a sin x + 4b cos 2y with u·∇ω = 6ab cos x sin 2y, its time derivative and force."""

    def a(t):
        return math.cos(t), -math.sin(t)

    def b(t):
        return 0.5 * math.exp(-t), -0.5 * math.exp(-t)

    def field(x, p, q):
        return p * torch.sin(x[0]) + 4 * q * torch.cos(2 * x[1])

    def w(x, t):
        return field(x, a(t)[0], b(t)[0])

    def w_t(x, t):
        return field(x, a(t)[1], b(t)[1])

    def force(x, t):
        product = 6 * a(t)[0] * b(t)[0] * torch.cos(x[0]) * torch.sin(2 * x[1])
        return w_t(x, t) + product + nu * field(x, a(t)[0], 4 * b(t)[0])

    return w, w_t, force


PERTURBATIONS = {
    "moving wave": (
        lambda x, t: torch.sin(3 * x[0] + x[1] - 2 * t),
        lambda x, t: -2 * torch.cos(3 * x[0] + x[1] - 2 * t),
    ),
    "fine and growing": (lambda x, t: t * torch.cos(6 * x[1]), lambda x, t: torch.cos(6 * x[1])),
    "large scale": (lambda x, t: torch.cos(x[1]) * (1 + t), lambda x, t: torch.cos(x[1])),
}


@pytest.mark.parametrize("perturbation", PERTURBATIONS)
def test_effectivity_over_five_decades(perturbation):
    """E3: η / ‖e‖ stays within a factor of ten of one for errors of 1e-6 to 1e-1, with a
    manufactured force and exact time derivatives; without an error η is round-off."""
    nu = 0.5
    grid, times = Grid((16, 16), BOX, "periodic"), [0.05 * i for i in range(21)]
    x = grid.nodes()
    w, w_t, force = manufactured(nu)
    p, p_t = PERTURBATIONS[perturbation]
    equation = NavierStokes(grid, nu, forcing=force)

    def frames(f):
        return torch.stack([f(x, t) for t in times])[None, :, None]

    def eta(size):
        rate = frames(w_t) + size * frames(p_t)
        estimator = EvolutionResidual(equation, times, derivative=lambda u: rate)
        u = frames(w) + size * frames(p)
        return estimator(u, initial=w(x, 0.0)[None, None]).item()

    assert eta(0.0) < 1e-13
    e, theta = frames(p)[0], EvolutionResidual(equation, times).weights
    L2, slopes = Sobolev(0.0, grid)(e), Sobolev(1.0, grid, 0.0)(e)
    error = (L2.square().max() + nu * (theta * slopes.square()).sum()).sqrt().item()
    effectivity = [eta(size) / (size * error) for size in (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)]
    assert all(0.1 < c < 10 for c in effectivity)
    assert effectivity[0] == pytest.approx(effectivity[2], rel=1e-3)


def test_it_does_not_depend_on_the_grid_of_the_frames():
    times = [0.01 * i for i in range(5)]
    etas = []
    for shape in ((16, 16), (18, 25), (40, 32)):
        grid = Grid(shape, BOX, "periodic")
        generator = torch.Generator().manual_seed(2)
        u = torch.stack([random_field(grid, 7, generator) for _ in times], 1)
        f = torch.cos(3 * grid.nodes()[1])
        etas.append(EvolutionResidual(NavierStokes(grid, 0.1, forcing=f), times)(u).item())
    assert etas == pytest.approx([etas[0]] * 3, rel=1e-11)


def test_a_force_as_field_per_sample_and_function(generator):
    """One field for all, one per sample, and a function of nodes and time give the same η."""
    grid, times = Grid((12, 12), BOX, "periodic"), [0.1 * i for i in range(5)]
    u = torch.randn(2, 5, 1, 12, 12, generator=generator, dtype=torch.float64)
    f = torch.cos(3 * grid.nodes()[1])
    forces = [f, torch.stack([f, f]), lambda x, t: torch.cos(3 * x[1])]
    etas = [EvolutionResidual(NavierStokes(grid, 0.1, forcing=g), times)(u) for g in forces]
    assert etas[1] == pytest.approx(etas[0], rel=1e-13)
    assert etas[2] == pytest.approx(etas[0], rel=1e-13)
    other = NavierStokes(grid, 0.1, forcing=lambda x, t: torch.cos(3 * x[1] - t))
    assert (EvolutionResidual(other, times)(u) - etas[0]).abs().min() > 1e-3


def test_the_gradient_in_the_weights_of_a_last_layer(generator):
    """E7: agrees with central differences to 1e-6."""
    grid, times = Grid((8, 8), BOX, "periodic"), [0.1 * i for i in range(5)]
    estimator = EvolutionResidual(NavierStokes(grid, 0.1), times)
    features = torch.randn(2, 3, 5, 8, 8, generator=generator, dtype=torch.float64)
    weight = torch.randn(3, generator=generator, dtype=torch.float64, requires_grad=True)

    def eta(weight):
        u = torch.einsum("k,bktxy->btxy", weight, features)[:, :, None]
        return estimator(u).sum()

    (gradient,) = torch.autograd.grad(eta(weight), weight)
    h = 1e-5
    for i, e in enumerate(torch.eye(3, dtype=torch.float64)):
        difference = (eta(weight + h * e) - eta(weight - h * e)).item() / (2 * h)
        assert gradient[i].item() == pytest.approx(difference, rel=1e-6)


def test_the_gradient_is_finite_where_the_residual_is_zero():
    grid, times = Grid((8,), BOX, "periodic"), [0.1 * i for i in range(5)]
    u = torch.zeros(1, 5, 1, 8, dtype=torch.float64, requires_grad=True)
    estimator = EvolutionResidual(Heat(grid, 0.1), times)
    eta = estimator(u)
    eta.sum().backward()
    assert eta.item() == 0
    assert not u.grad.any()


def test_single_precision(trajectories):
    make, grid, times, u = trajectories["navier_stokes"]
    estimator = EvolutionResidual(make(grid), times)
    v = 0.9 * u
    eta = estimator(v.float())
    assert eta.dtype == torch.float32
    assert eta.item() == pytest.approx(estimator(v).item(), rel=1e-3)


PLANE, CIRCLE = Grid((10, 10), BOX, "periodic"), Grid((24,), BOX, "periodic")
EQUATIONS = [
    NavierStokes(PLANE, 0.1, drag=0.1, forcing=torch.cos(PLANE.nodes()[0])),
    Burgers(CIRCLE, 0.1),
    Burgers(PLANE, 0.1),
    AllenCahn(CIRCLE, 0.1),
    AllenCahn(Grid((9, 7), boundary="neumann"), 0.1),
    AllenCahn(Grid((9,), boundary="dirichlet", placement="interior"), 0.1),
    GrayScott(PLANE),
    KortewegDeVries(CIRCLE),
    KuramotoSivashinsky(CIRCLE),
    Wave(CIRCLE, 2.0),
    Heat(PLANE, 0.1),
]


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda e: f"{type(e).__name__}-{e.grid.ndim}d")
def test_padded_equations(equation, generator):
    """N of a field on the padded grid is exact: on a grid finer still nothing changes; frozen at
    the field itself it is N."""
    padded = equation.padded()
    u = torch.randn(2, equation.num_channels, *equation.grid.shape, generator=generator).double()
    finer = padded.padded()
    states = [
        eq.encode(resample(u, equation.grid, eq.grid.shape, getattr(equation, "series", None)))
        for eq in (padded, finer)
    ]
    N, finest = (
        eq.decode(eq.nonlinear(v, 0.3)) for eq, v in zip((padded, finer), states, strict=True)
    )
    exact = resample(finest, finer.grid, padded.grid.shape, padded.series)
    assert (N - exact).abs().max() <= 1e-12 * max(exact.abs().max().item(), 1.0)
    frozen = padded.decode(padded.frozen(states[0], 0.3)(states[0]))
    assert (frozen - N).abs().max() <= 1e-12 * max(N.abs().max().item(), 1.0)


@pytest.mark.parametrize("equation", EQUATIONS, ids=lambda e: f"{type(e).__name__}-{e.grid.ndim}d")
def test_tangents(equation, generator):
    """N'(u) d against central differences of N."""
    padded = equation.padded()
    shape = (2, 1, equation.num_channels, *equation.grid.shape)
    u, d = (
        padded.encode(resample(v, equation.grid, padded.grid.shape, padded.series))
        for v in torch.randn(shape, generator=generator, dtype=torch.float64)
    )
    h = 1e-4
    ahead, back = (padded.nonlinear(u + s * h * d, 0.3) for s in (1, -1))
    derivative = padded.tangent(u, 0.3)(d)
    size = max(derivative.abs().max().item(), padded.nonlinear(u, 0.3).abs().max().item(), 1e-9)
    assert ((ahead - back) / (2 * h) - derivative).abs().max() < 1e-7 * size


@pytest.mark.parametrize(
    "equation",
    [AllenCahn(CIRCLE, 0.1), Burgers(PLANE, 0.1), GrayScott(PLANE), Wave(CIRCLE, 1.0)],
    ids=lambda e: type(e).__name__,
)
def test_alpha_is_positive_where_the_mean_is_not_conserved(equation):
    with pytest.raises(ValueError, match="does not conserve the mean"):
        EvolutionResidual(equation, range(5), alpha=0.0)
    EvolutionResidual(equation, range(5), alpha=0.1)
    EvolutionResidual(equation, range(5), order=1.0, alpha=0.0)


def test_a_force_with_a_mean_needs_alpha():
    f = 1 + torch.cos(PLANE.nodes()[0])
    with pytest.raises(ValueError, match="does not conserve the mean"):
        EvolutionResidual(NavierStokes(PLANE, 0.1, forcing=f), range(5), alpha=0.0)


def test_a_drifting_mean_is_not_hidden(trajectories):
    """With α = 0 it is refused, by default it counts."""
    _, grid, times, u = trajectories["burgers"]
    drift = u + 0.1 * torch.tensor(times, dtype=torch.float64).reshape(1, -1, 1, 1)
    with pytest.raises(ValueError, match="with α = 0 does not see"):
        EvolutionResidual(Burgers(grid, 0.1), times, alpha=0.0)(drift)
    EvolutionResidual(Burgers(grid, 0.1), times, alpha=0.0)(u)
    estimator = EvolutionResidual(Heat(grid, 0.0), times)
    still = torch.ones_like(u)
    assert estimator(still).item() < 1e-10
    assert estimator(still + drift - u).item() > 0.01


def test_bad_trajectories(trajectories):
    make, grid, times, u = trajectories["navier_stokes"]
    estimator = EvolutionResidual(make(grid), times)
    blown = u.clone()
    blown[:, 7] = math.nan
    with pytest.raises(ValueError, match=r"NaN or infinity from frame 7 on, at t = 0\.17"):
        estimator(blown)
    with pytest.raises(ValueError, match=r"\(batch, 17, 1, \*space\)"):
        estimator(u[:, 3:])
    with pytest.raises(ValueError, match="trajectory must have shape"):
        estimator(u[..., 1:])
    with pytest.raises(ValueError, match="float32 or float64"):
        estimator(u.half())
    with pytest.raises(ValueError, match="initial field must be of shape"):
        estimator(u, initial=torch.cat([u[:, 0], u[:, 0]]))
    with pytest.raises(ValueError, match="one row per frame"):
        EvolutionResidual(make(grid), times, derivative=torch.eye(3))
    with pytest.raises(ValueError, match="must give u_t at all frames"):
        EvolutionResidual(make(grid), times, derivative=lambda u: u[:, 1:])(u)
