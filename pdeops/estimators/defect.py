"""The defect of a trajectory in the steps of a solver."""
# Axes: b batch, t frame, m interval, c channel, *space nodes, *waves coefficients.

from collections.abc import Sequence

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from ..calculus.fourier import dealias_mask
from ..solvers.evolution.etdrk4 import etdrk4_step, etdrk4_table
from ..solvers.evolution.evolution import Evolution
from .estimator import TrajectoryEstimator
from .waves import PaddedWaves


class EvolutionDefect(TrajectoryEstimator):
    """η of R_m = (Φ(u_m) - u_{m+1}) / Δt_m, Φ the solver over the interval from t_m to t_{m+1}.

    R_m is the mean of L u + N(u) - u_t over the interval up to the error of Φ, and θ_m = Δt_m. It
    needs no difference across several frames: on a true trajectory η is the error of Φ, O(Δt⁴) of
    ETDRK4 and far smaller than that of `Differences`. One evaluation costs as much as `steps` steps
    of the solver per frame, on the padded grid, dealiased there; differentiable.

    Args:
        equation, times, order, alpha: as for `EvolutionResidual`.
        steps: steps of ETDRK4 per interval.

    Raises:
        ValueError: as for `EvolutionResidual`, or steps < 1.
    """

    def __init__(
        self,
        equation: Evolution,
        times: Sequence[float | int],
        *,
        order: float | int = -1.0,
        alpha: float | int | None = None,
        steps: int = 1,
    ) -> None:
        if steps < 1:
            raise ValueError(f"The solver takes one step per interval or more; got {steps}.")
        t = torch.tensor([float(v) for v in times], dtype=torch.float64)
        space = PaddedWaves(equation, order, alpha)
        super().__init__(space, times, ((t[1:] + t[:-1]) / 2).tolist(), t.diff())
        self.steps = steps
        # The waves of a frame are kept: the padded grid has more than `degree` times its cells.
        self._kept = dealias_mask(
            space.equation.grid, space.equation.series, degree=space.equation.degree
        ).double()
        self._tables: dict[float, list[Tensor]] = {}

    def coefficients(self, u: Float[Tensor, "b t c *space"]) -> Inexact[Tensor, "b m c *waves"]:
        u_hat = self.space.forward(u)
        # Equal intervals are advanced together.
        dts = [float(f"{dt:.12g}") for dt in self.weights.tolist()]
        if len(set(dts)) == 1 and self.equation.autonomous:
            start = u_hat[:, :-1]
            end = self.advance(start.flatten(0, 1), 0.0, dts[0]).view_as(start)
        else:
            frames = zip(u_hat[:, :-1].unbind(1), self.times, dts, strict=False)
            end = torch.stack([self.advance(v, t, dt) for v, t, dt in frames], 1)
        dt = self.weights.to(u).reshape(-1, *[1] * (u_hat.ndim - 2))
        return (end - u_hat[:, 1:]) / dt

    def advance(
        self, u_hat: Inexact[Tensor, "b c *waves"], t: float, dt: float
    ) -> Inexact[Tensor, "b c *waves"]:
        """Φ: the state at t + dt."""
        kept = self.equation.cast(self._kept, u_hat)
        step = dt / self.steps
        if step not in self._tables:
            self._tables[step] = etdrk4_table(self.equation, step)
        coupled = self.equation.coupled
        table = [self.equation.cast(c, u_hat) for c in self._tables[step]]
        if coupled:  # einsum needs one dtype
            table = [c.to(u_hat.dtype) for c in table]
        for i in range(self.steps):
            u_hat = etdrk4_step(
                lambda v, s: kept * self.equation.nonlinear(v, s),
                table, u_hat, t + i * step, step, coupled=coupled,
            )  # fmt: skip
        return u_hat
