"""Choice of the compiled form (numba) of black-box multigrid for an operator and a cycle."""

from ..runtime.first_calls import once
from .hierarchy import Cycle, Hierarchy, System
from .layout import STRONG
from .sparsify import Shares


def set_up(
    system: System,
    cycle: Cycle,
    lines: tuple[int, ...],
    shares: Shares | None,
    num_sparsified: int,
) -> Hierarchy:
    """`PlaneHierarchy` if it fits, else `BoxHierarchy`."""
    if fits_plane(system, cycle, lines):
        with once():
            from .plane_hierarchy import PlaneHierarchy

        return PlaneHierarchy(system, shares, num_sparsified)
    with once():
        from .box_hierarchy import BoxHierarchy

    return BoxHierarchy(system, lines, shares, num_sparsified)


def fits_plane(system: System, cycle: Cycle, lines: tuple[int, ...]) -> bool:
    """Whether `PlaneHierarchy` fits: a plane without periodic axes and excess, coarsened along both
    axes, and V(1,1) by points."""
    return (
        len(system.faces) == 2
        and cycle == Cycle()
        and not lines
        and not any(system.periodic)
        and system.excess is None
        and min(system.strength) >= STRONG * max(system.strength)
    )
