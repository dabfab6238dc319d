"""Which methods there are for a system, best first, and why."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

from . import shape
from .methods import METHODS, Method, method_named, names
from .system import System

# Couplings per unknown and axis below which multigrid on the grid is slower than algebraic
# multigrid. A full box has 1, one without 32 % of its cells 0.68. In the plane at 40 % the unknowns
# are connected by so few paths that iterations grow with n: `python -m benchmarks.preconditioners`.
POROUS = {1: 0.0, 2: 0.68, 3: 0.5}


@dataclass(frozen=True)
class Choice:
    """A method for a system.

    Attributes:
        name: of the method, as `solve(method=...)` and `--method` take it.
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
    found = list(ranked(system, num_rhs))
    return [c for c in found if c.usable] + [c for c in found if not c.usable]


def ranked(system: System, num_rhs: int = 1) -> Iterator[Choice]:
    """The methods that apply best first, and between them those that do not.

    Each is found when it is asked for: the first needs no look at the graph of a matrix that is a
    stencil, and loads no other solver.
    """
    seen = set()
    for choice in chain(_on_grid(system, num_rhs), _by_estimate(system, num_rhs), _others(system)):
        if choice.name not in seen:
            seen.add(choice.name)
            yield choice


def _on_grid(system: System, num_rhs: int) -> Iterator[Choice]:
    if system.on_grid is None:
        return
    found = system.found
    shape_ = " x ".join(map(str, system.A.grid.shape))
    if why := METHODS["transform"].obstacle(system):
        yield Choice("transform", why, usable=False)
    else:
        yield Choice(
            "transform",
            f"constant couplings on a box of {shape_} unknowns without holes: exact, and several "
            f"times as fast as multigrid",
        )
    if system.A.grid.ndim == 1:
        yield Choice("direct", "a band matrix: its factor has no fill")
    elimination = None
    if found.ghosts is not None and found.ghosts.any():
        rest = "transforms" if found.constant_on_box else "multigrid in double precision"
        text = f"{int(found.ghosts.sum())} ghost rows are eliminated; {rest} for the other rows"
        elimination = Choice("elimination", text)
        if found.constant_on_box:
            yield elimination
    if (share := shape.couplings_per_node(found.operator)) < POROUS[system.A.grid.ndim]:
        yield from _by_estimate(system, num_rhs)
        bounded = f"a node has {share:.2f} couplings per axis, so coarse grids miss connections"
    else:
        bounded = "O(n) operations, iterations bounded"
    yield Choice("multigrid", f"a stencil on {shape_} nodes: {bounded}")
    if elimination is not None:
        yield elimination


def _by_estimate(system: System, num_rhs: int) -> Iterator[Choice]:
    from ..multigrid.algebraic import kind_for

    n, nnz, d = system.size, system.csr.nnz, system.dimension
    direct = shape.sparse_direct(n, nnz, d)
    modes = 0 if system.near_nullspace is None else system.near_nullspace.shape[1]
    if kind_for(system.blocks, modes) == "smoothed_aggregation":
        amg = shape.smoothed_aggregation(nnz, system.blocks, modes)
    else:
        amg = shape.algebraic_multigrid(nnz)
    seconds = {"direct": direct.total(num_rhs), "amg": amg.total(num_rhs)}
    sides = f"{num_rhs} right-hand side{'s' if num_rhs > 1 else ''}"
    mesh = f"{n} rows, {nnz} entries, a graph of dimension {d:.1f}, {sides}"
    given = f", {modes} near-null vectors" if modes else ""
    texts = {
        "direct": f"a sparse factorisation takes about {seconds['direct']:.2g} s ({mesh})",
        "amg": f"algebraic multigrid takes about {seconds['amg']:.2g} s ({mesh}{given})",
    }
    for name in sorted(seconds, key=lambda name: seconds[name]):
        yield Choice(name, texts[name])


def _others(system: System) -> Iterator[Choice]:
    for name in ("ruge_stueben", "smoothed_aggregation"):
        yield Choice(name, "the kind that --method amg chooses between")
    # For comparisons: slower on any but small systems.
    for name in names():
        if name not in METHODS:
            yield Choice(name, method_named(name).about)
    for name in ("transform", "multigrid", "elimination"):
        if why := METHODS[name].obstacle(system):
            yield Choice(name, why, usable=False)
