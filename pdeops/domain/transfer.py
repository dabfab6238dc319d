"""Moving a solution between the grids of one box, so that all are measured on the same nodes."""

import torch
from jaxtyping import Float
from torch import Tensor

from .grid import Boundary, Grid, Placement


class Transfer:
    """Maps a field on `source` to the nodes of `target`, axis by axis.

    Along an axis where every node of the target is a node of the source the values are taken over
    as they are (injection); else a cubic spline runs through all source nodes (not-a-knot ends;
    periodic on a periodic axis; through the known zeros where Dirichlet ends are not stored), of
    fourth order for a smooth field. The map is linear and depends on the two grids alone: its
    matrices are made once, and applying them is what a solve on another grid pays.

    Raises:
        ValueError: the grids are not of the same box.
    """

    def __init__(self, source: Grid, target: Grid) -> None:
        if (source.extent, source.boundary) != (target.extent, target.boundary):
            raise ValueError(
                f"A field moves between grids of one box; got {source.extent} {source.boundary} "
                f"and {target.extent} {target.boundary}. Make one grid from the other by "
                "with_shape."
            )
        self.source, self.target = source, target
        self._axes = [_along_axis(source, target, i) for i in range(source.ndim)]

    def __call__(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*moved"]:
        """u, of shape (..., *source.shape), at the target's nodes and in u's dtype."""
        self.source.check(u, "field to move")
        d = self.source.ndim
        for i, along in enumerate(self._axes):
            if isinstance(along, slice):
                u = u.movedim(i - d, -1)[..., along].movedim(-1, i - d)
            elif i == d - 1:
                u = u @ along.T.to(u)
            else:
                u = (along.to(u) @ u.flatten(i - d + 1)).unflatten(-1, u.shape[i - d + 1 :])
        return u


def _along_axis(source: Grid, target: Grid, i: int) -> slice | Tensor:
    """Either the slice that picks the target's nodes, or the (n_target, n_source) spline matrix."""
    h = source.spacing[i]
    position = (target.axis(i) - source.axis(i)[0]) / h
    nearest = position.round()
    inside = bool((nearest[0] >= 0) and (nearest[-1] < source.shape[i]))
    if inside and torch.allclose(position, nearest, rtol=0, atol=1e-6):
        step = int(nearest[1] - nearest[0]) if len(nearest) > 1 else 1
        return slice(int(nearest[0]), int(nearest[-1]) + 1, step)
    return _spline_matrix(source, target, i)


def _spline_matrix(source: Grid, target: Grid, i: int) -> Float[Tensor, "n_target n_source"]:
    """The spline of each unit vector of the source axis, evaluated at the target's nodes."""
    import numpy as np
    from scipy.interpolate import make_interp_spline

    x, unit = source.axis(i).numpy(), np.eye(source.shape[i])
    L, boundary, placement = source.extent[i], source.boundary[i], source.placement[i]
    y = target.axis(i).numpy()
    if boundary is Boundary.PERIODIC:
        x, unit = np.append(x, x[0] + L), np.vstack([unit, unit[:1]])
        spline = make_interp_spline(x, unit, k=3, bc_type="periodic")
        return torch.from_numpy(spline(x[0] + (y - x[0]) % L))
    if boundary is Boundary.DIRICHLET and placement is Placement.INTERIOR:
        zero = np.zeros((1, source.shape[i]))
        x, unit = np.concatenate([[0.0], x, [L]]), np.vstack([zero, unit, zero])
    return torch.from_numpy(make_interp_spline(x, unit, k=min(3, len(x) - 1))(y))
