"""A linear system's matrix as a user holds it, brought into form and looked at once."""

import logging
import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy import ndarray
from torch import Tensor

from ...kernels import recognition
from ...linop import LinearOperator
from ..operators.given import as_sparse, real
from ..operators.matrix import Matrix
from ..operators.recognise import Structure, recognise
from ..operators.regions import Regions
from ..operators.stencil import Stencil
from .rigid import doubts, rigid_body_modes, unbalanced
from .shape import dimension

if TYPE_CHECKING:
    import scipy.sparse

    from ..direct.separable import SeparableInverse

log = logging.getLogger("pdeops")

SYMMETRIC = 1e-12  # relative difference of a_ij and a_ji that counts as round-off
WIDEST = 27  # entries per row of a stencil
ROUND_OFF = 1e-13  # of the sum of a row's magnitudes
# Of (|A| |v|)_i: rounding of a row of A v, and of the row itself.
PRODUCT = 16 * float(np.finfo(float).eps)
GIVEN = 1e-10  # the same for vectors that a user computed
SMALLEST = 900  # 2^-900 keeps its digits, also in a product with numbers down to 1e-37
FULL = 0.8  # blocks of displacements hold some zeros where a mesh is aligned with the axes


@dataclass(frozen=True, eq=False)
class System:
    """A symmetric matrix that may be positive (semi)definite, and what its entries show.

    `System.of(matrix)` brings a matrix into form: CSR, float64, sorted, without duplicates. It is
    scaled by a power of two if its entries are far from 1, so that none underflows: the scaling is
    exact. What follows is computed once, when it is first needed.

    Attributes:
        csr: 2^-exponent times the matrix as given; the residual is that of this matrix.
        exponent: the scale.
        near_nullspace: vectors that A nearly maps to zero, (n, m), or None.
        regular: A is taken as it is, although it equals a singular matrix up to round-off.
        reading: the entries of `csr` and their pairs.
    """

    csr: "scipy.sparse.csr_array"
    exponent: int = 0
    near_nullspace: ndarray | None = field(default=None, repr=False)
    regular: bool = False
    reading: recognition.Reading | None = field(default=None, repr=False)

    @classmethod
    def of(cls, matrix: Any, *, near_nullspace: Any = None, coordinates: Any = None) -> "System":
        """The system of a matrix as `as_sparse` takes it.

        Args:
            near_nullspace, coordinates: as for `solve`; a warning names the rows in which A does
                not nearly annihilate them.

        Raises:
            ValueError: the matrix is not square, real, finite and symmetric, or a diagonal entry
                shows that it is not positive definite; the message says what solves such a system.
        """
        csr = _canonical(matrix)
        reading = recognition.Reading.of(csr)
        _require_semidefinite(csr, reading)
        exponent = _exponent(csr.data)
        if exponent:
            csr = csr.copy()
            csr.data = np.ldexp(csr.data, -exponent)
        size = csr.shape[0]
        modes = None
        if near_nullspace is not None and coordinates is not None:
            raise ValueError("Give either near_nullspace or coordinates, which determine it.")
        if near_nullspace is not None:
            modes = _modes(near_nullspace, size)
        if coordinates is not None:
            modes = rigid_body_modes(coordinates)
            if len(modes) != size:
                d = np.shape(coordinates)[1]
                raise ValueError(
                    f"{np.shape(coordinates)[0]} nodes with {d} displacements are {len(modes)} "
                    f"unknowns; A has {size} rows. Give one row of coordinates for each node that "
                    f"is in A, in the order of its rows."
                )
        if modes is not None:
            d = None if coordinates is None else np.shape(coordinates)[1]
            if why := doubts(csr, modes, d):
                log.warning("%s", why)
        return cls(csr, exponent, modes, reading=None if exponent else reading)

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return self.csr.shape[0]

    @cached_property
    def found(self) -> Structure:
        """The stencil in the matrix."""
        if self.regular:
            return Structure("up to round-off it is singular, which a stencil would be")
        mean = self.csr.nnz / self.size
        if mean > WIDEST:
            return Structure(f"{mean:.0f} entries per row, where a stencil has at most {WIDEST}")
        return recognise(self.csr, reading=self.reading)

    @cached_property
    def on_grid(self) -> LinearOperator | None:
        """The operator on a grid that was recognised; definite, as conjugate gradients assume."""
        A = self.found.on_grid
        if isinstance(A, Stencil) and not A.positive_definite:
            log.info("Assuming A is positive definite; its entries do not prove it.")
            A = Stencil(A.diagonal(), A.couplings, A.grid, positive_definite=True)
        return A

    @cached_property
    def by_transforms(self) -> "SeparableInverse | str":
        """The inverse by sine, cosine and Fourier transforms, or why there is none."""
        from ..direct.separable import SeparableInverse

        return SeparableInverse.of(self.on_grid)

    @cached_property
    def matrix(self) -> Matrix:
        """The matrix as an operator. Its kernel is known where rows sum to zero or are empty, and
        where the near-null space is in the kernel."""
        csr = self.csr
        known: dict[str, Any] = {"symmetric": True, "reading": self.reading}
        if self.regular:
            whole = Regions((self.size,), 0)
            return Matrix(csr, regions=whole, positive_definite=True, **known)
        if self.near_nullspace is not None and self.annihilates(self.near_nullspace, GIVEN):
            modes = torch.from_numpy(self.near_nullspace.T.copy())
            return Matrix(csr, kernel=modes, positive_definite=True, **known)
        A = Matrix(csr, **known)
        if A.positive_definite or A.semidefinite:
            return A
        regions = _regions(csr, A.reading)
        if regions is not None:
            log.info("Rows of A sum to zero, so A is singular; assuming it is semidefinite.")
            return Matrix(csr, regions=regions, **known)
        log.info("Assuming A is positive definite; its entries do not prove it.")
        A.positive_definite = A.semidefinite = True
        return A

    @property
    def A(self) -> LinearOperator:
        """`on_grid`, or `matrix` if nothing was recognised."""
        return self.matrix if self.on_grid is None else self.on_grid

    def annihilates(self, v: ndarray, tolerance: float = PRODUCT) -> bool:
        """Whether A v = 0 for the columns of v, up to the rounding of A and of the product:
        |A v| <= tolerance |A| |v| in every row."""
        return bool((unbalanced(self.csr, v) <= tolerance).all())

    def fields(self, b: ndarray, A: LinearOperator) -> Tensor:
        """Columns (n, k) as fields of `on_grid` or `matrix`, (k, *grid)."""
        rows = torch.from_numpy(np.ascontiguousarray(b.T))
        return self.found.embed(rows) if A is self.on_grid else rows

    def columns(self, x: Tensor, A: LinearOperator) -> ndarray:
        """Fields of `on_grid` or `matrix` as columns (n, k)."""
        flat = self.found.extract(x) if A is self.on_grid else x
        return flat.reshape(-1, self.size).numpy().T

    @cached_property
    def dimension(self) -> float:
        """The dimension of the mesh behind the matrix (`shape.dimension`)."""
        return dimension(self.csr)

    @cached_property
    def blocks(self) -> int:
        """Unknowns per node: 2 or 3 where the matrix consists of full blocks of this size, else
        1."""
        return next((d for d in (3, 2) if _has_blocks(self.csr, d)), 1)


