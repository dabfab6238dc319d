"""Mapped Chebyshev polynomials: exact at Gauss nodes, determined by few frames, no wrapping."""

import numpy as np
import pytest

from pdeops.nn import chebyshev

INTERVAL = (-0.3, 1.9)
every_mapping = pytest.mark.parametrize("alpha", [0.0, 0.6, 0.98])


@every_mapping
@pytest.mark.parametrize(("n", "m"), [(1, 1), (8, 8), (12, 7)])
def test_coefficients_are_exact_at_the_gauss_nodes(alpha, n, m):
    nodes = chebyshev.gauss_nodes(INTERVAL, n, alpha)
    assert (np.diff(nodes) > 0).all()
    V = chebyshev.values(nodes, INTERVAL, m, alpha)
    np.testing.assert_allclose(chebyshev.analysis(n, m) @ V, np.eye(m), atol=1e-13)
    # The functions at their nodes do not depend on interval and mapping, which layers rely on.
    plain = chebyshev.values(chebyshev.gauss_nodes((-1.0, 1.0), n), (-1.0, 1.0), m)
    np.testing.assert_allclose(V, plain, atol=1e-13)


def error(m, alpha, f, interval=INTERVAL):
    """Largest error of the combination that agrees with f at m Gauss nodes."""
    t = np.linspace(*interval, 1001)
    nodes = chebyshev.gauss_nodes(interval, m, alpha)
    found = chebyshev.values(t, interval, m, alpha) @ (chebyshev.analysis(m, m) @ f(nodes))
    return abs(found - f(t)).max()


def test_polynomials_converge_faster_than_any_power():
    errors = [error(m, 0.0, lambda t: np.exp(np.sin(t))) for m in (4, 8, 16)]
    assert errors[0] < 0.05
    assert errors[1] < 1e-3
    assert errors[2] < 1e-9


def test_the_mapping_resolves_more_oscillations():
    """With m = 28 functions on 40 frames: 10 periods at 2.8 functions each."""
    alpha = chebyshev.mapping(28, 40)
    assert 0.9 < alpha < 1
    wave = lambda t: np.cos(2 * np.pi * 10 * (t + 0.3) / 2.2 + 0.4)  # noqa: E731
    assert error(28, alpha, wave) < 0.05
    assert error(28, 0.0, wave) > 0.5  # polynomials need more than π functions each


@pytest.mark.parametrize("frames", [4, 10, 40, 100])
def test_equal_frames_determine_the_functions_that_the_mapping_allows(frames):
    """The fit recovers combinations, and values of size one stay of that order between frames."""
    t = np.linspace(0, 1, frames)
    m = max(min(8, frames), -(-3 * frames // 4))
    alpha = chebyshev.mapping(m, frames)
    L = np.linalg.pinv(chebyshev.values(t, (0.0, 1.0), m, alpha))
    dense = chebyshev.values(np.linspace(0, 1, 2001), (0.0, 1.0), m, alpha) @ L
    assert np.abs(dense).sum(1).max() < 30
    np.testing.assert_allclose(L @ chebyshev.values(t, (0.0, 1.0), m, alpha), np.eye(m), atol=1e-9)
    few = int(2 * frames**0.5)
    assert chebyshev.mapping(few, frames) == 0
    assert chebyshev.mapping(few + 1, frames) > 0


def test_fits_that_frames_do_not_determine_are_refused():
    with pytest.raises(ValueError, match="5 or more frames; got 4"):
        chebyshev.fit([0.0, 0.1, 0.2, 0.3], (0.0, 1.0), 5)
    with pytest.raises(ValueError, match="do not determine 4 polynomials"):
        chebyshev.fit([0.0, 0.01, 0.02, 0.03], (0.0, 1.0), 4)
    np.testing.assert_allclose(chebyshev.fit([0.0], (0.0, 0.0), 1), [[1.0]])
