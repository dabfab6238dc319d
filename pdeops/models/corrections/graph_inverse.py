"""Sparse approximate inverses and factors whose values a graph network sets from the matrix."""
# Axes: b systems, e entries, n unknowns.

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from ...kernels.approximate_inverse import coefficients
from ...nn.matrix_graph import GraphNetwork, MatrixGraph

if TYPE_CHECKING:
    from ...linop import LinearOperator
    from ...solvers.krylov.approximate_inverse import ApproximateInverse, UnitDiagonal
    from ...solvers.krylov.incomplete_cholesky import IncompleteCholesky

_REACH = 2.0  # largest modulus of w


class GraphInverse(nn.Module):
    """A -> M ≈ A⁻¹ for any sparse symmetric positive definite matrix A:

        M = D^-1/2 ((1 - ε) Lᵀ p(L Â Lᵀ) L + ε I) D^-1/2,    Â = D^-1/2 A D^-1/2,

    D the diagonal of A. L has the entries of the pattern of A whose column comes before its row: of
    smaller key Σ_j â_ij² (or of equal key and smaller number). A graph network sets them,

        l_ij = -w_ij â_ij,    l_ii = exp(tanh v_i),

    with w_ij in (-2, 2) (`nn/matrix_graph.py`). The polynomial p of even degree d is that of the
    Chebyshev iteration on [0, c], c an estimate of the largest eigenvalue of L Â Lᵀ by the power
    method; it is positive on all positive numbers, so M is symmetric and positive definite for all
    weights. M consists of 2 d + 1 products, without triangular solves. It is equivariant to
    permutations of the unknowns and to diagonal scaling of A by factors of any sign: CG with M then
    takes the same steps, up to the estimate c and unless keys are equal.

    The untrained network gives L = I. With degree 0, M is then D⁻¹ (Jacobi); with degree d, it is
    the Chebyshev polynomial of degree d in D⁻¹ A, times D⁻¹.

    Args:
        ndim: number of axes of a field; 1, because unknowns are a vector.
        hidden_channels, n_layers: width and number of layers of the network.
        degree: d, even.

    Raises:
        ValueError: ndim is not 1, the degree is odd or negative, or a number is below 1.
    """

    epsilon = 1e-3
    for_matrices = True  # `on` takes any sparse matrix, not only stencils on a grid

    def __init__(
        self, ndim: int = 1, *, hidden_channels: int = 8, n_layers: int = 2, degree: int = 2
    ) -> None:
        super().__init__()
        if ndim != 1:
            raise ValueError(f"GraphInverse acts on vectors of unknowns, ndim = 1; got {ndim}.")
        coefficients(degree, 1.0)  # checks it
        self.ndim, self.degree = ndim, degree
        self.arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "degree": degree,
        }
        self.network = GraphNetwork(hidden_channels, n_layers)

    def forward(self, r: Float[Tensor, "b 1 n"], operator: Sequence[Tensor]) -> Tensor:
        return self.at(operator)(r)

    def factor(self, graph: MatrixGraph) -> tuple[Float[Tensor, " e"], Float[Tensor, " n"]]:
        """The entries of L off the diagonal (0 where the column does not come before the row) and
        on it, in the dtype of the matrix."""
        edges, nodes = self.network(graph)
        w = _REACH * edges[:, 0].tanh().to(graph.values)
        off = torch.where(graph.before, -w * graph.values, 0)
        return off, nodes[:, 0].tanh().exp().to(off)

    def entries(self, scaled: "UnitDiagonal", edges: ndarray, factors: ndarray) -> ndarray:
        """`factor` in numpy: a value for each entry of Â, l_ii among them.

        Args:
            edges: outputs of the network, a number for each entry of Â.
            factors: exp(tanh v_i).
        """
        import numpy as np

        values = -_REACH * np.tanh(edges) * scaled.values
        values[scaled.rows == scaled.columns] = factors
        return values

    @torch.no_grad()
    def bound(
        self, graph: MatrixGraph, off: Float[Tensor, " e"], on: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """The upper end of the interval of p, for each row; see
        `solvers.krylov.approximate_inverse.estimated`."""
        from ...solvers.krylov.approximate_inverse import MARGIN, POWERS, start

        x = torch.from_numpy(start(graph.size)).to(on).repeat(len(on) // graph.size)
        x = x * (graph.times(graph.values.abs(), torch.ones_like(x)) > 0)  # no padded rows
        for _ in range(POWERS):
            x = _normalised(x, graph.size)[0]
            x = graph.congruent(off, on, x)
        largest = _normalised(x, graph.size)[1]
        return MARGIN * torch.where(largest > 0, largest, 1).flatten().repeat_interleave(graph.size)

    def at(self, operator: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """The map r -> M r for the systems of a batch of `datasets.systems.MatrixSystems`:
        rows, columns and values (b, e). It is differentiable in the weights, except for the bound
        of p."""
        rows, columns, values = operator
        graph = MatrixGraph.of(rows, columns, values, int(rows.max()) + 1)
        off, on = self.factor(graph)
        # The interval [0, bound] of all systems is mapped to [0, 1].
        bound = self.bound(graph, off, on) if self.degree else graph.bound
        steps = coefficients(self.degree, 1.0)

        def correction(r: Tensor) -> Tensor:
            b = graph.scale * r.flatten().to(graph.values)
            left = on * b + graph.times(off, b)
            d = z = steps[0][0] * left
            for first, carry in steps[1:]:
                left = left - graph.congruent(off, on, d) / bound
                d = carry * d + first * left
                z = z + d
            z = z / bound if self.degree else z
            x = (1 - self.epsilon) * (on * z + graph.transposed(off, z)) + self.epsilon * b
            return (graph.scale * x).to(r).reshape(r.shape)

        return correction

    @torch.no_grad()
    def on(self, A: "LinearOperator") -> "ApproximateInverse":
        """M for one matrix, in single precision and compiled loops.

        Raises:
            ValueError: A is not symmetric, has no `to_csr`, or its diagonal shows that it is not
                positive definite.
        """
        import numpy as np

        from ...solvers.krylov.approximate_inverse import (
            ApproximateInverse,
            UnitDiagonal,
            estimated,
        )

        scaled = UnitDiagonal(A)
        edges, nodes, far = self.network.compiled(
            scaled.starts, scaled.columns, scaled.values, scaled.key, scaled.bound
        )
        self.network.note(far)
        L = scaled.triangle(self.entries(scaled, edges, np.exp(np.tanh(nodes))))
        bound = estimated if self.degree else 1.0
        return ApproximateInverse(
            scaled, L.T.tocsr(), degree=self.degree, bound=bound, epsilon=self.epsilon
        )


class FactoredGraphInverse(GraphInverse):
    """A -> M = D^-1/2 Lᵀ p(L Â Lᵀ) L D^-1/2, a learned factored sparse approximate inverse.

    L has the pattern and the order of `GraphInverse`: the classical factor of Kolotilina & Yeremin
    (1993, `kernels/approximate_inverse`), times exp(tanh(w_ij)) off the diagonal and exp(tanh(v_i))
    on it. A graph network sets w and v as in `GraphInverse`; untrained they are 0, so that M is the
    classical M for degree 0, and a polynomial in it for a higher degree. M is symmetric and
    positive definite for all weights, because the diagonal of L is positive.

    Args and errors: as for `GraphInverse`; a `ValueError` also where a principal submatrix of A is
    not positive definite.
    """

    epsilon = 0.0

    def factor(self, graph: MatrixGraph) -> tuple[Float[Tensor, " e"], Float[Tensor, " n"]]:
        lower, diagonal = _classical(graph)
        edges, nodes = self.network(graph)
        off = lower * edges[:, 0].tanh().exp().to(lower)
        return off, diagonal * nodes[:, 0].tanh().exp().to(diagonal)

    def entries(self, scaled: "UnitDiagonal", edges: ndarray, factors: ndarray) -> ndarray:
        import numpy as np

        scale = np.exp(np.tanh(edges))
        scale[scaled.rows == scaled.columns] = factors
        return scaled.classical() * scale


class GraphIncompleteFactor(GraphInverse):
    """A -> M = (Uᵀ U)⁻¹, U the factor of IC(0) times a learned factor for each entry:

        u_ij exp(tanh w_ij) for i < j,    u_ii exp(tanh v_i).

    A graph network sets w and v from the entries of A (`nn/matrix_graph.py`); untrained they are 0,
    and M is that of IC(0). M is symmetric and positive definite for all weights, because the
    diagonal of U is positive: `IncompleteCholesky` shifts and restarts where a pivot is not. M is
    invariant to diagonal scaling by positive factors; like IC(0), it depends on the order in which
    A is given, and its two triangular solves run in sequence (Li, Chen, Du & Matusik 2023 and
    Häusner, Öktem & Sjölund 2023 learn whole factors; Trifonov et al. 2024 correct IC(0)).

    Training solves with dense factors: matrices of a few hundred unknowns.

    Args:
        ndim: number of axes of a field; 1, because unknowns are a vector.
        hidden_channels, n_layers: width and number of layers of the network.

    Raises:
        ValueError: ndim is not 1, or a number is below 1.
    """

    def __init__(self, ndim: int = 1, *, hidden_channels: int = 8, n_layers: int = 2) -> None:
        super().__init__(ndim, hidden_channels=hidden_channels, n_layers=n_layers, degree=0)
        del self.arguments["degree"]

    def factor(self, graph: MatrixGraph) -> tuple[Tensor, Tensor]:
        """exp(tanh w) for the entries (j, i) below the diagonal, 0 above it, and exp(tanh v)."""
        edges, nodes = self.network(graph)
        lower = graph.columns < graph.rows
        off = torch.where(lower, edges[:, 0].tanh().exp().to(graph.values), 0)
        return off, nodes[:, 0].tanh().exp().to(off)

    def at(self, operator: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        rows, columns, values = operator
        graph = MatrixGraph.of(rows, columns, values, int(rows.max()) + 1)
        off, on = self.factor(graph)
        n = graph.size
        system, place = graph.rows // n, (graph.rows % n, graph.columns % n)
        L = torch.diag_embed(on.reshape(-1, n)).index_put((system, *place), off)
        L = L * _incomplete(graph)

        def correction(r: Tensor) -> Tensor:
            b = (graph.scale * r.flatten().to(graph.values)).reshape(-1, n, 1)
            y = torch.linalg.solve_triangular(L, b, upper=False)
            x = torch.linalg.solve_triangular(L.mT, y, upper=True)
            return (graph.scale * x.flatten()).to(r).reshape(r.shape)

        return correction

    @torch.no_grad()
    def on(self, A: "LinearOperator") -> "IncompleteCholesky":  # type: ignore[override]
        """M for one matrix in double precision, in compiled loops.

        Raises:
            ValueError: as for `IncompleteCholesky`, or the diagonal shows that A is not positive
                definite.
        """
        import numpy as np
        import scipy.sparse

        from ...solvers.krylov.approximate_inverse import UnitDiagonal
        from ...solvers.krylov.incomplete_cholesky import IncompleteCholesky

        scaled = UnitDiagonal(A)
        given = scaled.order.astype(float)  # as key: the order in which A is given
        graph = scaled.starts, scaled.columns, scaled.values, given
        edges, nodes, far = self.network.compiled(*graph, scaled.bound)
        self.network.note(far)
        factors = np.exp(np.tanh(edges))
        factors[scaled.rows == scaled.columns] = np.exp(np.tanh(nodes))
        places = scaled.order[scaled.columns], scaled.order[scaled.rows]
        upper = scipy.sparse.coo_array((factors, places), shape=A.shape)
        upper = scipy.sparse.csr_array(scipy.sparse.triu(upper))
        upper.sort_indices()
        return IncompleteCholesky(A).times(upper)


def _normalised(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """x of each matrix divided by its norm, and the norms."""
    norms = x.reshape(-1, size).norm(dim=1, keepdim=True)
    return (x.reshape(-1, size) / torch.where(norms > 0, norms, 1)).flatten(), norms


@torch.no_grad()
def _classical(graph: MatrixGraph) -> tuple[Float[Tensor, " e"], Float[Tensor, " n"]]:
    """The entries of the classical factor L in the order of the graph, and its diagonal."""
    import numpy as np

    from ...kernels.approximate_inverse import factored

    n, e = len(graph.scale), len(graph.values)
    places = np.arange(n)
    rows = np.concatenate([graph.rows.numpy(), places])
    columns = np.concatenate([graph.columns.numpy(), places])
    entries = np.concatenate([graph.values.double().numpy(), np.ones(n)])
    order = np.lexsort((columns, rows))
    starts = np.concatenate([[0], np.bincount(rows, minlength=n).cumsum()]).astype(np.int32)
    csr = starts, columns[order].astype(np.int32), entries[order]
    found = np.empty(e + n)
    found[order] = factored(csr, graph.key.double().numpy())
    like = graph.values
    return torch.from_numpy(found[:e]).to(like), torch.from_numpy(found[e:]).to(like)


@torch.no_grad()
def _incomplete(graph: MatrixGraph) -> Tensor:
    """The factors L = Uᵀ of IC(0) of the matrices of a graph, (b, n, n); padded rows are those of
    the identity."""
    from ...solvers import IncompleteCholesky, Matrix

    n, number = graph.size, len(graph.scale) // graph.size
    values = graph.values.double()
    hat = graph.matrix(values, torch.ones_like(graph.scale).to(values))
    U = IncompleteCholesky(Matrix(hat, symmetric=True)).upper()
    blocks = [U[i * n : i * n + n, i * n : i * n + n].toarray().T for i in range(number)]
    return torch.stack([torch.from_numpy(block) for block in blocks]).to(graph.values)