def _exponent(entries: ndarray) -> int:
    """e such that 2^-e times the entries (none is zero) are near 1, as far as the smallest of them
    stays above 2^-SMALLEST."""
    size = np.abs(entries)
    if not size.size or 1e-8 < size.max() < 1e8:
        return 0
    high, low = (math.frexp(float(value))[1] for value in (size.max(), size.min()))
    return min(high, low + SMALLEST)


def _canonical(matrix: Any) -> "scipy.sparse.csr_array":
    import scipy.sparse

    matrix = as_sparse(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"A must be square; got shape {matrix.shape}.")
    if not matrix.shape[0]:
        raise ValueError("A has no rows.")
    csr = scipy.sparse.csr_array(matrix)
    csr.data = real(csr.data, "A")
    if not csr.has_canonical_format or not csr.data.all():
        csr = csr.copy()  # the caller's arrays stay as they are
        csr.sum_duplicates()
        csr.eliminate_zeros()
    if not np.isfinite(csr.data).all():
        raise ValueError("A holds NaN or infinity. Check where the matrix was made.")
    return csr


def _require_semidefinite(csr: "scipy.sparse.csr_array", reading: recognition.Reading) -> None:
    """Raise a ValueError if A is not symmetric, or its diagonal shows that it is not positive
    semidefinite."""
    entries = reading.entries
    need = "Conjugate gradients need a symmetric positive definite matrix; "
    # Each entry against the larger of its two rows: a large entry elsewhere hides nothing.
    pair = reading.pairs.asymmetric and recognition.pairs(entries, SYMMETRIC).asymmetric
    if pair:
        i, j = pair
        raise ValueError(
            f"{need}this one is not symmetric: |A - Aᵀ| is {abs(csr[i, j] - csr[j, i]):.3g} at "
            f"entry ({i}, {j}), which is {float(csr[i, j])!r} against {float(csr[j, i])!r}. Use "
            f"GMRES or BiCGStab (scipy.sparse.linalg.gmres, pdeops.solvers.bicgstab), or a sparse "
            f"LU."
        )
    diagonal = csr.diagonal()
    lowest = diagonal.min()
    zero = (diagonal == 0) & (entries.largest > 0)
    if lowest < 0 and diagonal.max() <= 0:
        raise ValueError(
            f"{need}this one is negative definite, if anything: its smallest diagonal entry is "
            f"{lowest:.3g}, its largest {diagonal.max():.3g}. Solve -A x = -b."
        )
    if lowest < 0 or zero.any():
        what = f"its smallest diagonal entry is {lowest:.3g}"
        if lowest >= 0:
            what = f"row {int(zero.argmax())} has a zero on the diagonal and other entries"
        raise ValueError(
            f"{need}{what}, so A is indefinite. Use scipy.sparse.linalg.minres or a sparse LU "
            f"(scipy.sparse.linalg.splu)."
        )


