"""Subsampling of a grid: every K-th node, as a coarser grid of the same domain."""

import numpy as np

from ..domain import Domain, Grid, Sphere

Regular = Grid | Sphere  # tensor-product grids


def thinned(domain: Domain, stride: int) -> tuple[Domain, tuple[int, ...]]:
    """The grid of every stride-th node of each axis, and the index of the first node kept per axis.

    Box, boundary and placement are unchanged: 421 nodes with both ends become 85 at stride 5, as in
    FNO's papers, and 8192 periodic nodes become 1024 at stride 8. Node i lies at (i + o) h with the
    same o on both grids (`Grid.offset`), so coarse node j is fine node stride j + (stride - 1) o.

    Raises:
        ValueError: every stride-th node does not form a grid of the same domain.
    """
    if stride < 1:
        raise ValueError(f"A stride of K keeps every K-th node, K = 1, 2, ...; got {stride}.")
    if stride == 1:
        return domain, (0,) * domain.ndim
    if not isinstance(domain, Regular):
        raise ValueError(
            f"A stride keeps every K-th node along each axis of a grid; got {domain}, whose nodes "
            f"do not stand in rows. Leave the stride out."
        )
    if not _fits(domain, stride):
        others = [k for k in range(2, max(domain.cells) + 1) if _fits(domain, k)]
        fitting = f"choose one of {', '.join(map(str, others[:8]))}" if others else "none does"
        raise ValueError(
            f"A stride of {stride} does not take {' x '.join(map(str, domain.shape))} nodes "
            f"({_places(domain)}) to a grid of the same box: {fitting}, say where the nodes lie "
            f"(--boundary and --placement, or grid={{...}} in Python), or interpolate."
        )
    return domain.with_shape(_coarse_shape(domain, stride)), _first(domain, stride)


def _fits(grid: Regular, stride: int) -> bool:
    """Whether the stride divides the cells, coarse nodes are fine nodes, and a node remains."""
    whole = all(
        m % stride == 0 and ((stride - 1) * o) % 1 == 0 and m // stride + n - m > 0
        for n, m, o in zip(grid.shape, grid.cells, grid.offset, strict=True)
    )
    return whole and _nodes_are_kept(grid, stride)


def _nodes_are_kept(grid: Regular, stride: int) -> bool:
    """Whether the kept nodes are those of the coarse grid; false on Gauss latitudes."""
    coarse = grid.with_shape(_coarse_shape(grid, stride))
    return all(
        np.allclose(coarse.axis(a), grid.axis(a)[first::stride], rtol=1e-9, atol=1e-9 * cells)
        for a, (first, cells) in enumerate(zip(_first(grid, stride), grid.cells, strict=True))
    )


def _coarse_shape(grid: Regular, stride: int) -> list[int]:
    return [m // stride + n - m for n, m in zip(grid.shape, grid.cells, strict=True)]


def _first(grid: Regular, stride: int) -> tuple[int, ...]:
    return tuple(round((stride - 1) * o) for o in grid.offset)


def _places(grid: Regular) -> str:
    """Placement of the nodes as text: "endpoints", or "gauss" for latitudes."""
    plain = grid.to_dict()
    places = plain["latitudes"] if "latitudes" in plain else plain["placement"]
    return places if isinstance(places, str) else ", ".join(dict.fromkeys(places))
