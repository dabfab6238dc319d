"""Refinement of a predicted trajectory: the correction that minimises the residual of an equation.

A model predicts the frames u after the given frames g of a trajectory. Refinement adds a correction
d, zero at first, that lowers an estimator

    η(g, u + d) = |r(g, u + d)|

of the residual of the equation: r is the residual in coordinates in which its norm is the 2-norm,
for example its waves in H⁻¹ at the instants of a quadrature. The given frames are fixed. Whatever proposes
d, a correction is accepted only where η falls. This is the second stage of Cao, Brarda, Li & Xie
(ICLR 2025, "Spectral-Refiner"), with the output itself as unknown: the last spectral layer of their
model, without truncation, spans all corrections, and its weights and biases are redundant.
"""
# Axes: b batch, t output frames, c channel, *space nodes.

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from ..nearest import did_you_mean
from .least_squares import Linearised, minimise


@runtime_checkable
class Estimator(Protocol):
    """The residual of an equation, as one number per trajectory."""

    def __call__(self, u: Float[Tensor, "b k c *space"]) -> Float[Tensor, " b"]:
        """η of trajectories of which the first frames are given; differentiable."""
        ...


@runtime_checkable
class LinearisableEstimator(Estimator, Protocol):
    """An estimator with a Jacobian, as `GaussNewton` needs."""

    def normal_equations(self, num_given: int) -> Callable[[Tensor], Linearised]:
        """Trajectories u -> r(u) + J d, where d changes the frames after the first `num_given`."""
        ...


@dataclass(frozen=True)
class Refinement:
    """A refined prediction and how it was reached.

    Attributes:
        frames: the refined frames; equal to the prediction, to the last bit, where no step was
            accepted.
        eta: η of the prediction and after each step, (steps + 1, b); it never rises.
        seconds: seconds from the start to the end of each step, the first entry is 0.
        evaluations: number of evaluations of the residual; a product with its Jacobian or with the
            transpose counts as one, a gradient as two.
        reasons: why the refinement of each sample stopped.
    """

    frames: Float[Tensor, "b t c *space"]
    eta: Float[Tensor, "steps b"]
    seconds: tuple[float, ...]
    evaluations: int
    reasons: tuple[str, ...]

    @property
    def num_steps(self) -> int:
        """Number of steps taken, accepted or not."""
        return len(self.seconds) - 1


@runtime_checkable
class Method(Protocol):
    """Proposes corrections; see `GaussNewton`, `LBFGS` and `Adam`."""

    def run(self, search: "Search") -> None:
        """Propose corrections by `search.propose` until a limit is reached."""
        ...


def refine(
    estimator: Estimator,
    given: Float[Tensor, "b n c *space"],
    prediction: Float[Tensor, "batch t channel *nodes"],
    method: Method | None = None,
    *,
    on_step: Callable[[float, Tensor], None] | None = None,
) -> Refinement:
    """The predicted frames (b, t, c, *space), corrected so that η of the whole trajectory falls.

    Args:
        estimator: η of the given and predicted frames; for `GaussNewton` a
            `LinearisableEstimator`.
        given: the known frames before the prediction; they do not change.
        method: `GaussNewton()` by default.
        on_step: called after each step with the seconds so far and the best frames; its own time is
            not counted.

    Raises:
        ValueError: the shapes do not fit, or a value is not finite.
    """
    _check(given, prediction)
    search = Search(estimator, given, prediction.detach(), on_step)
    (method or GaussNewton()).run(search)
    return search.result()


