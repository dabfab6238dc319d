"""Black-box multigrid (Dendy 1982): M ≈ A⁻¹ for A u = -div(a grad u) + e u on a box.

`set_up` computes the levels of an operator, `Hierarchy.run` and `Hierarchy.bind` apply a cycle on
them. The plain twin, which explains the method, is `reference.py`; `cpu.py` has compiled loops,
`device.py` chooses `kernels/tiled_multigrid` on GPUs.
"""

from collections.abc import Sequence

import torch

from ..forms import COMPILED_DTYPES, Forms
from .hierarchy import Cycle, Hierarchy, NotPositiveDefiniteError, System
from .sparsify import Shares

__all__ = [
    "Cycle",
    "Hierarchy",
    "NotPositiveDefiniteError",
    "System",
    "line_smoothing_pays",
    "prefers_polynomials",
    "set_up",
]

FORMS = Forms(__name__, cpu="cpu", cuda="device")


def set_up(
    system: System,
    cycle: Cycle = Cycle(),  # noqa: B008 - frozen
    *,
    lines: Sequence[int] = (),
    shares: Shares | None = None,
    num_sparsified: int = 1,
) -> Hierarchy:
    """The levels of A for a kind of cycle.

    Args:
        cycle: a faster hierarchy is chosen if it can run this cycle; it may be unable to run
            others (`Hierarchy.runs`).
        lines: axes along which lines are solved in Gauss-Seidel sweeps; none: points.
        shares: how the couplings along diagonals are distributed (`sparsify.py`) on the first
            `num_sparsified` coarse levels; None: these levels are not sparsified.

    Raises:
        NotPositiveDefiniteError: a level is not positive (semi)definite in the system's dtype.
        ValueError: the coarsest level is too large to be solved.
    """
    fits = system.faces[0].dtype in COMPILED_DTYPES and len(system.faces) <= 3
    form = FORMS.of(system.faces[0], fits=fits)
    return form.set_up(system, cycle, tuple(lines), shares, num_sparsified)


def prefers_polynomials(device: torch.device) -> bool:
    """Whether Chebyshev smoothing has kernels there and Gauss-Seidel by points has none."""
    return FORMS.by_device.get(device.type) == "device"


def line_smoothing_pays(device: torch.device) -> bool:
    """Whether compiled loops solve lines; otherwise each node of a line is a torch operation."""
    return device.type in FORMS.by_device
