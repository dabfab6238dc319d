"""Which methods there are for a system, best first, and why."""

from dataclasses import dataclass
from typing import Any

from . import shape
from .methods import METHODS, Method, method_named, names
from .system import System


@dataclass(frozen=True)
class Choice:
    """A method for a system.

    Attributes:
        name: of the method, as `solve(method=...)` and `--preconditioner` take it.
        reason: why it stands where it stands, or why it does not apply.
        usable: whether it applies.
    """

    name: str
    reason: str
    usable: bool = True

    @property
    def method(self) -> Method:
        """The method itself."""
        return method_named(self.name)


def choices(A: Any, num_rhs: int = 1, **known: Any) -> list[Choice]:
    """The methods for the matrix A of a linear system, best first; the first is the default.

    Args:
        A: a sparse or dense matrix, or a `System`.
        num_rhs: number of right-hand sides; a factorisation pays with many.
        known: `near_nullspace` or `coordinates`, as for `solve`.

    Raises:
        ValueError: A is no matrix for conjugate gradients (`System.of`).
    """
    system = A if isinstance(A, System) else System.of(A, **known)
    ranked = _on_grid(system) if system.on_grid is not None else []
    seen = {choice.name for choice in ranked}
    ranked += [c for c in _any_matrix(system, num_rhs) if c.name not in seen]
    usable = [c for c in ranked if c.usable]
    return usable + [c for c in ranked if not c.usable]


def _on_grid(system: System) -> list[Choice]:
    found = system.found
    shape_ = " x ".join(map(str, system.A.grid.shape))
    ranked = []
    if why := METHODS["transform"].obstacle(system):
        ranked.append(Choice("transform", why, usable=False))
    else:
        ranked.append(
            Choice(
                "transform",
                f"constant couplings on a box of {shape_} unknowns without holes: exact, and "
                f"several times as fast as multigrid",
            )
        )
    if system.A.grid.ndim == 1:
        ranked.append(Choice("direct", "a band matrix: its factor has no fill"))
    if found.ghosts is not None and found.ghosts.any():
        ranked.append(
            Choice(
                "elimination",
                f"{int(found.ghosts.sum())} ghost rows are eliminated exactly; the rest is solved "
                f"by transforms if it is constant on a box, else by multigrid",
            )
        )
    ranked.append(
        Choice("multigrid", f"a stencil on {shape_} nodes: O(n) operations, iterations bounded")
    )
    return ranked


def _any_matrix(system: System, num_rhs: int) -> list[Choice]:
    n, nnz, d = system.size, system.csr.nnz, system.dimension
    direct = shape.sparse_direct(n, nnz, d)
    amg = shape.algebraic_multigrid(nnz)
    seconds = {"direct": direct.total(num_rhs), "amg": amg.total(num_rhs)}
    sides = f"{num_rhs} right-hand side{'s' if num_rhs > 1 else ''}"
    mesh = f"{n} rows, {nnz} entries, a graph of dimension {d:.1f}, {sides}"
    modes = "" if system.near_nullspace is None else f", {system.near_nullspace.shape[1]} modes"
    texts = {
        "direct": f"a sparse factorisation takes about {seconds['direct']:.2g} s ({mesh})",
        "amg": f"algebraic multigrid takes about {seconds['amg']:.2g} s ({mesh}{modes})",
    }
    order = sorted(seconds, key=lambda name: seconds[name])
    ranked = [Choice(name, texts[name]) for name in order]
    ranked += [
        Choice(name, "the kind that --preconditioner amg chooses between")
        for name in ("ruge_stueben", "smoothed_aggregation")
    ]
    # For comparisons: slower on any but small systems.
    ranked += [Choice(n, method_named(n).about) for n in names() if n not in METHODS]
    for name in ("transform", "multigrid", "elimination"):
        ranked.append(Choice(name, METHODS[name].obstacle(system), usable=False))
    return [c for c in ranked if c.usable or c.reason]
