import torch

from pdeops.solvers import SolveResult


def test_repr_names_the_state_the_residual_and_the_reason():
    x = torch.zeros(3, 4)
    good = SolveResult(x, True, 5, [1.0, 1e-9], "|b - A x| <= 1e-8 |b|")
    assert repr(good) == (
        "SolveResult(converged, 5 iterations, |b - A x| = 1.0e-09 |b|, x: (3, 4) float32; "
        "|b - A x| <= 1e-8 |b|)"
    )
    bad = SolveResult(x, False, 2, [1.0, 0.5], "max_iterations = 2")
    assert "NOT converged" in repr(bad)
    assert bad.residual == 0.5
