"""The polynomial p of the Chebyshev iteration with x p(x) ≈ 1 on an interval.

    1 - x p(x) = T_(d+1)(t(x)) / T_(d+1)(t(0)),    t(x) = (b + a - 2x) / (b - a),

for degree d on [a, b]. For even d, p(x) > 0 for *all* x > 0: T_(d+1) is odd and increasing outside
of [-1, 1], so that x p(x) > 1 beyond b, and |T_(d+1)| is smaller than T_(d+1)(t(0)) before. M is
thus positive definite also where b is below the largest eigenvalue.
"""

import numpy as np

# a = b * LOW / (d + 1)². Larger values make x p(x) oscillate less and its slope at zero smaller.
LOW = 0.3


def coefficients(degree: int, bound: float) -> np.ndarray:
    """(first, carry) of each step, (degree + 1, 2), for the iteration

        d_0 = first_0 y,  z = d_0;   r = y - B z,  d_k = carry_k d_(k-1) + first_k r,  z += d_k,

    which computes z = p(B) y (Saad 2003, Alg. 12.1). For degree 0, p = 1.

    Raises:
        ValueError: the degree is odd or negative.
    """
    if degree < 0 or degree % 2:
        raise ValueError(
            f"The degree of the polynomial must be even and at least 0; got {degree}. For an odd "
            f"degree M is indefinite where the bound of the eigenvalues is too small."
        )
    if degree == 0:
        return np.array([[1.0, 0.0]])
    low = bound * LOW / (degree + 1) ** 2
    middle, half = (bound + low) / 2, (bound - low) / 2
    rho = half / middle
    steps = [(1 / middle, 0.0)]
    for _ in range(degree):
        following = 1 / (2 * middle / half - rho)
        steps.append((2 * following / half, following * rho))
        rho = following
    return np.array(steps)