class Search:
    """The best correction of each sample so far, and the record of the steps.

    Attributes:
        frames: the best frames of each sample.
        eta: their η.
    """

    def __init__(
        self,
        estimator: Any,
        given: Tensor,
        prediction: Tensor,
        on_step: Callable[[float, Tensor], None] | None = None,
    ) -> None:
        self.estimator, self.given, self.on_step = estimator, given, on_step
        self.frames, self.evaluations = prediction, 0
        self.start, self.seconds = time.perf_counter(), [0.0]
        self.eta = self.value(prediction)
        self.history = [self.eta]
        self.reasons = ["no step was taken"] * len(prediction)
        self.open = torch.ones(len(prediction), dtype=torch.bool)  # samples still searched
        self._around: Callable[[Tensor], Linearised] | None = None
        if not self.eta.isfinite().all():
            raise ValueError(
                "The residual of the prediction is not finite. The prediction is too large for its "
                "precision: use a shorter horizon, or float64."
            )

    def trajectory(self, frames: Tensor) -> Tensor:
        """The given frames followed by these."""
        return torch.cat([self.given, frames], 1)

    @torch.no_grad()
    def value(self, frames: Tensor) -> Tensor:
        """η of these frames."""
        self.evaluations += 1
        return self.estimator(self.trajectory(frames))

    def value_and_gradient(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """η of these frames and the gradient of η²/2; samples are independent."""
        self.evaluations += 3
        leaf = frames.detach().requires_grad_()
        eta = self.estimator(self.trajectory(leaf))
        (gradient,) = torch.autograd.grad(eta.square().sum() / 2, leaf)
        return eta.detach(), gradient

    def linearised(self) -> Linearised:
        """The least-squares problem around the best frames."""
        if self._around is None:
            if not hasattr(self.estimator, "normal_equations"):
                raise ValueError(
                    f"Gauss-Newton needs the Jacobian of the residual, `normal_equations` of the "
                    f"estimator; {type(self.estimator).__name__} has none. Use LBFGS() or Adam()."
                )
            self._around = self.estimator.normal_equations(self.given.shape[1])
        self.evaluations += 1
        return self._around(self.trajectory(self.frames))

    def keep(self, frames: Tensor, eta: Tensor) -> Tensor:
        """Accept these frames for the samples whose η falls, and tell which."""
        better = (eta < self.eta).cpu() & self.open
        if better.any():
            chosen = per_sample(better.to(frames.device), frames)
            self.frames = torch.where(chosen, frames, self.frames)
            self.eta = torch.where(better.to(eta.device), eta, self.eta)
        return better

    def close(self, samples: Tensor, reason: str) -> None:
        """End the search of these samples that are still open."""
        for i in (samples & self.open).nonzero().flatten().tolist():
            self.reasons[i] = reason
        self.open = self.open & ~samples

    def step_done(self) -> None:
        """Record a step."""
        now = time.perf_counter()
        self.seconds.append(now - self.start)
        self.history.append(self.eta)
        if self.on_step is not None:
            self.on_step(self.seconds[-1], self.frames)
            self.start += time.perf_counter() - now

    def result(self) -> Refinement:
        """The record of the search."""
        eta = torch.stack(self.history)
        return Refinement(
            self.frames, eta, tuple(self.seconds), self.evaluations, tuple(self.reasons)
        )


@dataclass(frozen=True)
class GaussNewton:
    """Gauss-Newton steps: d minimises |r + J d|², by preconditioned conjugate gradients (CGLS).

    The residual is affine in the trajectory but for advection, so that two or three steps suffice
    where the prediction is good. A step that does not lower η is halved. With the exact inverse of
    the linear part of the equation as preconditioner, the iterations depend on the distance that
    the flow travels within the horizon, not on the grid.

    Args:
        steps: largest number of steps.
        iterations: largest number of iterations of conjugate gradients in a step.
        rtol: reduction of the gradient of the linear problem at which a step ends; 1e-2 is a good
            value, since the next step linearises anew.
        halvings: number of times that a step is halved before the search ends.
        drop: the search ends after a step that lowers η by less than this fraction, and a step
            after an iteration that lowers |r + J d| by less.
    """

    steps: int = 3
    iterations: int = 30
    rtol: float | int = 1e-2
    halvings: int = 6
    drop: float | int = 0.1

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if not (self.iterations >= 1 and 0 < self.rtol < 1 and 0 <= self.drop < 1):
            raise ValueError(
                f"Gauss-Newton needs iterations >= 1, 0 < rtol < 1 and 0 <= drop < 1; got "
                f"{self.iterations}, {self.rtol} and {self.drop}."
            )

    def run(self, search: Search) -> None:
        """Steps until every sample has a reason to stop."""
        for _ in range(self.steps):
            before = search.eta.cpu()
            found = minimise(
                search.linearised(), rtol=self.rtol, iterations=self.iterations, drop=self.drop
            )
            search.evaluations += 2 * found.iterations + 1
            fell = self._halved(search, found.d)
            search.step_done()
            search.close(~fell, f"no step down to 2^-{self.halvings} lowers the residual")
            slow = search.eta.cpu() > (1 - self.drop) * before
            search.close(slow, f"a step lowered the residual by less than {self.drop:.0%}")
            if not search.open.any():
                return
        search.close(search.open, f"{self.steps} steps taken")

    def _halved(self, search: Search, d: Tensor) -> Tensor:
        """Accept d, or a half, a quarter, ... of it, per sample; tells which samples improved."""
        u, size = search.frames, torch.ones(len(d), dtype=d.dtype, device=d.device)
        fell = ~search.open
        for _ in range(self.halvings + 1):
            trial = u + per_sample(size, d) * d
            fell = fell | search.keep(trial, search.value(trial).where(~fell.to(d.device), math.inf))
            if fell.all():
                break
            size = torch.where(fell.to(d.device), size, size / 2)
        return fell | ~search.open


@dataclass(frozen=True)
class Adam:
    """Adam on the coefficients of d, in an orthonormal basis of waves, relative to the size of u.

    The method of the published fine-tuning. The best correction on the way is kept, not the last.

    Args:
        steps: number of steps.
        lr: first learning rate; it falls to zero like a half cosine. 1e-4 .. 1e-2 are good values,
            the smaller the better the prediction.
    """

    steps: int = 100
    lr: float | int = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        _check_steps(self.steps)
        if not self.lr > 0:
            raise ValueError(f"Adam needs lr > 0; got {self.lr}.")

    def run(self, search: Search) -> None:
        """All steps; samples share none of the state."""
        coordinates = Coefficients(search)
        theta = coordinates.zeros().requires_grad_()
        optimizer = torch.optim.Adam([theta], self.lr, betas=self.betas)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(self.steps, 1))
        for _ in range(self.steps):
            frames = coordinates.frames(theta)
            eta, gradient = search.value_and_gradient(frames)
            search.keep(frames.detach(), eta)
            search.step_done()
            theta.grad = coordinates.pulled_back(gradient)
            optimizer.step()
            schedule.step()
        if self.steps:
            last = coordinates.frames(theta)
            search.keep(last, search.value(last))
            search.step_done()
        search.close(search.open, f"{self.steps} steps taken")


