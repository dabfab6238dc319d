"""Methods of `pdeops solve` by name: what each is for, and how it is built for a system."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ...linop import LinearOperator
from ...nearest import did_you_mean
from .system import System

M = LinearOperator | None


@dataclass(frozen=True)
class Method:
    """A way to solve A x = b: conjugate gradients with a preconditioner M, or M alone.

    Attributes:
        name: as `--method` takes it.
        about: what it is, for `--list`.
        build: M for a system; raises a ValueError that says why there is none.
        obstacle: why the method does not apply to a system, as far as that is known before; "" if
            it may.
        exact: M is A⁻¹ up to round-off: x = M b, and M is applied again to the residual.
        run: solves A x = b, given (A, M, b, x0, rtol, max_iterations), where that is neither
            conjugate gradients nor exact; `run_name` is its name.
    """

    name: str
    about: str
    build: Callable[[System], Any]
    obstacle: Callable[[System], str] = lambda system: ""
    exact: bool = False
    run: Callable[..., Any] | None = None
    run_name: str = ""

    @property
    def title(self) -> str:
        """The method of the solve and the name of M."""
        if self.exact:
            return f"{self.name}, exact"
        return f"{self.run_name or 'conjugate gradients'}, {self.name}"


def _transform(system: System) -> M:
    if isinstance(system.by_transforms, str):
        raise ValueError(f"transform: {system.by_transforms}.")
    return system.by_transforms


def _no_transform(system: System) -> str:
    if system.on_grid is None:
        return _no_stencil(system)
    return system.by_transforms if isinstance(system.by_transforms, str) else ""


def _for_stencil(name: str) -> Callable[[System], M]:
    def build(system: System) -> M:
        from ..preconditioners import FOR_STENCILS

        return FOR_STENCILS[name](system.found)

    return build


def _factor(system: System) -> M:
    from ..direct.sparse import SparseDirect

    return SparseDirect(system.A)


def _no_stencil(system: System) -> str:
    if system.on_grid is not None:
        return ""
    return f"it is for a stencil on a grid, and this matrix is not one: {system.found.reason}"


def _no_ghosts(system: System) -> str:
    if system.found.ghosts is None:
        return _no_stencil(system) or "it is for couplings along the axes only"
    return ""


def _algebraic(kind: str | None) -> Callable[[System], M]:
    def build(system: System) -> M:
        from ..multigrid.algebraic import AlgebraicMultigrid

        modes = system.near_nullspace
        block = system.blocks
        if modes is not None and block == 1:
            block = next((d for m, d in ((3, 2), (6, 3)) if modes.shape[1] == m), 1)
            block = block if system.size % block == 0 else 1
        options: Any = {"kind": kind, "near_nullspace": modes, "block": block}
        A = system.matrix if system.found.operator is None else system.A
        return AlgebraicMultigrid(A, flat=system.dimension < FLAT, **options)

    return build


FLAT = 2.5  # dimension of a mesh that counts as one in the plane

_ALL = (
    Method(
        "transform",
        "sine, cosine and Fourier transforms; exact, O(n log n)",
        _transform,
        _no_transform,
        exact=True,
    ),
    Method(
        "multigrid",
        "black-box multigrid on the grid of the stencil, single precision where that suffices",
        _for_stencil("multigrid"),
        _no_stencil,
    ),
    Method(
        "elimination",
        "ghost rows are eliminated; transforms or multigrid for the others",
        _for_stencil("elimination"),
        _no_ghosts,
    ),
    Method(
        "direct",
        "sparse factorisation (SuperLU, minimum degree); exact",
        _factor,
        exact=True,
    ),
    Method(
        "amg",
        "algebraic multigrid; Ruge-Stüben, or smoothed aggregation for several unknowns per node",
        _algebraic(None),
    ),
    Method("ruge_stueben", "algebraic multigrid by Ruge and Stüben", _algebraic("ruge_stueben")),
    Method(
        "smoothed_aggregation",
        "algebraic multigrid by smoothed aggregation; takes --near-nullspace",
        _algebraic("smoothed_aggregation"),
    ),
)
METHODS = {method.name: method for method in _ALL}
_ABOUT = {
    "ic0": "incomplete Cholesky without fill",
    "ssor": "symmetric successive over-relaxation",
    "jacobi": "the inverse of the diagonal",
    "chebyshev": "a Chebyshev polynomial of degree 8 in the scaled matrix; products only",
    "fsai": "a factored sparse approximate inverse in a polynomial of degree 2; products only",
    "none": "no preconditioner",
}


def names() -> list[str]:
    """The names of all methods: those above, and the others of `preconditioners.CLASSICAL`."""
    from ..preconditioners import CLASSICAL

    return [*METHODS, *(name for name in CLASSICAL if name not in METHODS)]


def method_named(name: str) -> Method:
    """The method with this name.

    Raises:
        ValueError: there is none.
    """
    if name in METHODS:
        return METHODS[name]
    from ..preconditioners import CLASSICAL

    if name not in CLASSICAL:
        raise ValueError(
            f"No method {name!r}; there are {', '.join(names())}.{did_you_mean(name, names())} "
            f"A trained network: method=pdeops.load_preconditioner({name!r}, A)."
        )
    return Method(name, _ABOUT.get(name, "a preconditioner"), lambda s: CLASSICAL[name](s.A))
