"""Kinds of Navier-Stokes data: warm-up, dense frames, and the exact Taylor-Green solution."""

import math

import numpy as np
import pytest
import torch

from pdeops.calculus import fourier
from pdeops.datasets import NavierStokes, generate, open_dataset

TINY = {"viscosity": 0.02, "dt": 0.01, "refinement": 2, "num_waves": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Six flows of Taylor and Green, in float64."""
    path = tmp_path_factory.mktemp("d") / "d.h5"
    problem = NavierStokes("taylor_green", t_end=0.5, num_frames=5)
    grid = problem.grid((20, 20))
    generate(problem, grid, num_samples=6, seed=1, out=path, dtype="float64")
    return open_dataset(path, dtype=torch.float64)


class TestTaylorGreen:
    def test_frames_are_the_exact_decay(self, data):
        """ω(t) = ω(0) exp(-ν |ξ|² t), with |ξ|² from the waves that the initial field has."""
        batch = data.read(range(6))
        rates = set()
        for first, later in zip(batch.input[:, 0, 0], batch.target[:, :, 0], strict=True):
            squared = -(fourier.laplacian(first, data.domain) / first).median().item()
            rates.add(round(squared / (4 * math.pi**2)))
            for t, u in zip(data.times[1:], later, strict=True):
                exact = first * math.exp(-1e-3 * squared * t)
                assert (u - exact).norm() < 1e-10 * exact.norm()
                assert (first - exact).norm() > 1e-3 * first.norm()  # it decays
        assert len(rates) > 1  # several wavenumbers
        assert all(any(k**2 + l**2 == r for k in range(1, 5) for l in range(1, 5)) for r in rates)

    def test_convection_vanishes_but_not_by_a_vanishing_flow(self, data):
        w = data.read([0]).input[0, 0, 0]
        psi = -fourier.inverse_laplacian(w, data.domain)
        (u, v), (w_x, w_y) = (
            [fourier.derivative(f, data.domain, a) for a in order]
            for f, order in ((psi, (1, 0)), (w, (0, 1)))
        )
        assert (u * w_x - v * w_y).abs().max() < 1e-10 * (u * w_x).abs().max()
        assert (u * w_x).abs().max() > 1

    def test_another_viscosity_decays_faster(self):
        first = []
        for nu in (1e-3, 1e-2):
            problem = NavierStokes("taylor_green", viscosity=nu, t_end=0.5, num_frames=1)
            u = problem.solved_sample(problem.spec(problem.grid((20, 20)), 1, 1), 0)
            w = u.fields["vorticity"]
            first.append(math.log(w[0].norm() / w[1].norm()))
        assert first[1] == pytest.approx(10 * first[0], rel=1e-9)


class TestWarmUp:
    @pytest.mark.parametrize("kind", ["mcwilliams_dense", "kolmogorov_dense", "fno_1e-3_late"])
    def test_frames_are_the_late_ones_of_a_run_from_the_start(self, kind):
        grid = NavierStokes(kind, **TINY).grid((24, 24))
        whole, late = (
            problem.solved_sample(problem.spec(grid, 3, 1), 0).fields["vorticity"]
            for problem in (
                NavierStokes(kind, **TINY, t_start=0.0, t_end=0.2, num_frames=4),
                NavierStokes(kind, **TINY, t_start=0.1, t_end=0.2, num_frames=2),
            )
        )
        assert (whole[2] - whole[0]).norm() > 1e-2 * whole[0].norm()
        torch.testing.assert_close(late, whole[2:], rtol=0, atol=1e-7 * whole.abs().max().item())

    @pytest.mark.parametrize(
        ("kind", "spacing", "first"),
        [
            ("mcwilliams_dense", 0.01, 4.5),
            ("kolmogorov_dense", 0.01, 4.5),
            ("taylor_green", 0.01, 0.0),
            ("fno_1e-3_late", 0.2, 30.0),
        ],
    )
    def test_spacing_of_the_frames(self, kind, spacing, first):
        times = NavierStokes(kind).times
        assert len(times) == 101
        assert times[0] == first
        np.testing.assert_allclose(np.diff(times), spacing, rtol=1e-9)

    def test_a_warm_up_that_does_not_end_before_the_last_frame_is_refused(self):
        with pytest.raises(ValueError, match=r"0 <= t_start < t_end.*got t_start 20, t_end 10"):
            NavierStokes("mcwilliams", t_start=20.0)
        with pytest.raises(ValueError, match="got t_start -1"):
            NavierStokes("mcwilliams", t_start=-1.0)

    def test_a_warm_up_that_ends_early_says_so(self, monkeypatch):
        problem = NavierStokes("mcwilliams", **TINY, t_start=8.0)

        def evolved(u0, grid, times, courant, original=problem._evolved):
            result = original(u0, grid, [0.01], courant)
            result.completed, result.reason = False, "blow-up at t = 0.01"
            return result

        monkeypatch.setattr(problem, "_evolved", evolved)
        sample = problem.solved_sample(problem.spec(problem.grid((8, 8)), 0, 1), 0)
        assert math.isnan(sample.residual)
        assert sample.reason == "in the warm-up: blow-up at t = 0.01"
