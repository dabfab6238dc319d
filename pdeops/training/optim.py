"""Optimizers and learning-rate schedules; recipes give the arguments of the constructors.

A spec is plain data, so that it can be written to a file and compared on resume; `build` makes the
torch object. Every schedule scales the optimizer's `lr` by a factor of t = k/(n-1), where k counts
the optimizer steps done and n is their number in the whole run.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR


def _require(condition: bool, expected: str, got: object) -> None:
    if not condition:
        raise ValueError(f"Expected {expected}; got {got}.")


class OptimizerSpec(ABC):
    """The arguments of an optimizer as plain data.

    Attributes:
        needs_closure: whether a step evaluates the objective several times, through a closure.
        needs_jacobian: whether it needs the residuals and their derivatives, `linearise` of the
            objective.
    """

    needs_closure: ClassVar[bool] = False
    needs_jacobian: ClassVar[bool] = False

    @abstractmethod
    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        """The torch optimizer for these parameters."""


@dataclass(frozen=True)
class _Adaptive(OptimizerSpec):
    """Arguments shared by the Adam family.

    Attributes:
        lr: peak learning rate, positive; 1e-3 is a good start for both FNO and MgNO.
        weight_decay: at least 0; see the subclasses.
        betas: decay rates of the first and second moment, in [0, 1).
        eps: added to the root of the second moment.
    """

    lr: float = 1e-3
    weight_decay: float = 0.0
    betas: Sequence[float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        _require(self.lr > 0 and math.isfinite(self.lr), "a positive finite lr", self.lr)
        _require(self.weight_decay >= 0, "weight_decay >= 0", self.weight_decay)
        _require(
            len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas),
            "betas to be two numbers in [0, 1)",
            self.betas,
        )
        _require(self.eps > 0, "eps > 0", self.eps)


def _fusible(parameters: Iterable[nn.Parameter]) -> bool:
    """Whether torch has a step in one pass over memory, without temporary tensors: for real
    parameters (a complex one is a parameter of neuraloperator's networks)."""
    return all(p.is_floating_point() for p in parameters)


@dataclass(frozen=True)
class Adam(_Adaptive):
    """Adam (Kingma & Ba 2015). Weight decay is an L2 term: wd·θ is added to the gradient and
    therefore rescaled by the second moment. Real pairs and complex parameters take the same steps.
    """

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        (b1, b2), chosen = self.betas, list(parameters)
        decay, fused = self.weight_decay, _fusible(chosen)
        return torch.optim.Adam(
            chosen, self.lr, (b1, b2), self.eps, weight_decay=decay, fused=fused
        )


@dataclass(frozen=True)
class AdamW(_Adaptive):
    """AdamW (Loshchilov & Hutter 2019). Weight decay is decoupled: each step takes θ ← θ − lr·wd·θ
    in addition to the Adam step, with the scheduled lr, for every parameter including biases.
    """

    weight_decay: float = 1e-4

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        (b1, b2), chosen = self.betas, list(parameters)
        decay, fused = self.weight_decay, _fusible(chosen)
        return torch.optim.AdamW(
            chosen, self.lr, (b1, b2), self.eps, weight_decay=decay, fused=fused
        )


@dataclass(frozen=True)
class LBFGS(OptimizerSpec):
    """L-BFGS with the line search of Moré and Thuente for the strong Wolfe conditions (Nocedal &
    Wright 2006, algorithms 7.5 and 3.5), by `torch.optim.LBFGS`.

    A step takes up to `max_iter` iterations on one batch. The curvature pairs (s, y) are kept from
    step to step and assume gradients of the same function. Batches should therefore be the whole
    data set or close to it; for small batches use AdamW. L-BFGS suits small models and residuals of
    equations. Use the schedule Constant and no clip: the line search bounds the step.

    Attributes:
        lr: initial step length of the line search, positive; 1 is Newton's step.
        max_iter: maximum number of iterations per step, at least 1.
        history: number of curvature pairs kept, at least 1.
        tolerance_grad: a step ends if the largest entry of the gradient is smaller.
        tolerance_change: a step ends if the change of loss or weights is smaller.
    """

    needs_closure: ClassVar[bool] = True

    lr: float = 1.0
    max_iter: int = 20
    history: int = 10
    tolerance_grad: float = 1e-7
    tolerance_change: float = 1e-9

    def __post_init__(self) -> None:
        _require(self.lr > 0 and math.isfinite(self.lr), "a positive finite lr", self.lr)
        _require(self.max_iter >= 1, "max_iter >= 1", self.max_iter)
        _require(self.history >= 1, "history >= 1", self.history)
        for name in ("tolerance_grad", "tolerance_change"):
            _require(getattr(self, name) >= 0, f"{name} >= 0", getattr(self, name))

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.LBFGS(
            parameters,
            self.lr,
            self.max_iter,
            tolerance_grad=self.tolerance_grad,
            tolerance_change=self.tolerance_change,
            history_size=self.history,
            line_search_fn="strong_wolfe",
        )


@dataclass(frozen=True)
class AdamThenLBFGS(OptimizerSpec):
    """Adam, then L-BFGS, for the same objective; the usual optimisation of PINNs.

    When the trained parameters change, as from one time window to the next, both start again.

    Attributes:
        adam_steps: steps of Adam.
        lr: learning rate of Adam, which the schedule scales.
        max_iter, history: as of `LBFGS`, for one step after those of Adam.
    """

    needs_closure: ClassVar[bool] = True

    adam_steps: int = 1000
    lr: float = 1e-3
    max_iter: int = 20
    history: int = 50

    def __post_init__(self) -> None:
        _require(self.adam_steps >= 0, "adam_steps >= 0", self.adam_steps)
        _require(self.lr > 0, "lr > 0", self.lr)
        _require(self.max_iter >= 1, "max_iter >= 1", self.max_iter)
        _require(self.history >= 1, "history >= 1", self.history)

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        from .two_stages import TwoStages

        return TwoStages(parameters, self)


@dataclass(frozen=True)
class GaussNewton(OptimizerSpec):
    """Steps that minimise |r + J d|² + λ |D d|², D the norms of the columns of J (Levenberg 1944,
    Marquardt 1963).

    A step is taken only if it lowers the loss, and then λ is divided by 3; otherwise λ is
    multiplied by 4 and another step is tried. It needs all residuals and their dense Jacobian J
    (`linearise` of the objective), so it suits residuals of equations, a few thousand parameters,
    and float64. With `damping` 0 it is Gauss-Newton by a singular value decomposition, halved until
    the loss falls: a problem that is linear in the parameters, such as random features and a linear
    equation, takes one step.

    Attributes:
        damping: the first λ; 0 for none. 1e-3 is a good start for networks.
        rcond: without damping, singular values below rcond times the largest are dropped.
        least_damping: λ is not lowered below; 1e-9 for a sequence of problems, because the normal
            equations lose their digits as λ approaches 0.
    """

    needs_closure: ClassVar[bool] = True
    needs_jacobian: ClassVar[bool] = True

    damping: float = 1e-3
    rcond: float = 1e-12
    least_damping: float = 0.0

    def __post_init__(self) -> None:
        _require(self.damping >= 0, "damping >= 0", self.damping)
        _require(0 < self.rcond < 1, "rcond in (0, 1)", self.rcond)
        _require(
            0 <= self.least_damping <= self.damping,
            f"least_damping from 0 to damping ({self.damping:g})",
            self.least_damping,
        )

    def build(self, parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        from .gauss_newton import LevenbergMarquardt

        return LevenbergMarquardt(parameters, self.damping, self.rcond, self.least_damping)


class Schedule(ABC):
    """A factor on the learning rate for each optimizer step of a run."""

    @abstractmethod
    def factor(self, k: int, n: int) -> float:
        """The factor of lr in step k = 0 … n-1 of n."""

    def build(self, optimizer: torch.optim.Optimizer, total_steps: int) -> LambdaLR:
        """The torch scheduler; call its `step()` once after each `optimizer.step()`."""
        return LambdaLR(optimizer, lambda k: self.factor(min(k, total_steps - 1), total_steps))


def _half_cosine(start: float, end: float, t: float) -> float:
    """Half a cosine from start at t = 0 to end at t = 1, with zero slope at both."""
    return end + (start - end) * (1 + math.cos(math.pi * t)) / 2


@dataclass(frozen=True)
class OneCycle(Schedule):
    """One cycle of two half cosines (Smith & Topin 2018): `start_factor` → 1 → `final_factor`.

    Attributes:
        warmup: fraction of the run that increases, in [0, 1); 0.1 to 0.3 are good values.
        start_factor: factor of the first step, in (0, 1].
        final_factor: factor of the last step, in [0, 1].
    """

    warmup: float = 0.2
    start_factor: float = 0.04
    final_factor: float = 1e-4

    def __post_init__(self) -> None:
        _require(0 <= self.warmup < 1, "warmup in [0, 1)", self.warmup)
        _require(0 < self.start_factor <= 1, "start_factor in (0, 1]", self.start_factor)
        _require(0 <= self.final_factor <= 1, "final_factor in [0, 1]", self.final_factor)

    def factor(self, k: int, n: int) -> float:
        t = k / max(n - 1, 1)
        if t < self.warmup:
            return _half_cosine(self.start_factor, 1.0, t / self.warmup)
        return _half_cosine(1.0, self.final_factor, (t - self.warmup) / (1 - self.warmup))


@dataclass(frozen=True)
class Cosine(Schedule):
    """A half cosine from 1 to `final_factor` (Loshchilov & Hutter 2017, without restarts), after a
    linear increase over the fraction `warmup` of the run; the first factor is positive."""

    warmup: float = 0.0
    final_factor: float = 0.0

    def __post_init__(self) -> None:
        _require(0 <= self.warmup < 1, "warmup in [0, 1)", self.warmup)
        _require(0 <= self.final_factor <= 1, "final_factor in [0, 1]", self.final_factor)

    def factor(self, k: int, n: int) -> float:
        rise = round(self.warmup * n)
        if k < rise:
            return (k + 1) / (rise + 1)
        return _half_cosine(1.0, self.final_factor, (k - rise) / max(n - 1 - rise, 1))


@dataclass(frozen=True)
class Step(Schedule):
    """γ^j in the j-th interval of the run; an interval is the fraction `every` of all steps.

    FNO's published schedule, halving every 100 of 500 epochs, is `Step(every=0.2, gamma=0.5)`.
    """

    every: float = 0.2
    gamma: float = 0.5

    def __post_init__(self) -> None:
        _require(0 < self.every <= 1, "every in (0, 1], a fraction of the run", self.every)
        _require(0 < self.gamma <= 1, "gamma in (0, 1]", self.gamma)

    def factor(self, k: int, n: int) -> float:
        return self.gamma ** (k // max(round(self.every * n), 1))


@dataclass(frozen=True)
class Constant(Schedule):
    """A constant learning rate; the only schedule that does not depend on the run's length."""

    def factor(self, k: int, n: int) -> float:
        return 1.0


OPTIMIZERS: dict[str, type[OptimizerSpec]] = {
    "Adam": Adam,
    "AdamW": AdamW,
    "LBFGS": LBFGS,
    "AdamThenLBFGS": AdamThenLBFGS,
    "GaussNewton": GaussNewton,
}
SCHEDULES: dict[str, type[Schedule]] = {
    "OneCycle": OneCycle,
    "Cosine": Cosine,
    "Step": Step,
    "Constant": Constant,
}
