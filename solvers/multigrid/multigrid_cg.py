"""Conjugate gradients with multigrid for a `Diffusion`, whose work stays on one device."""

import torch
from jaxtyping import Float
from torch import Tensor

from ...kernels import tiled_multigrid
from ...kernels.blackbox import NotPositiveDefiniteError
from ...kernels.blackbox.sparsify import Shares
from ...kernels.tiled_multigrid.hierarchy import TiledHierarchy
from ..krylov.device_cg import DeviceCG
from ..krylov.loop import check
from ..operators.diffusion import Diffusion
from ..result import SolveResult
from .cycle import CycleSpec
from .hierarchy import system_on
from .smoothers import Chebyshev, GaussSeidel, Jacobi, LineGaussSeidel, Smoother, suited


class MultigridCG:
    """b -> x with |b - A x| <= rtol |b|: CG in b's precision with one black-box multigrid cycle in
    single precision as preconditioner, for one right-hand side or a batch.

    The method is that of `cg(A, b, M=Multigrid(A.to(torch.float32), smoother=...))`. It is meant
    for GPUs: the cycle's parts are Triton kernels (`kernels/tiled_multigrid`; plain torch where
    Triton is missing), α and β stay on the device, and `check_every` iterations are one CUDA graph.
    The set-up, operator-dependent interpolation and Galerkin operators, runs on the device too.
    Levels are computed once; solve for many right-hand sides with one object. It works on CPUs,
    where `cg` is faster.

    Work arrays belong to the object: do not share it between threads.

    Args:
        A: positive definite on its fluid nodes, without periodic axes.
        device: where to solve; by default that of A's coefficient.
        precision: of the cycle. CG takes as many iterations with float32 as with float64 provided
            A stays definite in it.
        cycle: "V" or "W".
        sweeps: number of sweeps before and after the correction.
        smoother: `Chebyshev(degree)`, `Jacobi(damping)` or `LineGaussSeidel(axes)`; by default
            lines where `Multigrid` takes them, else `Chebyshev(2)`.
        shares: how couplings along diagonals are distributed on the first coarse level, as for
            `Multigrid`; a network has been trained for them (`load_correction("vcycle_darcy")`).
        check_every: iterations between two reads of the residuals; x may be ready up to
            `check_every` - 1 iterations before the device is read.

    Raises:
        ValueError: A is singular or periodic, the smoother depends on the order of the nodes, or
            the levels are not positive definite in this precision.
    """

    def __init__(
        self,
        A: Diffusion,
        *,
        device: torch.device | str | None = None,
        precision: torch.dtype = torch.float32,
        cycle: str = "V",
        sweeps: int = 1,
        smoother: Smoother | None = None,
        shares: Shares | None = None,
        check_every: int = 4,
    ) -> None:
        if not isinstance(A, Diffusion) or any(A.periodic) or A.regions.num_floating:
            raise ValueError(
                f"MultigridCG needs a Diffusion that is positive definite on its fluid nodes and "
                f"has no periodic axis; got {A}. Use cg(A, b, M=Multigrid(A))."
            )
        if sweeps < 1 or check_every < 1:
            raise ValueError(
                f"sweeps and check_every are at least 1; got {sweeps} and {check_every}."
            )
        smoother = smoother or suited_to_tiles(A)
        self._spec = CycleSpec(cycle, sweeps, sweeps, True, smoother)
        if not isinstance(smoother, Chebyshev | Jacobi | LineGaussSeidel):
            raise ValueError(
                f"MultigridCG smooths by Chebyshev(degree), Jacobi(damping) or "
                f"LineGaussSeidel(axes); got {smoother}, which depends on the order of the nodes."
            )
        if not self._spec.symmetric:
            raise ValueError(f"CG needs a symmetric cycle, 'V' or 'W'; got {cycle!r}.")
        self.A, self.device = A, torch.device(A.device if device is None else device)
        self.check_every = check_every
        system = system_on(A, self.device, precision)
        try:
            self.hierarchy = TiledHierarchy(system, self._spec.lines(A), shares)
        except NotPositiveDefiniteError:
            raise ValueError(
                f"Multigrid for {A} lost positive definiteness in {precision}: the coefficient's "
                f"jumps are beyond it. Use precision=torch.float64, or method='direct'."
            ) from None
        self._solver: DeviceCG | None = None
        self._solves: tuple[torch.Size, torch.dtype] | None = None

    def cycle(self, r: Float[Tensor, "m *stored"]) -> Float[Tensor, "m *stored"]:
        """M r, on fields as they are stored (`TiledHierarchy.stored`)."""
        return self.hierarchy.cycle(r.to(self.hierarchy.levels[0].c), self._spec.steps)

    def solve(
        self,
        b: Float[Tensor, "*batch_space"],
        *,
        x0: Float[Tensor, "*batch_space"] | None = None,
        rtol: float = 1e-8,
        max_iterations: int = 200,
    ) -> SolveResult:
        """x in the dtype and on the device of b; it carries no gradient.

        Args:
            x0: initial guess, for example the prediction of a network; zero by default.

        Raises:
            ValueError: b or x0 has another shape than A's fields.
        """
        check(self.A, b, None, x0, rtol, max_iterations)
        shape = (-1, *self.A.grid.shape)
        b_stored = self._stored(self.A.project(b.detach()).reshape(shape))
        guess = None if x0 is None else self._stored(x0.detach().reshape(shape))
        solver = self._solver_for(b_stored)
        columns = solver.solve(b_stored, guess, rtol, max_iterations)
        x = self.hierarchy.fields(solver.x).to(b.device).reshape(b.shape).clone()
        x = self.A.project(x)  # cycles leave values at solid nodes
        fields = x.view(shape)
        for u, column in zip(fields, columns, strict=True):
            column.x = u
        if b.ndim == self.A.ndim:
            columns[0].x = x
            return columns[0]
        return SolveResult.of_columns(x, columns)

    def _stored(self, u: Tensor) -> Tensor:
        return self.hierarchy.stored(u.to(self.device))

    def _solver_for(self, b: Float[Tensor, "m *stored"]) -> DeviceCG:
        """The solver for fields of this shape and dtype; that of the last ones is kept."""
        if self._solver is None or self._solves != (b.shape, b.dtype):
            self._solver = None  # frees its memory
            system = system_on(self.A, self.device, b.dtype)
            order = self.hierarchy.order
            level = tiled_multigrid.from_faces(
                [system.faces[a].permute(order) for a in order],
                None if system.excess is None else system.excess.permute(order),
                (False,) * self.A.ndim,
            )

            def product(u: Tensor) -> Tensor:
                return tiled_multigrid.product(level, u)

            self._solver = DeviceCG(product, self.cycle, b, self.check_every)
            self._solves = b.shape, b.dtype
        return self._solver

    def __repr__(self) -> str:
        shapes = " > ".join(" x ".join(map(str, n)) for n in self.hierarchy.shapes)
        return f"MultigridCG({shapes} on {self.device}, {self._spec.smoother})"


def suited_to_tiles(A: Diffusion) -> Smoother:
    """The smoother of `smoothers.suited`, with Chebyshev for Gauss-Seidel by points."""
    smoother = suited(A)
    return Chebyshev() if isinstance(smoother, GaussSeidel) else smoother
