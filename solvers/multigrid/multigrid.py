"""Black-box multigrid: a cycle as preconditioner of a `Diffusion` or a `Stencil`."""

from collections.abc import Callable
from contextlib import nullcontext
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels.blackbox import NotPositiveDefiniteError
from ...kernels.blackbox.sparsify import Shares, equal_shares
from ...kernels.runtime.threads import ours_alone
from ...linop import LinearOperator, Preconditioner
from ...nearest import did_you_mean
from ..operators.diffusion import Diffusion
from ..operators.regions import Regions
from ..operators.stencil import Stencil
from .cycle import CycleSpec
from .hierarchy import ALL_LEVELS, hierarchy_of
from .smoothers import LineGaussSeidel, Smoother, suited
from .stencil_hierarchy import lines_of, stencil_hierarchy, suited_cycle, suited_smoother

COARSE = ("galerkin", "sparsified")
NETWORK = 2**17  # unknowns from which a network of shares gains by torch's threads


class Multigrid(Preconditioner):
    """M ≈ A⁻¹: one cycle of black-box multigrid (Dendy 1982) from zero.

    Interpolation weights are computed from A, coarse operators are Pᵀ A P, the smoother is
    Gauss-Seidel in colours, in reversed order after the correction
    (`kernels/blackbox/reference.py` explains the method). Any grid size is possible; a periodic
    axis is coarsened as long as its number of nodes is even. For anisotropic A, lines are solved
    exactly if one axis dominates; otherwise axes with weak coupling are coarsened later
    (semicoarsening). If A has a kernel (`Diffusion.regions`), M maps its complement onto itself.

    Iterations of CG to 1e-8, from 65² to 257² and 17³ to 65³, V(1,1):

    ======================================  ===  ===
    a                                       2D   3D
    ======================================  ===  ===
    1                                       8    10
    1, spacings 1 : 1000^½                  5    5
    1 and 100 along axes that turn          12
    3 or 12, blobs                          9    10
    jumps of 1e4 to 1e6, blobs              11   14
    the same, Neumann                       13   17
    the same, periodic                      18   17
    ======================================  ===  ===

    Of a `Stencil` (levels of nine or 27 points from the first on), 63² to 511² and 15³ to 63³:

    ======================================  ===  ===
    bilinear, trilinear elements             2D   3D
    ======================================  ===  ===
    k = 1                                   7    8
    spacings 1 : 10, 1 : 1 : 10             8    10
    jumps of 1e4, blobs                     9    10
    1 : 1e-3, directions at 0° to 180°      20
    the same, 1 : 1e-3 : 1e-3 along (1,1,1)      16
    ======================================  ===  ===

    Iterations grow with the grid where the axis of strong coupling changes from place to place (1 :
    1e-2), and in 3D where only nodes along a diagonal of the grid are strongly coupled.

    Convergence is slower if a jumps from node to node: white noise of contrast 1e4 takes 35
    iterations at 511², 18 with lines, in more time. Use `solve_sparse` for such systems.

    In single precision, `Multigrid(A.to(torch.float32))`, a cycle takes 0.75 of the time at 1023²,
    and CG in double precision takes as many iterations, provided A stays definite in it.

    Work arrays belong to the object: do not share it between threads.

    Args:
        A: with compiled loops for float64 and float32 on the CPU, Triton kernels on GPUs (for
            Chebyshev, Jacobi and lines, without periodic axes), else in plain torch.
        cycle: "V", "W", "F" or "full". F-cycles and full multigrid are not symmetric, so they
            cannot precondition CG. By default V, but W for a `Stencil` whose direction of strong
            coupling is turned against the axes (`stencil_hierarchy.suited_cycle`).
        sweeps: numbers of sweeps before and after the correction; symmetric if equal.
        mirrored: reverse the order of a sweep after the correction, as symmetry requires. Without
            it a cycle contracts better: V(1,1) for Poisson by 0.07 instead of 0.26 in 2D, by 0.19
            instead of 0.42 in 3D.
        smoother: `GaussSeidel()`, `LineGaussSeidel(axes)`, `Jacobi(damping)` or `Chebyshev(degree)`
            of `solvers.multigrid.smoothers`. By default lines if couplings along one axis
            dominate, everywhere or along different axes in different places, else points, which
            on GPUs are smoothed by `Chebyshev(2)`. For a
            `Stencil`: `GaussSeidel()`, `LineGaussSeidel(axes)` or `DirectionalLines(directions)`;
            by default what should take the least time (`stencil_hierarchy.suited_smoother`).
        shares: sparsify the first coarse level: distribute its couplings along diagonals to the
            axes in these shares (`kernels/blackbox/sparsify.py`). Cycles are cheaper; CG takes a
            few more iterations if a jumps.
        coarse: "galerkin" keeps Pᵀ A P, apart from `shares`. "sparsified" sparsifies all coarse
            levels: they have couplings along the axes only. For a constant coefficient on a grid
            that can be halved this equals re-discretisation, -div(a grad u) on the coarser grid.

    Raises:
        ValueError: A is neither a `Diffusion` nor a `Stencil`, its hierarchy is not positive
            definite in its dtype, the cycle or coarse operator is unknown, or the coarsest level is
            too large to be solved.
    """

    def __init__(
        self,
        A: Diffusion | Stencil,
        *,
        cycle: str | None = None,
        sweeps: tuple[int, int] = (1, 1),
        mirrored: bool = True,
        smoother: Smoother | None = None,
        shares: Shares | None = None,
        coarse: str = "galerkin",
    ) -> None:
        _require_stencil(A)
        if coarse not in COARSE:
            raise ValueError(
                f"Unknown coarse operator {coarse!r}; choose 'galerkin' (Pᵀ A P) or 'sparsified' "
                f"(couplings along the axes only; for a constant coefficient the re-discretised "
                f"operator).{did_you_mean(coarse, COARSE)}"
            )
        num_sparsified = 1
        if coarse == "sparsified":
            num_sparsified, shares = ALL_LEVELS, shares or equal_shares
        if shares is not None and (isinstance(A, Stencil) or any(A.periodic)):
            raise ValueError(
                f"Coarse operators of a Diffusion are sparsified on axes that are not periodic; A "
                f"is {A} on {A.grid}. Leave out `shares` and coarse='sparsified'."
            )
        if min(sweeps) < 0 or sum(sweeps) == 0:
            raise ValueError(f"A cycle needs at least one sweep of its smoother; got {sweeps}.")
        self.grid, self.dtype, self._A = A.grid, A.dtype, A
        with ours_alone():
            self._spec = _spec(A, cycle, sweeps, mirrored, smoother)
        self.symmetric = self._spec.symmetric
        self.positive_definite = self.symmetric  # on the range of A
        self._regions: Regions | None = None
        if isinstance(A, Diffusion) and not A.positive_definite:
            self._regions = A.regions
        self._shares, self._coarse = shares, coarse
        try:
            # A network that computes shares uses torch's threads where it has enough to do.
            with nullcontext() if shares and A.grid.num_nodes > NETWORK else ours_alone():
                if isinstance(A, Stencil):
                    self._hierarchy = stencil_hierarchy(A, self._spec)
                else:
                    self._hierarchy = hierarchy_of(A, self._spec, shares, num_sparsified)
        except NotPositiveDefiniteError:
            raise ValueError(
                f"Multigrid for {A} lost positive definiteness in {self.dtype}: the coefficient's "
                f"jumps are beyond its precision. Use float64, or solve with method='direct'."
            ) from None

    @property
    def spec(self) -> CycleSpec:
        """The cycle and its smoother."""
        return self._spec

    @property
    def shares(self) -> Shares | None:
        """How couplings along diagonals are distributed on sparsified levels; None if none is."""
        return self._shares

    @property
    def coarse(self) -> str:
        """The kind of coarse operators: "galerkin" or "sparsified"."""
        return self._coarse

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Number of unknowns per axis on each level, finest first."""
        return self._hierarchy.shapes

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype, computed in that of A; it carries no gradient."""
        with ours_alone():
            out = torch.empty_like(u, dtype=self.dtype, memory_format=torch.contiguous_format)
            return self.apply_into(u, out).to(u.dtype)

    def apply_into(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Float[Tensor, "*batch_space"]:
        """M u written to `out`, which is returned."""
        if out.dtype != self.dtype or not out.is_contiguous():
            return out.copy_(self.apply(u))
        b = u.detach().to(self.dtype)
        if self._regions is not None:
            b = self._regions.project(b)
        shape = (-1, *self.grid.shape)
        self._hierarchy.run(b.contiguous().view(shape), out.view(shape), self._spec.steps)
        return out if self._regions is None else self._regions.project_into(out, out)

    def bind(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Callable[[], object]:
        """`apply_into(u, out)` without arguments.

        For one contiguous field this is the bare cycle, between copies if dtypes differ and
        projections if A is singular.
        """
        if not (u.is_contiguous() and out.is_contiguous() and u.shape == self.grid.shape):
            return super().bind(u, out)
        same = u.dtype == out.dtype == self.dtype
        if same and self._regions is None:
            return self._hierarchy.bind(u.detach(), out, self._spec.steps)
        inside = torch.empty_like(u, dtype=self.dtype)
        result = out if same else torch.empty_like(inside)
        cycle = self._hierarchy.bind(inside, result, self._spec.steps)
        return partial(_applied, self._regions, u.detach(), inside, cycle, result, out)

    def variant(self, **changes: Any) -> "Multigrid":
        """Another cycle on the same levels and work arrays.

        Args:
            changes: of `kind`, `pre`, `post`, `mirrored` or `smoother` (`CycleSpec`).
        """
        spec = replace(self._spec, **changes)
        both = (self._spec.smoother, spec.smoother)
        if isinstance(self._A, Stencil):
            relined = lines_of(both[0], self._A) != lines_of(both[1], self._A)
        else:
            relined = both[0] != both[1] and any(isinstance(s, LineGaussSeidel) for s in both)
        # The levels depend on lines, and some hierarchies run V(1,1) only.
        if relined or not self._hierarchy.runs(spec.steps):
            sweeps = (spec.pre, spec.post)
            return Multigrid(
                self._A,
                cycle=spec.kind,
                sweeps=sweeps,
                mirrored=spec.mirrored,
                smoother=spec.smoother,
                shares=self._shares,
                coarse=self._coarse,
            )
        other = copy(self)
        other._spec, other.symmetric = spec, spec.symmetric
        other.positive_definite = spec.symmetric
        return other

    def __repr__(self) -> str:
        return f"Multigrid({' > '.join(' x '.join(map(str, n)) for n in self.shapes)})"


def _applied(
    regions: Regions | None,
    u: Tensor,
    inside: Tensor,
    cycle: Callable[[], object],
    result: Tensor,
    out: Tensor,
) -> None:
    """out = P M P u, P the projection on the range of A; the cycle maps `inside` to `result`."""
    inside.copy_(u)
    if regions is not None:
        regions.project_into(inside, inside)
    cycle()
    if regions is not None:
        regions.project_into(result, result)
    if result is not out:
        out.copy_(result)


def _spec(
    A: Diffusion | Stencil,
    cycle: str | None,
    sweeps: tuple[int, int],
    mirrored: bool,
    smoother: Smoother | None,
) -> CycleSpec:
    """The cycle with what is not given chosen for A."""
    if isinstance(A, Stencil):
        smoother = smoother or suited_smoother(A)
        return CycleSpec(cycle or suited_cycle(A), *sweeps, mirrored, smoother)
    return CycleSpec(cycle or "V", *sweeps, mirrored, smoother or suited(A))


def _require_stencil(A: LinearOperator) -> None:
    if not isinstance(A, Diffusion | Stencil):
        raise ValueError(
            f"Multigrid needs a Diffusion or a Stencil; got {type(A).__name__}. Where its matrix "
            f"is a stencil, recognise(A.to_csr()).operator is one; else use RugeStueben."
        )