@dataclass(frozen=True)
class LBFGS:
    """L-BFGS with a line search (strong Wolfe conditions) on the same coefficients as `Adam`.

    The samples of a batch share the line search; refine one sample at a time if they differ much.

    Args:
        steps: number of steps.
        history: number of pairs that approximate the inverse Hessian.
    """

    steps: int = 30
    history: int = 10

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def run(self, search: Search) -> None:
        """Steps until their number is reached or the line search fails."""
        coordinates = Coefficients(search)
        theta = coordinates.zeros().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [theta],
            max_iter=1,  # one step for each call; the history is kept between calls
            max_eval=25,
            tolerance_grad=0.0,
            tolerance_change=0.0,
            history_size=self.history,
            line_search_fn="strong_wolfe",
        )
        scale = search.eta.square().sum()

        def closure() -> Tensor:
            frames = coordinates.frames(theta)
            eta, gradient = search.value_and_gradient(frames)
            search.keep(frames.detach(), eta)
            theta.grad = coordinates.pulled_back(gradient) / scale
            return eta.square().sum() / (2 * scale)

        for _ in range(self.steps):
            before = theta.detach().clone()
            optimizer.step(closure)
            search.step_done()
            if torch.equal(before, theta):
                search.close(search.open, "the line search found no lower residual")
                return
        search.close(search.open, f"{self.steps} steps taken")


