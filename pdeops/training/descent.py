"""Corrections of a predicted trajectory by methods that use the gradient of the residual alone."""
# Axes: b batch, t output frames, c channel, *space nodes, *waves stored Fourier coefficients, two
# real pairs.

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .least_squares import per_sample
from .search import Search, check_steps


@dataclass(frozen=True)
class Adam:
    """Adam on the coefficients of d, in an orthonormal basis of waves, relative to the size of u.

    The method of the published fine-tuning. The best correction on the way is kept, not the last.

    Args:
        steps: number of steps.
        lr: first learning rate; it falls to zero like a half cosine. 1e-3 .. 1e-1 are good values,
            the smaller the better the prediction.
    """

    steps: int = 100
    lr: float | int = 3e-2
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        check_steps(self.steps)
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
        check_steps(self.steps)

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

    F is `_to_waves`, an orthonormal transform, and σ is the root mean square of the
    sample's prediction: a change of every coordinate by ε changes u by ε relative to its size.
    """

    def __init__(self, search: Search) -> None:
        self.base = search.frames
        rms = self.base.flatten(1).square().mean(1).sqrt()
        self.sigma = per_sample(torch.where(rms > 0, rms, 1.0), self.base)

    def zeros(self) -> Tensor:
        """θ of d = 0."""
        return self.pulled_back(torch.zeros_like(self.base))

    @torch.no_grad()
    def frames(self, theta: Float[Tensor, "b t c *waves two"]) -> Float[Tensor, "b t c *space"]:
        """u + d."""
        return self.base + self.sigma * _from_waves(theta, self.base.shape[3:])

    def pulled_back(self, g: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b t c *waves two"]:
        """The gradient with respect to θ, from the one with respect to the frames."""
        return _to_waves(self.sigma * g)


def _to_waves(u: Float[Tensor, "b t c *space"]) -> Float[Tensor, "b t c *waves two"]:
    """Coefficients in an orthonormal basis of real waves: Σ θ² = Σ u² for real fields."""
    dims = tuple(range(3, u.ndim))
    waves = torch.fft.rfftn(u, dim=dims, norm="ortho") * _root(u.shape[-1], u)
    return torch.view_as_real(waves).contiguous()


def _from_waves(
    theta: Float[Tensor, "b t c *waves two"], shape: Sequence[int]
) -> Float[Tensor, "b t c *space"]:
    """The field with these coefficients; `_to_waves` is its transpose, and its inverse on real
    fields."""
    dims = tuple(range(3, theta.ndim - 1))
    waves = torch.view_as_complex(theta) / _root(shape[-1], theta)
    return torch.fft.irfftn(waves, tuple(shape), dims, norm="ortho")


def _root(n: int, like: Tensor) -> Tensor:
    """√2 for the waves of the last axis that are stored once for k and -k, else 1."""
    k = torch.arange(n // 2 + 1, device=like.device)
    return torch.where((k > 0) & (2 * k != n), 2.0, 1.0).to(like.dtype).sqrt()
