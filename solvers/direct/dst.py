"""Direct solution of constant-coefficient problems on a box by sine, cosine and Fourier
transforms."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Boundary, Grid, Placement
from ...linop import Preconditioner
from ..operators.diffusion import Diffusion
from ..operators.faces import cell_fractions

# Transform (sine or cosine, type) of an axis that is not periodic, by its boundary and placement.
_TRANSFORMS = {
    (Boundary.DIRICHLET, Placement.INTERIOR): ("dst", 1),
    (Boundary.DIRICHLET, Placement.CENTERS): ("dst", 2),
    (Boundary.NEUMANN, Placement.ENDPOINTS): ("dct", 1),
    (Boundary.NEUMANN, Placement.CENTERS): ("dct", 2),
}


class FastPoisson(Preconditioner):
    """M = (a (-Δ) + c)⁻¹ with numbers a > 0 and c >= 0, on any box: exact up to round-off.

    The waves of each axis are eigenvectors of its second difference, with eigenvalues
    4/h² sin²(πk/(2m)), m the number of cells:

    - Dirichlet: sines, k = 1 .. (DST-I on nodes, DST-II on cell centres).
    - Neumann: cosines, k = 0 .. (DCT-I on nodes, DCT-II on cell centres).
    - Periodic: Fourier, with 2k in the place of k.

    Without a Dirichlet side and with c = 0 the wave k = 0 has eigenvalue zero, and M maps
    right-hand sides that sum to zero to the solution of zero mean (trapezoidal rule).

    `FastPoisson.of(A)` preconditions a `Diffusion` A with variable coefficients: for c = 0 the
    condition number of M A is at most max a / min a on every grid.

    The transforms run in float64 on the CPU; leading axes are a batch.

    Args:
        grid: the same as for `Diffusion`; M acts on fields of `grid.interior`.
        coefficient, reaction: a and c.
        workers: threads of the transforms.

    Raises:
        ValueError: a is not positive, or c is negative.
    """

    def __init__(
        self,
        grid: Grid,
        *,
        coefficient: float | int = 1.0,
        reaction: float | int = 0.0,
        workers: int = 1,
    ) -> None:
        if not (0 < coefficient < math.inf and 0 <= reaction < math.inf):
            raise ValueError(
                f"A definite operator needs coefficient > 0 and reaction >= 0; got {coefficient} "
                f"and {reaction}."
            )
        self.grid = inner = grid.interior
        self.workers = workers
        periodic = [b is Boundary.PERIODIC for b in inner.boundary]
        self._real = [axis for axis in range(-inner.ndim, 0) if not periodic[axis]]
        self._fourier = [axis for axis in range(-inner.ndim, 0) if periodic[axis]]
        values = torch.full((), float(reaction), dtype=torch.float64)
        for axis in range(-inner.ndim, 0):
            half = bool(self._fourier) and axis == self._fourier[-1]
            values = values[..., None] + coefficient * _eigenvalues(inner, axis, half)
        self.smallest_eigenvalue = values.min().item()  # of a (-Δ) + c
        self.floats = reaction == 0 and Boundary.DIRICHLET not in inner.boundary
        if self.floats:
            self.positive_definite, self.semidefinite = False, True
            values.view(-1)[0] = math.inf  # the mean of u becomes zero
        self._values = values.numpy()
        s = cell_fractions(inner)
        self._fractions = None
        if any((profile != 1).any() for profile in s):
            self._fractions = math.prod(
                profile.reshape(-1, *(1,) * (inner.ndim - 1 - axis))
                for axis, profile in enumerate(s)
            )

    @classmethod
    def of(cls, A: Diffusion, *, workers: int = 1) -> "FastPoisson":
        """The inverse of A with its coefficient and reaction replaced by their means.

        It is exact if both are constant and there are no walls.

        Raises:
            ValueError: A is not a `Diffusion`.
        """
        if not isinstance(A, Diffusion):
            raise ValueError(
                f"FastPoisson.of needs a Diffusion; got {type(A).__name__}. For a matrix with a "
                f"stencil there is GhostElimination; else use IncompleteCholesky or RugeStueben."
            )
        a, c = (
            float(value.double().mean()) if isinstance(value, Tensor) else float(value)
            for value in (A.coefficient, A.reaction)
        )
        return cls(A.grid, coefficient=a, reaction=c, workers=workers)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype and on its device; it carries no gradient."""
        from scipy import fft

        b = u.detach().cpu().double()
        if self.floats:
            b = b - b.flatten(-self.grid.ndim).mean(-1)[(..., *(None,) * self.grid.ndim)]
        b_hat: Any = (b if self._fractions is None else b / self._fractions).numpy()
        call: dict[str, Any] = {"workers": self.workers, "overwrite_x": True}
        for axis in self._real:
            name, kind = self._transform(axis)
            b_hat = getattr(fft, name)(b_hat, kind, axis=axis, workers=self.workers)
        if self._fourier:
            b_hat = fft.rfftn(b_hat, axes=self._fourier, workers=self.workers)
        b_hat /= self._values  # in place: after transforms it is not the caller's memory
        if self._fourier:
            sides = [self.grid.shape[axis] for axis in self._fourier]
            b_hat = fft.irfftn(b_hat, sides, axes=self._fourier, **call)
        for axis in reversed(self._real):
            name, kind = self._transform(axis)
            b_hat = getattr(fft, "i" + name)(b_hat, kind, axis=axis, **call)
        return torch.from_numpy(b_hat).to(u)

    def _transform(self, axis: int) -> tuple[str, int]:
        return _TRANSFORMS[self.grid.boundary[axis], self.grid.placement[axis]]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.grid.shape))
        return f"FastPoisson({shape} unknowns, {', '.join(b.value for b in self.grid.boundary)})"


