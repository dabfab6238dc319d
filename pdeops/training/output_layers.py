"""Least squares for the output layers of networks whose residual is pointwise in their jets.

With fixed hidden layers a network is linear in its output layer. If the residual at a point depends
only on the value and derivatives of the networks there, Gauss-Newton on the output layers needs the
derivatives of a pointwise function and one dense least-squares solution per iteration; a linear
equation takes one iteration. With random hidden layers this is the method of random features.
"""
# Axes: k features, o outputs, q entries of a jet, e equations, n points, j unknowns.

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

Residual = Callable[[list[Tensor]], Tensor]  # jets (o, q, n) of each network -> (e, n)


@dataclass(frozen=True)
class OutputFit:
    """The course of Gauss-Newton.

    Attributes:
        sizes: root mean square of the residual before the first and after each iteration.
        converged: the last step lowered the residual as the linearisation predicts, to `rtol`.
        reason: why it ended.
    """

    sizes: list[float]
    converged: bool
    reason: str

    @property
    def iterations(self) -> int:
        """Number of accepted steps."""
        return len(self.sizes) - 1


@torch.no_grad()
def fit_output_layers(
    layers: Sequence[nn.Linear],
    features: Sequence[Float[Tensor, "k q n"]],
    residual: Residual,
    *,
    iterations: int = 20,
    rtol: float | int = 1e-6,
    rcond: float | int = 1e-12,
) -> OutputFit:
    """Minimise Σ residual² over the weights and biases of `layers`, by Gauss-Newton.

    Args:
        layers: the output layer of each network, updated in place; float64 is advisable, because
            features are nearly dependent.
        features: the jets of the inputs of each layer at the collocation points.
        residual: of the jets of the outputs; each point by itself.
        rtol: end when a step lowers the residual by less than this fraction.
        rcond: singular values below rcond times the largest are dropped.

    Raises:
        ValueError: the residual is not finite.
    """
    inputs = [_with_constant(f) for f in features]
    shapes = [(layer.out_features, f.shape[0]) for layer, f in zip(layers, inputs, strict=True)]
    unknowns = torch.cat([_coefficients(layer).flatten() for layer in layers])

    def jets(values: Tensor) -> list[Tensor]:
        parts = values.split([o * k for o, k in shapes])
        return [
            torch.einsum("ok,kqn->oqn", part.view(shape), f)
            for part, shape, f in zip(parts, shapes, inputs, strict=True)
        ]

    at = jets(unknowns)
    r = _finite(residual(at))
    sizes, reason, converged = [_rms(r)], f"{iterations} iterations", False
    for _ in range(iterations):
        if sizes[-1] <= 4 * torch.finfo(r.dtype).eps * sizes[0]:
            converged, reason = True, "the residual is round-off"
            break
        step = _least_squares(_jacobian(residual, at, inputs), -r.flatten(), rcond)
        fraction = 1.0
        while True:
            trial = unknowns + fraction * step
            trial_jets = jets(trial)
            trial_r = residual(trial_jets)
            if _rms(trial_r) < sizes[-1]:
                break
            fraction /= 2
            if fraction < 1e-3:
                break
        if fraction < 1e-3:
            converged, reason = True, "no step lowers the residual"
            break
        unknowns, at, r = trial, trial_jets, trial_r
        sizes.append(_rms(r))
        if fraction == 1.0 and sizes[-2] - sizes[-1] <= rtol * sizes[-2]:
            converged, reason = True, f"the last step lowered the residual by less than {rtol:.1g}"
            break
    for layer, part, shape in zip(
        layers, unknowns.split([o * k for o, k in shapes]), shapes, strict=True
    ):
        layer.weight.copy_(part.view(shape)[:, :-1])
        layer.bias.copy_(part.view(shape)[:, -1])
    return OutputFit(sizes, converged, reason)


def _with_constant(features: Tensor) -> Tensor:
    """The features and the constant, whose coefficient is the bias."""
    constant = torch.zeros_like(features[:1])
    constant[:, 0] = 1.0
    return torch.cat([features, constant])


def _coefficients(layer: nn.Linear) -> Tensor:
    return torch.cat([layer.weight, layer.bias[:, None]], 1)


def _jacobian(residual: Residual, at: list[Tensor], inputs: list[Tensor]) -> Tensor:
    """∂residual/∂unknowns, (e n, j): derivatives in the jets times the jets of the features."""
    with torch.enable_grad():
        at = [jet.detach().requires_grad_() for jet in at]
        rows = []
        for r in residual(at):
            slopes = torch.autograd.grad(r.sum(), at, retain_graph=True, allow_unused=True)
            blocks = []
            for slope, jet, f in zip(slopes, at, inputs, strict=True):
                g = torch.zeros_like(jet) if slope is None else slope
                blocks.append(torch.einsum("oqn,kqn->nok", g, f).flatten(1))
            rows.append(torch.cat(blocks, 1))
    return torch.cat(rows)


def _least_squares(A: Tensor, b: Tensor, rcond: float | int) -> Tensor:
    """x of least norm with |Ax - b| minimal, by QR of (A b) and the singular values of R, columns
    scaled to norm one."""
    scale = A.norm(dim=0)
    scale = torch.where(scale > 0, scale, 1.0)
    R = torch.linalg.qr(torch.cat([A / scale, b[:, None]], 1), mode="r").R
    U, s, Vh = torch.linalg.svd(R[:-1, :-1] if len(R) > A.shape[1] else R[:, :-1])
    d = U.mT @ (R[:-1, -1] if len(R) > A.shape[1] else R[:, -1])
    y = torch.where(s > rcond * s[0], d[: len(s)] / s.clamp(min=torch.finfo(s.dtype).tiny), 0.0)
    return (Vh[: len(s)].mT @ y) / scale


def _finite(r: Tensor) -> Tensor:
    if not r.isfinite().all():
        e, n = (~r.isfinite()).nonzero()[0].tolist()
        raise ValueError(
            f"The residual of equation {e} is not finite at collocation point {n}, before the "
            f"first step. Check the initial weights and the terms of the equation."
        )
    return r


def _rms(r: Tensor) -> float:
    return r.square().mean().sqrt().item()
