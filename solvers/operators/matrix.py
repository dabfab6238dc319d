"""A scipy sparse matrix as an operator on fields."""

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...domain import Grid
from ...kernels import recognition
from ...kernels.sparse import Product
from ...linop import LinearOperator
from .regions import Regions

if TYPE_CHECKING:
    import scipy.sparse


class Matrix(LinearOperator):
    """A u for a sparse matrix A on fields in C order.

    Properties of A are read from its entries: symmetry, and definiteness if A is diagonally
    dominant (a_ii >= Σ|a_ij|). If all rows of a connected component of such a matrix sum to zero
    and it has no positive a_ij, the kernel contains the constants on the component; it also
    contains the unit vector of each empty row. Such a singular A knows its range, and the solvers
    project on it.

    Args:
        matrix: any sparse or dense square matrix scipy reads; kept as CSR in float64.
        grid: the unknowns' grid; one axis by default.
        positive_definite: declares definiteness that the entries do not prove; with `kernel`, that
            A is positive on its range.
        kernel: fields that span the kernel of Aᵀ, if the entries do not show it.
        regions: declares that the constants on its floating regions and the unit vectors of its
            solid nodes span the kernel, and that A is positive on its range.
        symmetric: declares symmetry up to round-off; by default read from the entries.
        reading: that of the same matrix, if there is one.

    Raises:
        ValueError: the matrix is not square or not finite, the grid has another size, or a vector
            of `kernel` is not in the kernel.
    """

    def __init__(
        self,
        matrix: "scipy.sparse.sparray",
        grid: Grid | None = None,
        *,
        positive_definite: bool | None = None,
        kernel: Float[Tensor, "k *space"] | None = None,
        regions: Regions | None = None,
        symmetric: bool | None = None,
        reading: recognition.Reading | None = None,
    ) -> None:
        import scipy.sparse

        csr = scipy.sparse.csr_array(matrix, dtype="float64")
        if csr.ndim != 2 or csr.shape[0] != csr.shape[1]:
            raise ValueError(f"An operator needs a square matrix; got shape {csr.shape}.")
        self.grid = Grid((csr.shape[0],), placement="interior") if grid is None else grid
        if self.grid.num_nodes != csr.shape[0]:
            raise ValueError(
                f"The matrix has {csr.shape[0]} rows, the grid {self.grid.num_nodes} nodes, "
                f"{self.grid.shape}. Use a grid of the unknowns, or none."
            )
        if not np.isfinite(csr.data).all():
            raise ValueError("The matrix holds NaN or infinity. Check where it was made.")
        if not csr.has_canonical_format or not csr.data.all():
            csr = csr.copy()  # the caller's arrays stay as they are
            csr.sum_duplicates()
            csr.eliminate_zeros()
        self.matrix = csr
        self._product = Product(csr)
        self.reading = recognition.Reading.of(csr) if reading is None else reading
        entries, pairs = self.reading.entries, self.reading.pairs
        self.symmetric = pairs.asymmetric is None if symmetric is None else symmetric
        self.regions, definite = regions, False
        if self.symmetric and regions is None:
            self.regions, definite = _read(entries, pairs, self.grid.shape)
        self.positive_definite = definite if positive_definite is None else positive_definite
        self.semidefinite = self.positive_definite or self.regions is not None
        self.kernel = None
        if kernel is not None:
            self.kernel = self._orthonormal(kernel, entries.largest)
            self.positive_definite = False

    def _orthonormal(self, kernel: Tensor, largest: Any) -> Float[Tensor, "k n"]:
        self.grid.check(kernel, "kernel")
        Q = torch.linalg.qr(kernel.reshape(-1, self.grid.num_nodes).double().T)[0]
        gap = abs(self.matrix.T @ Q.numpy()).max(axis=1) if kernel.numel() else 0 * largest
        if self.symmetric:
            bound = 1e-8 * largest
        else:
            bound = 1e-8 * abs(self.matrix).max(axis=0).toarray().ravel()
        if not (gap <= bound).all():
            row = int((gap - bound).argmax())
            raise ValueError(
                f"The vectors of `kernel` are not in the kernel of Aᵀ: |Aᵀ v| = {gap[row]:.1e} in "
                f"row {row} for |v| = 1, with entries of that row up to {bound[row] * 1e8:.1e}."
            )
        return Q.T.contiguous()

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        return self._product(u.reshape(-1, self.grid.num_nodes)).reshape(u.shape)

    def project(self, b: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The part of b orthogonal to the kernel of Aᵀ, which is the range of A."""
        self.grid.check(b, "right-hand side")
        if self.kernel is not None:
            Q = self.kernel.to(b)
            flat = b.reshape(-1, self.grid.num_nodes)
            return (flat - (flat @ Q.T) @ Q).reshape(b.shape)
        return b if self.regions is None else self.regions.project(b)

    def diagonal(self) -> Float[Tensor, "*space"]:
        return torch.from_numpy(self.matrix.diagonal()).reshape(self.grid.shape)

    def to_csr(self) -> "scipy.sparse.csr_array":
        return self.matrix

    def __repr__(self) -> str:
        kind = "symmetric" if self.symmetric else "not symmetric"
        kind += ", positive definite" if self.positive_definite else ""
        where = f", {self.regions}" if self.regions is not None else ""
        return f"Matrix({self.grid.num_nodes} unknowns, {self.matrix.nnz} entries, {kind}{where})"


def _read(
    A: recognition.Entries, pairs: recognition.Pairs, shape: tuple[int, ...]
) -> tuple[Regions | None, bool]:
    """The regions of a symmetric matrix, None if its entries do not show them, and whether its
    entries prove that it is positive definite."""
    _, absolute, _ = recognition.totals(A)
    excess = A.diagonal - absolute
    round_off = recognition.TOLERANCE * (absolute + abs(A.diagonal))
    if not (excess >= -round_off).all():
        return None, False
    root = recognition.linked(A)
    held = np.zeros(len(root), dtype=bool)
    held[root[excess > round_off]] = True
    if held[root].all():
        return Regions(shape, 0), True
    if pairs.positive is not None:
        return None, False  # the kernel may hold other vectors than constants
    solid = A.largest == 0
    floats = ~held & (root == np.arange(len(root))) & ~solid
    number = np.where(floats, floats.cumsum(), 0)
    labels = torch.from_numpy(np.where(solid, -1, number[root])).reshape(shape)
    return Regions(shape, int(floats.sum()), labels), False
