"""The unit cell with a void: its distribution, points, solutions and files."""

import numpy as np
import pytest
import torch

from pdeops.calculus.norms import Lp, relative_error
from pdeops.datasets import generate, open_dataset, problem_named, problem_of
from pdeops.datasets.problems.elasticity import NUM_RADII, Elasticity
from pdeops.domain import Grid, Points
from pdeops.solvers.elements.ring_mesh import RingMesh

pytest.importorskip("skfem")
SMALL = {"around": 24, "across": 3, "num_waves": 3, "refinement": 1}
ANGLES = np.linspace(0, 2 * np.pi, 64, endpoint=False)


@pytest.fixture(scope="module")
def small():
    return Elasticity(**SMALL)


@pytest.fixture(scope="module")
def file(small, tmp_path_factory):
    out = tmp_path_factory.mktemp("data") / "elasticity.h5"
    generate(small, small.grid(), num_samples=3, seed=4, out=out, dtype="float64")
    return out


def test_radii_stay_between_their_bounds_and_vary():
    problem = Elasticity(min_radius=0.15, max_radius=0.35)
    r = np.stack([problem.void(0, i)(ANGLES) for i in range(200)])
    assert 0.15 < r.min() < 0.17 < 0.33 < r.max() < 0.35
    assert abs(r.mean() - 0.25) < 0.01
    assert not np.allclose(r[0], r[1])


def test_waves_have_their_variance():
    """Of g = log(bound ratio): scale² / π (k² + τ²)^(-α) for each of cos kθ and sin kθ."""
    problem = Elasticity(tau=2.0, alpha=1.5, scale=6.0, num_waves=4)
    r = np.stack([problem.void(1, i)(ANGLES) for i in range(400)])
    g = np.log(0.2 / (r - 0.2) - 1)
    waves = np.fft.rfft(g, axis=1) / len(ANGLES)
    for k in (0, 1, 3, 4):
        expected = 36 / np.pi * (k**2 + 4) ** -1.5 / (2 if k else 1) / (1 if k else 2)
        assert np.mean(abs(waves[:, k]) ** 2) == pytest.approx(expected, rel=0.2)
    assert abs(waves[:, 5:]).max() < 1e-12


def test_cells_are_sound():
    """Positive orientation is a property of ring meshes; here, angles far from 0 and 180."""
    problem = Elasticity()
    for i in range(50):
        angles = problem.inputs.mesh(problem.void(0, i)).angles()
        assert 20 < angles.min() < angles.max() < 160


def test_weights_add_up_to_the_area_without_the_singular_corners(small):
    points = small.points(small.void(0, 0))
    x = points.nodes()
    clamped = (x[1] < 1e-9) & ((x[0] - 0.5).abs() > 0.5 - 1e-9)
    assert clamped.sum() == 2
    assert torch.equal(points.weights == 0, clamped)
    outline = small.void(0, 0)(np.arange(24) * 2 * np.pi / 24 + np.pi / 4)
    sector = np.sin(2 * np.pi / 24) / 2
    hole = (outline * np.roll(outline, 1)).sum() * sector
    assert points.volume == pytest.approx(1 - hole, rel=1e-12)


def test_code_is_the_radius_at_equal_angles(small):
    void = small.void(0, 2)
    code = small.code(void)
    assert len(code) == NUM_RADII
    assert code[0] == void(np.array([0.0]))[0]
    assert code[21] == pytest.approx(void(np.array([np.pi]))[0])


def test_the_solution_converges_at_the_points():
    """Away from both clamped corners. Singularities there limit the order to less than 3."""
    problem = Elasticity(**SMALL | {"num_waves": 2})
    void = problem.void(0, 0)
    points = problem.points(void)
    norm = Lp(2.0, domain=points)
    reference = problem.solve(void, (144, 18)).x[None, None]
    errors = [
        relative_error(norm, problem.solve(void, (24 * f, 3 * f)).x[None, None], reference).item()
        for f in (1, 2, 4)
    ]
    assert errors[0] < 0.05
    assert errors[1] < errors[0] / 3
    assert errors[2] < errors[1] / 3