def solve_poisson(
    b: Float[Tensor, "*batch_space"],
    grid: Grid,
    *,
    reaction: float | int = 0.0,
    workers: int = 1,
) -> Float[Tensor, "*batch_space"]:
    """u with A u = b, A = `Laplacian(grid)` + c, exact up to round-off (`FastPoisson`).

    Args:
        b: `Laplacian(grid).load(f)` for -Δu = f, which is f at the unknowns where no Neumann
            axis stores its ends. Shape (..., *grid.interior.shape); leading axes are a batch.
        grid: any boundary and placement per axis, any dimension.
        reaction: c >= 0.
        workers: threads of the transform.

    Raises:
        ValueError: b has another shape, is not real or not finite, or has no solution (no
            Dirichlet side, c = 0, and b does not sum to zero), or c is negative.
    """
    M = FastPoisson(grid, reaction=reaction, workers=workers)
    M.grid.check(b, "right-hand side at the unknowns")
    if not b.is_floating_point():
        raise ValueError(
            f"The right-hand side must be of real floating-point numbers; got {b.dtype}. Convert "
            f"it by b.double(); solve for real and imaginary part one by one."
        )
    if not b.isfinite().all():
        raise ValueError("The right-hand side holds NaN or infinity. Check where it was made.")
    if M.floats:
        _check_compatible(b, grid.ndim)
    return M.apply(b)


def _eigenvalues(inner: Grid, axis: int, half: bool) -> Float[Tensor, " waves"]:
    """Eigenvalues of the second difference of an axis; `half`: only those that a real FFT
    stores."""
    n, m, h = inner.shape[axis], inner.cells[axis], inner.spacing[axis]
    if inner.boundary[axis] is Boundary.PERIODIC:
        k = 2 * (torch.arange(n // 2 + 1) if half else torch.fft.fftfreq(n, 1 / n)).double()
    else:
        first = 1 if inner.boundary[axis] is Boundary.DIRICHLET else 0
        k = first + torch.arange(n, dtype=torch.float64)
    return 4 / h**2 * torch.sin(math.pi * k / (2 * m)) ** 2


def _check_compatible(b: Tensor, ndim: int) -> None:
    """Raise a ValueError unless each right-hand side of a floating problem sums to zero."""
    fields = b.detach().flatten(-ndim)
    sums, sizes = fields.sum(-1).abs(), fields.abs().sum(-1)
    if (sums > 1e3 * torch.finfo(b.dtype).eps * sizes).any():
        worst = (sums / sizes).nan_to_num().max().item()
        raise ValueError(
            f"Without a Dirichlet side -Δu = f has a solution only where the mean of f is zero; "
            f"here |Σ b| = {worst:.1e} Σ |b|. Make b by Laplacian(grid).load(f), which takes the "
            f"mean away."
        )