def _regions(csr: "scipy.sparse.csr_array", reading: recognition.Reading) -> Regions | None:
    """The components whose rows sum to zero, and the empty rows; None if there are none."""
    from scipy.sparse.csgraph import connected_components

    signed, absolute, _ = recognition.totals(reading.entries)
    size = absolute + np.abs(reading.entries.diagonal)
    balanced = np.abs(signed) <= ROUND_OFF * size
    solid = size == 0
    if not balanced.any():
        return None
    _, component = connected_components(csr, directed=False)
    floats = np.ones(component.max() + 1, dtype=bool)
    floats[component[~balanced | solid]] = False
    if not (floats.any() or solid.any()):
        return None
    number = np.where(floats, floats.cumsum(), 0)
    labels = torch.from_numpy(np.where(solid, -1, number[component]))
    return Regions((csr.shape[0],), int(floats.sum()), labels)


def _has_blocks(csr: "scipy.sparse.csr_array", d: int) -> bool:
    """Whether the entries fill d x d blocks, several per row."""
    n, sample = csr.shape[0], 1000 * d
    if n % d or csr.nnz < 2 * d * n:
        return False
    if n > 2 * sample and _fill(csr[:sample], d) < FULL:
        return False
    return _fill(csr, d) >= FULL


def _fill(csr: "scipy.sparse.csr_array", d: int) -> float:
    """The fraction of the entries of d x d blocks that are stored, of those that hold any."""
    import scipy.sparse

    rows, columns = (n // d for n in csr.shape)
    ones = np.ones(csr.nnz, dtype=np.int8)
    merged = (ones, csr.indices // d, csr.indptr[::d])
    blocks = scipy.sparse.csr_array(merged, shape=(rows, columns), copy=True)
    blocks.sum_duplicates()
    return csr.nnz / (d * d * max(blocks.nnz, 1))


def _modes(near_nullspace: Any, size: int) -> ndarray:
    B = np.asarray(near_nullspace)
    B = real(B.reshape(-1, 1) if B.ndim == 1 else B, "The near-null space")
    if B.ndim != 2 or B.shape[0] != size or not 0 < B.shape[1] <= size:
        raise ValueError(
            f"The near-null space has one row per unknown and one column per vector; got shape "
            f"{B.shape} for {size} unknowns."
        )
    if not np.isfinite(B).all() or not B.any(axis=0).all():
        raise ValueError("The near-null space holds NaN, infinity or a zero vector.")
    return B
