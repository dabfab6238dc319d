"""Split-conformal bands around predictions: half widths from the errors of other samples."""

import math

from jaxtyping import Float
from torch import Tensor


def conformal_quantile(scores: Float[Tensor, "n *any"], level: float) -> Float[Tensor, "*any"]:
    """The k-th smallest of n scores along the first axis, k = ⌈(n + 1) level⌉; infinite if k > n.

    The score of a further sample that is exchangeable with these n is at most this with probability
    at least `level`, and at most level + 1/(n + 1) if no two scores are equal (Vovk, Gammerman and
    Shafer 2005; Lei et al. 2018, Thm. 2.2).

    Raises:
        ValueError: there is no score, or the level is not in (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"The level of a band is a probability in (0, 1); got {level:g}.")
    n = len(scores)
    if n == 0:
        raise ValueError("A band needs at least one sample for calibration; got none.")
    k = math.ceil((n + 1) * level * (1 - 1e-12))  # 10 * 0.9 may round to above 9
    if k > n:
        return scores[0].new_full(scores.shape[1:], math.inf)
    return scores.sort(0).values[k - 1]


def pointwise_band(errors: Float[Tensor, "n *field"], level: float) -> Float[Tensor, "*field"]:
    """Half width w: at each single point, |error| <= w with probability at least `level`."""
    return conformal_quantile(errors.abs(), level)


def simultaneous_band(errors: Float[Tensor, "n *field"], level: float) -> Float[Tensor, "*field"]:
    """Half width w: |error| <= w at all points at once with probability at least `level`.

    w = q s, s the root mean square of the errors of the first n/2 samples at each point, and q the
    quantile of max |error| / s over the others. So the shape of the band and its size come from
    different samples, as the probability requires.

    Raises:
        ValueError: there are fewer than two samples.
    """
    if len(errors) < 2:
        raise ValueError(
            f"A simultaneous band needs at least two samples for calibration; got {len(errors)}."
        )
    half = len(errors) // 2
    s = errors[:half].square().mean(0).sqrt()
    scores = (errors[half:].abs() / s).nan_to_num(nan=0.0, posinf=math.inf)  # 0/0: both are exact
    q = conformal_quantile(scores.flatten(1).amax(1), level)
    return (q * s).nan_to_num(nan=0.0, posinf=math.inf)


def coverage(
    errors: Float[Tensor, "n *field"], band: Float[Tensor, "*field"], *, simultaneous: bool
) -> float:
    """The share of samples that are inside the band everywhere; or of all points, if not
    `simultaneous`."""
    inside = errors.abs() <= band
    return (inside.flatten(1).all(1) if simultaneous else inside).double().mean().item()
