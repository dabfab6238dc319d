"""Checks of field shapes on a domain, and conversion of trajectories to fields."""
# Axes: b batch, t time, c channel, *space nodes.

from typing import Any

from torch import Tensor


def fold_time(u: Tensor, domain: Any, name: str = "field") -> Tensor:
    """Reshape a trajectory (b, t, c, *space) to (b, t·c, *space); return a field unchanged.

    Losses and metrics treat each time like a group of channels. A norm therefore pools the error
    over all times, ‖e‖² = Σ_t ‖e(t)‖². A measure that scales channels separately scales each
    channel at each time separately and then averages over both.

    Raises:
        ValueError: u has another number of axes, or is not a field of the domain.
    """
    domain.check(u, name)
    axes = u.ndim - domain.ndim
    if axes == 3:
        return u.flatten(1, 2)
    if axes != 2:
        space = ", ".join(domain.axes)
        raise ValueError(
            f"The {name} must have shape (batch, channel, {space}) or (batch, time, channel, "
            f"{space}); got {tuple(u.shape)}. Add the batch or channel axis."
        )
    return u


def check_alike(prediction: Tensor, target: Tensor) -> None:
    """Raise a ValueError unless the two shapes are equal: broadcasting would hide a mistake."""
    if prediction.shape != target.shape:
        raise ValueError(
            f"Prediction and target must have one shape; got {tuple(prediction.shape)} and "
            f"{tuple(target.shape)}."
        )
