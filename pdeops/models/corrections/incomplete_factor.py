"""Incomplete Cholesky factors whose values a graph network corrects."""
# Axes: b systems, e entries, n unknowns.

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...nn.matrix_graph import MatrixGraph
from .graph_inverse import GraphInverse

if TYPE_CHECKING:
    from ...linop import LinearOperator
    from ...solvers.krylov.incomplete_cholesky import IncompleteCholesky


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
        L = L * _classical(graph)

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
        self.note(far)
        factors = np.exp(np.tanh(edges))
        factors[scaled.rows == scaled.columns] = np.exp(np.tanh(nodes))
        places = scaled.order[scaled.columns], scaled.order[scaled.rows]
        upper = scipy.sparse.coo_array((factors, places), shape=A.shape)
        upper = scipy.sparse.csr_array(scipy.sparse.triu(upper))
        upper.sort_indices()
        return IncompleteCholesky(A).times(upper)


@torch.no_grad()
def _classical(graph: MatrixGraph) -> Tensor:
    """The factors L = Uᵀ of IC(0) of the matrices of a graph, (b, n, n); padded rows are those of
    the identity."""
    import scipy.sparse

    from ...solvers import IncompleteCholesky, Matrix

    n, number = graph.size, len(graph.scale) // graph.size
    places = graph.rows.numpy(), graph.columns.numpy()
    values = graph.values.double().numpy()
    size = n * number
    hat = scipy.sparse.coo_array((values, places), shape=(size, size)).tocsr()
    whole = Matrix(hat + scipy.sparse.eye_array(size), symmetric=True)
    U = IncompleteCholesky(whole).upper()
    blocks = [U[i * n : i * n + n, i * n : i * n + n].toarray().T for i in range(number)]
    return torch.stack([torch.from_numpy(block) for block in blocks]).to(graph.values)
