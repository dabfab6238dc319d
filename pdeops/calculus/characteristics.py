"""Fields that are known along moving labels, evaluated at points: u(x) = w(ξ) with X(ξ) = x.

X maps the labels of a periodic box to positions, X(ξ + L) = X(ξ) + L. While J = det ∂X/∂ξ > 0 the
map is one to one. In one dimension the map may fold (J <= 0 somewhere, a shock of a conservation
law): several labels then have the same position, and the entropy solution selects one of them.
"""
# Axes: d position or label, c channel of the field, n points, m labels on a uniform grid.

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from ..domain import Grid

_ITERATIONS = 60  # of bisection: a bracket of one cell shrinks to round-off


class Moved(NamedTuple):
    """The state of labels at one time.

    Attributes:
        position: X.
        gradient: F = ∂X/∂ξ, first axis the component of X.
        value: w.
    """

    position: Float[Tensor, "d n"]
    gradient: Float[Tensor, "d d n"]
    value: Float[Tensor, "c n"]


FlowMap = Callable[[Tensor], Moved]  # labels (d, n), any real numbers -> their state


@dataclass(frozen=True)
class Eulerian:
    """A field at points x, from labels.

    Attributes:
        u: the field.
        labels: the label of each point.
        smallest_jacobian: min J over a grid of labels.
    """

    u: Float[Tensor, "c n"]
    labels: Float[Tensor, "d n"]
    smallest_jacobian: float

    @property
    def folded(self) -> bool:
        """Whether the map is not one to one, so that u is the entropy selection."""
        return self.smallest_jacobian <= 0


def determinant(F: Float[Tensor, "d d n"]) -> Float[Tensor, " n"]:
    """J = det F at every point, in one or two dimensions."""
    return F[0, 0] if len(F) == 1 else F[0, 0] * F[1, 1] - F[0, 1] * F[1, 0]


def adjugate(F: Float[Tensor, "d d n"]) -> Float[Tensor, "d d n"]:
    """J F⁻¹ at every point, in one or two dimensions: a polynomial in F."""
    if len(F) == 1:
        return torch.ones_like(F)
    rows = torch.stack([F[1, 1], -F[0, 1]]), torch.stack([-F[1, 0], F[0, 0]])
    return torch.stack(rows)


@torch.no_grad()
def to_points(
    flow: FlowMap, x: Float[Tensor, "d n"], grid: Grid, *, flux_is_convex: bool = True
) -> Eulerian:
    """The field at the points x of the periodic box, exact up to the round-off of the flow map.

    A grid of labels brackets (1D) or approximates (2D) the label of every point; Newton's method
    then solves X(ξ) = x. Where a map in 1D has folded, the label kept is the one on the sheet of
    least Φ = ∫ w ∂X/∂ξ dξ, which is the equal-area rule and, for Burgers' equation, the minimum of
    Hopf and Lax. It is the entropy solution of u_t + f(u)_x = 0 if f is convex, and it needs u to
    be constant along the labels.

    Args:
        flow: the state of labels at the time of interest.
        grid: uniform labels, which must resolve the folds; its box is the period.
        flux_is_convex: f'(u) increases; if it decreases, the sheet of greatest Φ is kept.

    Raises:
        ValueError: a point or the flow map is not finite, the map has folded in 2D, or Newton's
            method fails.
    """
    if not x.isfinite().all():
        raise ValueError(f"The points x must be finite; got {x[:, ~x.isfinite().all(0)][:, 0]}.")
    nodes = grid.nodes().flatten(1).to(x)
    moved = flow(nodes)
    for name, part in zip(("X", "∂X/∂ξ", "w"), moved, strict=True):
        bad = ~part.isfinite().flatten(0, -2).all(0)
        if bad.any():
            raise ValueError(
                f"The flow map is not finite: {name} at the label {nodes[:, bad][:, 0].tolist()}. "
                f"Train longer or with shorter time windows."
            )
    smallest = determinant(moved.gradient).min().item()
    if grid.ndim == 1:
        labels = _labels_1d(flow, x, grid, nodes, moved, 1.0 if flux_is_convex else -1.0)
    elif smallest <= 0:
        raise ValueError(
            f"The flow map has folded (min J = {smallest:.3g}), so the field has no value at some "
            f"points. Use shorter time windows; a selection after folds exists in 1D only."
        )
    else:
        labels = _labels_2d(flow, x, grid, nodes, moved)
    return Eulerian(flow(labels).value, labels, smallest)