def test_a_small_round_void_in_uniaxial_tension():
    """With ν = 0 nothing contracts sideways, so that the clamped side does not disturb: the stress
    is 1 far from the void; along it, its maximum is 3 at the sides, and it is 1 above and below,
    where the hoop stress is -1 (Kirsch)."""
    shape = {"around": 48, "across": 12, "num_waves": 0, "poisson": 0.0}
    problem = Elasticity(**shape, min_radius=0.01, max_radius=0.02)
    void = problem.void(0, 0)
    stress = problem.solve(void, (48, 48)).x.reshape(48, 13)
    assert (stress[:, -1] - 1).abs().max() < 0.01
    assert stress[:, 0].max() == pytest.approx(3, rel=0.01)
    assert stress[:, 0].argmax() % 24 == 18  # rays start at 45 degrees: at 0 and 180 degrees
    assert stress[[6, 30], 0].tolist() == pytest.approx([1, 1], rel=0.05)
    x = problem.points(void).nodes()[:, 18 * 13]
    assert x[1] == pytest.approx(0.5)


def test_reflection_in_the_vertical_line_reflects_the_stress(small):
    """Also on the rays to the corners, where two interpolated values are averaged."""
    void = small.void(0, 1)
    one, other = (
        small.solve(curve, (24, 3)).x.reshape(24, 4) for curve in (void, lambda t: void(np.pi - t))
    )
    mirrored = other[(6 - torch.arange(24)) % 24]  # rays start at 45 degrees
    torch.testing.assert_close(mirrored, one, rtol=1e-8, atol=1e-8)
    assert (other - one).abs().max() > 0.01


def test_the_file_holds_the_solution(file, small):
    data = open_dataset(file, dtype=torch.float64)
    assert problem_of(data.spec).parameters == small.parameters
    assert data.inputs == ("x", "y")
    assert data.targets == ("stress",)
    batch = data.read([2])
    void = small.void(4, 2)
    torch.testing.assert_close(batch.positions[0], small.sample_input(small.grid(), 4, 2))
    torch.testing.assert_close(batch.target[0, 0], small.solve(void, (24, 3)).x)
    torch.testing.assert_close(batch.weights[0], small.points(void).weights)
    torch.testing.assert_close(batch.parameters[0], torch.from_numpy(small.code(void)))
    assert data.source.points(2).cells.shape == (72, 4)
    residuals = data.source.residuals()
    assert (residuals < 1e-10).all()
    assert (residuals > 0).all()


def test_a_sample_does_not_depend_on_the_mesh_of_the_others(small):
    """Sample i is the same void whatever the mesh and the number of samples."""
    finer = Elasticity(**SMALL | {"around": 48})
    np.testing.assert_array_equal(small.void(3, 7)(ANGLES), finer.void(3, 7)(ANGLES))
    coarse, fine = (p.sample_input(p.grid(), 3, 7) for p in (small, finer))
    torch.testing.assert_close(fine.reshape(2, 48, 4)[:, ::2].reshape(2, -1), coarse)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"min_radius": 0.3, "max_radius": 0.2}, "min_radius < max_radius"),
        ({"max_radius": 0.5}, "max_radius < 0.5"),
        ({"poisson": 0.49}, "in \\[0, 0.45\\]"),
        ({"refinement": 0}, "refinement must be at least 1"),
        ({"tau": 0.0}, "tau positive"),
        ({"radius": 0.3}, "Unknown parameter of elasticity void"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        problem_named("elasticity", **parameters)


def test_bad_domains(small):
    with pytest.raises(ValueError, match="have no resolution"):
        small.grid((65, 65))
    for domain in (Grid((9, 9)), Points(3)):
        with pytest.raises(ValueError, match=r"solved on elasticity's grid"):
            small.check_grid(domain)


def test_a_mesh_across_must_fit_the_points():
    with pytest.raises(ValueError, match="multiple of 4"):
        Elasticity(around=30).points(lambda t: 0.3 + 0 * t)
    assert RingMesh(lambda t: 0.3 + 0 * t, shape=(28, 2)).shape == (28, 2)
