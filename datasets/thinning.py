"""Every K-th node of a grid: fields computed finely, on a coarser grid of the same box."""

from ..domain import Grid, Latitudes, Sphere


def thinned(grid: Grid | Sphere, stride: int) -> tuple[Grid | Sphere, tuple[int, ...]]:
    """The grid of every stride-th node of each axis, and the number of the first one of each.

    Box, boundary and placement stay: 421 nodes with both ends are 85 at a stride of 5, as FNO's
    papers have it, 8192 periodic ones 1024 at 8. Node i lies at (i + o) h with the same o on both
    grids (`Grid.offset`), so node j of the coarse one is node stride j + (stride - 1) o.

    Raises:
        ValueError: every stride-th node is no grid of the same box.
    """
    if stride < 1:
        raise ValueError(f"A stride of K keeps every K-th node, K = 1, 2, ...; got {stride}.")
    gauss = isinstance(grid, Sphere) and grid.latitudes is Latitudes.GAUSS
    if stride > 1 and (gauss or not _fits(grid, stride)):
        others = [] if gauss else [k for k in range(2, max(grid.cells) + 1) if _fits(grid, k)]
        fitting = f"choose one of {', '.join(map(str, others[:8]))}" if others else "none does"
        kinds = [grid.latitudes] if isinstance(grid, Sphere) else grid.placement
        places = ", ".join(dict.fromkeys(kind.value for kind in kinds))
        raise ValueError(
            f"A stride of {stride} does not take {' x '.join(map(str, grid.shape))} nodes "
            f"({places}) to a grid of the same box: {fitting}, say where the nodes lie "
            f"(--boundary and --placement, or grid={{...}} in Python), or interpolate."
        )
    more = [n - m for n, m in zip(grid.shape, grid.cells, strict=True)]
    coarse = grid.with_shape([m // stride + e for m, e in zip(grid.cells, more, strict=True)])
    return coarse, tuple(round((stride - 1) * o) for o in grid.offset)


def _fits(grid: Grid | Sphere, stride: int) -> bool:
    """Whether cells come out whole, nodes are nodes, and one at least is left."""
    return all(
        m % stride == 0 and ((stride - 1) * o) % 1 == 0 and m // stride + n - m > 0
        for n, m, o in zip(grid.shape, grid.cells, grid.offset, strict=True)
    )