def _labels_1d(
    flow: FlowMap, x: Tensor, grid: Grid, nodes: Tensor, moved: Moved, sign: float
) -> Tensor:
    """All labels with X(ξ) = x on sheets with J > 0, polished; of these the one of least Φ."""
    (L,) = grid.extent
    xi, X = _closed(nodes[0], L), _closed(moved.position[0], L)
    slope = moved.value[0] * moved.gradient[0, 0]  # dΦ/dξ
    mean = slope.mean()
    # The sheet of x + kL, at most one k per interval: X_i <= x + kL < X_(i+1). Every x has one, as
    # X increases by L over a period; brackets overlap by round-off, so that none is lost at a node.
    tolerance = 4 * torch.finfo(x.dtype).eps * (torch.cat([x[0], X]).abs().max() + L)
    k = ((X[:-1] - tolerance - x[0][:, None]) / L).ceil()
    target = x[0][:, None] + k * L
    point, interval = ((target < X[1:] + tolerance) & (X[1:] > X[:-1])).nonzero(as_tuple=True)
    k, target = k[point, interval], target[point, interval]
    low, high = xi[interval], xi[interval + 1]
    fraction = (target - X[interval]) / (X[interval + 1] - X[interval])
    first = low + fraction.clamp(0, 1) * (high - low)
    label = _polish(flow, first, low, high, target, tolerance)
    phi = _antiderivative(slope, label, nodes[0, 0].item(), L) - k * L * mean
    best = torch.full_like(x[0], torch.inf).scatter_reduce(0, point, sign * phi, "amin")
    chosen = sign * phi == best[point]
    out = torch.empty_like(x[0])
    out[point[chosen]] = (label - k * L)[chosen]
    return out[None]


def _closed(values: Tensor, L: float) -> Tensor:
    """Values on one period and the first of the next."""
    return torch.cat([values, values[:1] + L])


def _polish(
    flow: FlowMap, label: Tensor, low: Tensor, high: Tensor, target: Tensor, tolerance: Tensor
) -> Tensor:
    """The root of X(ξ) = target in [low, high] by Newton's method, with bisection where it leaves
    the bracket or J <= 0."""
    for _ in range(_ITERATIONS):
        at = flow(label[None])
        error, J = at.position[0] - target, at.gradient[0, 0]
        if (error.abs() <= tolerance).all():
            break
        low, high = torch.where(error < 0, label, low), torch.where(error < 0, high, label)
        step = label - error / J
        inside = (step > low) & (step < high) & (J > 0)
        label = torch.where(error == 0, label, torch.where(inside, step, (low + high) / 2))
    return label


def _antiderivative(slope: Tensor, at: Tensor, first: float, L: float) -> Tensor:
    """∫ slope from the first node on: the mean times ξ plus a Fourier series, at any labels."""
    m = len(slope)
    s_hat = torch.fft.rfft(slope, norm="forward")
    k = torch.arange(1, (m + 1) // 2, dtype=slope.dtype)
    frequency = 2 * torch.pi / L * k
    coefficient = s_hat[1 : (m + 1) // 2] / (1j * frequency)
    phase = torch.exp(1j * frequency * (at[:, None] - first))
    return s_hat[0].real * (at - first) + 2 * (phase @ coefficient).real


def _labels_2d(flow: FlowMap, x: Tensor, grid: Grid, nodes: Tensor, moved: Moved) -> Tensor:
    """Newton's method from the node whose position is nearest, periodically."""
    L = torch.tensor(grid.extent, dtype=x.dtype)[:, None]
    nearest = torch.empty(x.shape[1], dtype=torch.long)
    for part in torch.arange(x.shape[1]).split(4096):
        gap = x[:, part, None] - moved.position[:, None]
        gap = gap - (gap / L[..., None]).round() * L[..., None]
        nearest[part] = gap.square().sum(0).argmin(1)
    label = nodes[:, nearest]
    target = x - ((x - moved.position[:, nearest]) / L).round() * L
    tolerance = 1e3 * torch.finfo(x.dtype).eps * (target.abs().max() + L.max())
    for _ in range(_ITERATIONS):
        at = flow(label)
        error = at.position - target
        if error.abs().max() <= tolerance:
            return label + (x - target)
        inverse = adjugate(at.gradient) / determinant(at.gradient)
        label = label - torch.einsum("dan,an->dn", inverse, error)
    raise ValueError(
        f"Newton's method for the labels has not converged: |X - x| = {error.abs().max():.3g}. Use "
        f"more labels than {grid.shape}, or shorter time windows."
    )


def interpolate_periodic(
    X: Float[Tensor, " m"],
    w: Float[Tensor, "c m"],
    x: Float[Tensor, " n"],
    period: float,
) -> Float[Tensor, "c n"]:
    """w at the points x from its values at positions X on the circle, by monotone cubics (PCHIP).

    For data without a flow map. The positions may be in any order and any period; the interpolant
    has no new extrema, and it does not depend on the order.

    Raises:
        ValueError: two positions coincide, modulo the period.
    """
    from scipy.interpolate import PchipInterpolator

    position, order = X.remainder(period).sort()
    gaps = torch.cat([position, position[:1] + period]).diff()
    if not (gaps > 0).all():
        raise ValueError(
            f"Two of {len(X)} positions coincide modulo {period:.6g}; drop one, for instance the "
            f"repeated end of the period, or use `to_points` where the map has folded."
        )
    copies = torch.cat([position - period, position, position + period])
    interpolant = PchipInterpolator(copies.numpy(), w[:, order].repeat(1, 3).numpy(), axis=1)
    return torch.from_numpy(interpolant(x.remainder(period).numpy())).to(w)
