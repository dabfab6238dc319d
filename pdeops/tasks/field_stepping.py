"""Fields that step in time, solved step by step to a tolerance, without a recipe."""

from collections.abc import Callable

from ..models.fields.neural_field_stepper import NeuralFieldStepper
from ..training.gauss_newton import LevenbergMarquardt
from .collocation import CollocationPoints, CollocationTable
from .residual_fit import ResidualFit, fit_residual


def fit_steps(
    field: NeuralFieldStepper,
    *,
    points: int = 128,
    atol: float | int = 0.0,
    rtol: float | int = 1e-2,
    iterations: int = 10,
    first_iterations: int = 200,
    num_steps: int | None = None,
    after_step: Callable[[int, ResidualFit], object] | None = None,
) -> list[ResidualFit]:
    """Fit the network of each step in turn by Levenberg-Marquardt at uniform points.

    The weights become float64. Steps that are already trained are kept, so that a second call
    continues.

    Args:
        points: points per axis; as many in all as weights per output, or more.
        atol: root mean square of the residual at which a step ends. The errors of the fits add up:
            choose a small fraction of the error of the scheme in one step.
        rtol: an iteration that lowers the residual by a smaller fraction is the last of its step.
        iterations: the largest number of them in a step; `first_iterations` in the first one, whose
            weights are random at the start.
        num_steps: the last step; by default that which ends at t_end.
        after_step: called with the number of each step, from 1 on, and its course.

    Raises:
        ValueError: the residual is not finite, or the field has no step of this number.
    """
    last = len(field.ends) if num_steps is None else num_steps
    if not 1 <= last <= len(field.ends):
        raise ValueError(f"num_steps must be from 1 to {len(field.ends)}; got {num_steps}.")
    field.double()
    windows = CollocationPoints(field, CollocationTable(points=points), len(field.ends), 0)
    optimizer = LevenbergMarquardt(
        field.parameters(), damping=1e-3, rcond=1e-12, least_damping=1e-9
    )
    fits = []
    for step in range(int(field.started), last):
        fit = fit_residual(
            field,
            windows.uniform(step),
            optimizer,
            iterations=iterations if step else first_iterations,
            rtol=rtol if step else 0.0,
            atol=atol,
        )
        fits.append(fit)
        if after_step is not None:
            after_step(step + 1, fit)
    return fits