class Coefficients:
    """The coordinates θ of corrections for methods that use gradients: u + d, d = σ F⁻¹ θ.

    F is an orthonormal discrete Fourier transform of real fields in space, with real and imaginary
    parts as separate coordinates, and σ is the root mean square of the sample's prediction. So a
    change of every coordinate by ε changes u by ε relative to its size.
    """

    def __init__(self, search: Search) -> None:
        self.base = search.frames
        rms = self.base.flatten(1).square().mean(1).sqrt()
        self.sigma = per_sample(torch.where(rms > 0, rms, 1.0), self.base)
        self.dims, self.shape = tuple(range(3, self.base.ndim)), self.base.shape[3:]
        n = self.shape[-1]
        k = torch.arange(n // 2 + 1, device=self.base.device)
        paired = (k > 0) & (2 * k != n)  # stored once for k and -k
        self.root = torch.where(paired, 2.0, 1.0).to(self.base.dtype).sqrt()

    def zeros(self) -> Tensor:
        """θ of d = 0."""
        return self.pulled_back(torch.zeros_like(self.base))

    @torch.no_grad()
    def frames(self, theta: Float[Tensor, "b t c *waves 2"]) -> Float[Tensor, "b t c *space"]:
        """u + d."""
        waves = torch.view_as_complex(theta) / self.root
        return self.base + self.sigma * torch.fft.irfftn(waves, self.shape, self.dims, norm="ortho")

    def pulled_back(self, g: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b t c *waves 2"]:
        """The gradient with respect to θ, from the one with respect to the frames."""
        waves = torch.fft.rfftn(self.sigma * g, self.shape, self.dims, norm="ortho") * self.root
        return torch.view_as_real(waves).contiguous()


METHODS: dict[str, Callable[..., Method]] = {
    "gauss-newton": GaussNewton,
    "lbfgs": LBFGS,
    "adam": Adam,
}


def method_named(name: str, steps: int | None = None) -> Method:
    """The method with this name, and with this number of steps if it is given.

    Raises:
        ValueError: the name is unknown, or the number of steps is below 0.
    """
    if name not in METHODS:
        raise ValueError(
            f"Unknown method of refinement {name!r}.{did_you_mean(name, METHODS)} Choose from "
            f"{', '.join(METHODS)}."
        )
    return METHODS[name]() if steps is None else METHODS[name](steps=steps)


def per_sample(values: Tensor, like: Tensor) -> Tensor:
    """(b,) -> (b, 1, .., 1), to multiply a tensor of the shape of `like`."""
    return values.reshape(-1, *[1] * (like.ndim - 1))


def _check_steps(steps: int) -> None:
    if not (isinstance(steps, int) and steps >= 0):
        raise ValueError(f"The number of steps must be an integer >= 0; got {steps!r}.")


def _check(given: Tensor, prediction: Tensor) -> None:
    if given.ndim != prediction.ndim or (given.shape[0], given.shape[2:]) != (
        prediction.shape[0],
        prediction.shape[2:],
    ):
        raise ValueError(
            f"Given and predicted frames have the shapes (b, n, c, *space) and (b, t, c, *space) "
            f"with equal b, c and space; got {tuple(given.shape)} and {tuple(prediction.shape)}."
        )
    for name, u in (("given", given), ("predicted", prediction)):
        if not u.isfinite().all():
            raise ValueError(
                f"The {name} frames hold NaN or infinity, so their residual means nothing. Check "
                f"the data, or roll the model out over a shorter horizon."
            )
