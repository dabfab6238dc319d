"""Transfer of fields between two grids of the same region, so that errors are measured on the same
nodes."""
# Axes: *batch leading axes, *space nodes; n_t, n_s nodes of target and source along one axis.

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from .grid import Boundary, Grid, Placement
from .points import Points
from .sphere import Sphere


class Transfer:
    """Linear map of a field on `source` to the nodes of `target`; its matrices are computed once.

    If every node of the target is a node of the source, values are copied (injection). Otherwise
    the source is interpolated by cubic splines, of fourth order for smooth fields: on a box along
    each axis (not-a-knot ends; periodic on a periodic axis; through the known zeros where Dirichlet
    ends are not stored), on a sphere along circles of latitude and then along great circles
    through the poles. Scattered points map to the same points only.

    Raises:
        ValueError: the domains cover different regions, or are different sets of points.
    """

    def __init__(self, source: Any, target: Any) -> None:
        if type(source) is not type(target):
            raise ValueError(
                f"Transfer needs two domains of one kind; got {source} and {target}. Interpolate "
                f"the field to the other nodes yourself."
            )
        self.source, self.target = source, target
        self._move = _MOVES[type(source)](source, target)

    def __call__(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*moved"]:
        """u of shape (..., *source.shape) at the nodes of the target, in the dtype of u."""
        self.source.check(u, "field to move")
        return self._move(u)


def _between_boxes(source: Grid, target: Grid) -> Callable[[Tensor], Tensor]:
    if (source.extent, source.boundary) != (target.extent, target.boundary):
        raise ValueError(
            f"Transfer needs two grids of one box; got {source.extent} {source.boundary} "
            f"and {target.extent} {target.boundary}. Make one grid from the other by with_shape."
        )
    d, axes = source.ndim, [_along_axis(source, target, i) for i in range(source.ndim)]

    def move(u: Tensor) -> Tensor:
        for i, along in enumerate(axes):
            if isinstance(along, slice):
                u = u.movedim(i - d, -1)[..., along].movedim(-1, i - d)
            elif i == d - 1:
                u = u @ along.T.to(u)
            else:
                u = (along.to(u) @ u.flatten(i - d + 1)).unflatten(-1, u.shape[i - d + 1 :])
        return u

    return move


def _between_spheres(source: Sphere, target: Sphere) -> Callable[[Tensor], Tensor]:
    """Splines along circles of latitude, then along great circles: the meridian of longitude λ
    continues beyond the poles on that of λ + π."""
    if source.radius != target.radius:
        raise ValueError(
            f"Transfer needs two grids of one sphere; got radii {source.radius} and "
            f"{target.radius}. Make one grid from the other by with_shape."
        )
    rows, columns = (_common_nodes(source.axis(i), target.axis(i)) for i in (0, 1))
    if rows is not None and columns is not None:
        return lambda u: u[..., rows[:, None].to(u.device), columns.to(u.device)]
    x, y, period = source.axis(1).numpy(), target.axis(1).numpy(), 2 * np.pi
    here, opposite = (_periodic_spline(x, y + turn, period) for turn in (0, np.pi))
    theta = source.axis(0).numpy()
    beyond = slice(1, -1) if source.poles_stored else slice(None)  # each pole lies on it once
    circle = np.concatenate([theta, period - theta[beyond][::-1]])
    spline = _periodic_spline(circle, target.axis(0).numpy(), period)
    n = len(theta)
    near, far = spline[:, :n], torch.zeros(len(spline), n, dtype=torch.float64)
    far[:, beyond] = spline[:, n:].flip(1)

    def move(u: Tensor) -> Tensor:
        return near.to(u) @ (u @ here.T.to(u)) + far.to(u) @ (u @ opposite.T.to(u))

    return move


def _between_points(source: Points, target: Points) -> Callable[[Tensor], Tensor]:
    if source != target:
        raise ValueError(
            f"Scattered points transfer to the same points only; got {source} and {target}. "
            f"Interpolate the field yourself, e.g. with scipy.interpolate."
        )
    return lambda u: u


_MOVES: dict[type, Callable[[Any, Any], Callable[[Tensor], Tensor]]] = {
    Grid: _between_boxes,
    Sphere: _between_spheres,
    Points: _between_points,
}


def _along_axis(source: Grid, target: Grid, i: int) -> slice | Tensor:
    """The slice that selects the target's nodes, or else the (n_t, n_s) spline matrix."""
    h = source.spacing[i]
    position = (target.axis(i) - source.axis(i)[0]) / h
    nearest = position.round()
    inside = bool((nearest[0] >= 0) and (nearest[-1] < source.shape[i]))
    if inside and torch.allclose(position, nearest, rtol=0, atol=1e-6):
        step = int(nearest[1] - nearest[0]) if len(nearest) > 1 else 1
        return slice(int(nearest[0]), int(nearest[-1]) + 1, step)
    return _spline_matrix(source, target, i)


def _spline_matrix(source: Grid, target: Grid, i: int) -> Float[Tensor, "n_t n_s"]:
    """The spline of each unit vector of the source axis, evaluated at the target's nodes."""
    from scipy.interpolate import make_interp_spline

    x, unit = source.axis(i).numpy(), np.eye(source.shape[i])
    L, boundary, placement = source.extent[i], source.boundary[i], source.placement[i]
    y = target.axis(i).numpy()
    if boundary is Boundary.PERIODIC:
        return _periodic_spline(x, y, L)
    if boundary is Boundary.DIRICHLET and placement is Placement.INTERIOR:
        zero = np.zeros((1, source.shape[i]))
        x, unit = np.concatenate([[0.0], x, [L]]), np.vstack([zero, unit, zero])
    return torch.from_numpy(make_interp_spline(x, unit, k=min(3, len(x) - 1))(y))


def _periodic_spline(x: np.ndarray, y: np.ndarray, period: float) -> Float[Tensor, "n_t n_s"]:
    """The periodic spline of each unit vector of the nodes x, evaluated at y."""
    from scipy.interpolate import make_interp_spline

    unit = np.eye(len(x))
    x, unit = np.append(x, x[0] + period), np.vstack([unit, unit[:1]])
    spline = make_interp_spline(x, unit, k=3, bc_type="periodic")
    return torch.from_numpy(spline(x[0] + (y - x[0]) % period))


def _common_nodes(source: Tensor, target: Tensor) -> Tensor | None:
    """Indices of the target's nodes in the source; None unless every node is found."""
    distance, index = (target[:, None] - source).abs().min(1)
    return index if bool((distance < 1e-9).all()) else None
