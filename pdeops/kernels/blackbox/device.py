"""Choice of the form of black-box multigrid for systems on a GPU."""

from ..forms import warn_once
from .hierarchy import Cycle, Hierarchy, System
from .reference import ReferenceHierarchy
from .sparsify import Shares


def set_up(
    system: System,
    cycle: Cycle,
    lines: tuple[int, ...],
    shares: Shares | None,
    num_sparsified: int,
) -> Hierarchy:
    """`TiledHierarchy`, or the twin where a message in the log says why."""
    why = unfit(system, cycle, lines)
    if why is None:
        from ..tiled_multigrid.hierarchy import TiledHierarchy

        return TiledHierarchy(system, lines, shares, num_sparsified)
    warn_once("multigrid", "reference", why)
    return ReferenceHierarchy(system, lines, shares, num_sparsified)


def unfit(system: System, cycle: Cycle, lines: tuple[int, ...]) -> str | None:
    """Why tiled multigrid cannot take such a problem; None: it can."""
    if any(system.periodic):
        return "periodic axes have no kernels"
    if not cycle.lengths and not lines:
        return "Gauss-Seidel by points has no kernels (Chebyshev and Jacobi have)"
    return None
