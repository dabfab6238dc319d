"""Predicted trajectories, refined until the estimate of their error meets a tolerance."""
# Axes: b sample, n given frames, t predicted frames, c channel, *space nodes.

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..compare.tables import grid_name
from ..domain import Grid
from ..polish import needed
from ..solvers.evolution.evolution import Evolution
from ..tasks.refinement import ACCURACIES, Predict, refine_trajectory
from ..tasks.unrolling import persistence
from ..training.refine import GaussNewton

LEAST_FRAMES = min(ACCURACIES) + 1  # of a time difference
DROP = 0.1  # a sweep that lowers the residual by a smaller fraction is the last


@dataclass(frozen=True)
class RefinedToTolerance:
    """The refinement of one trajectory.

    Attributes:
        frames: the refined frames after the given ones, float64.
        residuals: relative residual of the first iterate, and after each sweep.
        evaluations: evaluations of the residual and its Jacobian up to then.
    """

    frames: Float[Tensor, "1 t c *space"]
    residuals: list[float]
    evaluations: list[int]

    def needed(self, tol: float) -> int | None:
        """Evaluations until the residual is at most tol; None if it is never."""
        if min(self.residuals) > tol:
            return None
        return self.evaluations[needed(self.residuals, tol)]


def accuracy_for(num_frames: int) -> int:
    """The order of the time differences: the highest for which there are enough frames.

    Raises:
        ValueError: there are fewer than five frames.
    """
    if num_frames < LEAST_FRAMES:
        raise ValueError(
            f"A refinement needs time differences over {LEAST_FRAMES} frames or more; the "
            f"trajectories have {num_frames}, given ones included. Store more frames, or predict "
            f"without --tol."
        )
    return max(order for order in ACCURACIES if order < num_frames)


def refined_to_tolerance(
    estimate: Callable[[Tensor], Tensor],
    equation: Evolution,
    grid: Grid,
    given: Float[Tensor, "1 n c *space"],
    frames: Float[Tensor, "1 t c *space"],
    times: Sequence[float],
    tol: float,
) -> RefinedToTolerance:
    """Sweeps of one Gauss-Newton step per block of frames (`tasks.refinement.refine_trajectory`),
    until the estimate is at most tol or no longer falls.

    Args:
        estimate: of the given frames and those that follow.
        times: of all frames, in the units of the equation.
    """
    given, frames = given.double(), frames.double()
    residuals = [estimate(torch.cat([given, frames], 1)).item()]
    evaluations = [0]
    falls = True
    while residuals[-1] > tol and falls:
        swept = refine_trajectory(
            _stored(frames, times),
            equation, given, times, GaussNewton(steps=1), grid=grid,
            accuracy=accuracy_for(len(times)),
        )  # fmt: skip
        found = estimate(torch.cat([given, swept.refined], 1)).item()
        evaluations.append(evaluations[-1] + sum(block.evaluations for block in swept.blocks))
        falls = found < (1 - DROP) * residuals[-1]
        if found < residuals[-1]:
            frames = swept.refined
        residuals.append(min(found, residuals[-1]))
    return RefinedToTolerance(frames, residuals, evaluations)


def _stored(frames: Tensor, times: Sequence[float]) -> Predict:
    """These frames, of the last of the times, as a prediction."""
    number = {t: i for i, t in enumerate(times[len(times) - frames.shape[1] :])}

    def predict(given: Tensor, known: Sequence[float], wanted: Sequence[float]) -> Tensor:
        return frames[:, [number[t] for t in wanted]]

    return predict


def both_refined(
    estimate: Callable[[Tensor], Tensor],
    equation: Evolution,
    grid: Grid,
    given: Float[Tensor, "1 n c *space"],
    frames: Float[Tensor, "1 t c *space"],
    truth: Float[Tensor, "1 t c *space"],
    times: Sequence[float],
    tol: float,
) -> tuple[RefinedToTolerance, RefinedToTolerance]:
    """`refined_to_tolerance` of predicted frames, and of the last given frame, repeated.

    Args:
        truth: frames of the file, whose estimate is a limit of its grid.

    Raises:
        ValueError: the refinement of the predicted frames does not reach the tolerance; the message
            names the limit.
    """
    mine, other = (
        refined_to_tolerance(estimate, equation, grid, given, start, times, tol)
        for start in (frames, persistence(given, frames.shape[1]))
    )
    reached = mine.residuals[-1]
    if reached <= tol:
        return mine, other
    text = f"The refined trajectory has a relative residual of {reached:.1e}, above {tol:g}."
    floor = estimate(torch.cat([given, truth], 1).double()).item()
    if floor > tol:
        raise ValueError(
            f"{text} The frames of the file have {floor:.1e} themselves: "
            f"{grid_name(grid.shape)} nodes do not resolve the equation to the tolerance, or its "
            f"solver's steps or stored digits do not. Take data on a finer grid, or a tolerance "
            f"above that."
        )
    accuracy, step = accuracy_for(len(times)), times[1] - times[0]
    raise ValueError(
        f"{text} The grid is not the limit: the frames of the file have {floor:.1e}. Differences "
        f"of order {accuracy} over frames {step:.3g} apart are, or a horizon over which the search "
        f"does not converge: frames {step * (tol / reached) ** (1 / accuracy):.2g} apart would do "
        f"by the order of the differences. Store them closer, or take a larger tolerance."
    )
