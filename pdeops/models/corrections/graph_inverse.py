"""Sparse approximate inverses whose values a graph network sets from the entries of the matrix."""
# Axes: b systems, e entries, n unknowns.

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...kernels.approximate_inverse import coefficients
from ...nn.matrix_graph import GraphNetwork, MatrixGraph

if TYPE_CHECKING:
    import scipy.sparse

    from ...linop import LinearOperator
    from ...solvers.krylov.approximate_inverse import ApproximateInverse

log = logging.getLogger("pdeops")

_FEW = 0.05  # fraction of rows unlike those in training that calls for a note
_REACH = 2.0  # largest modulus of w


class GraphInverse(nn.Module):
    """A -> M ≈ A⁻¹ for any sparse symmetric positive definite matrix A:

        M = D^-1/2 ((1 - ε) G p(Gᵀ Â G) Gᵀ + ε I) D^-1/2,    Â = D^-1/2 A D^-1/2,

    D the diagonal of A. G has the pattern of A. A graph network sets its entries from those of Â,

        s g_ij = -w_ij â_ij / c  off the diagonal,    s g_ii = exp(tanh(v_i)) - w̄_i / c,

    with w_ij in (-2, 2), w̄_i their mean over row i, and c the bound of the eigenvalues of Â
    (`nn/matrix_graph.py`). For equal w and v = 0 this is I - w Â / c, up to the factor
    s² = max x (1 - w x)² on [0, 1], so that Gᵀ Â G has eigenvalues up to c; s is that of the mean
    w in general. The polynomial p of even degree d is that of the Chebyshev iteration on [0, c]; it
    is positive on all positive numbers, so M is symmetric and positive definite for all weights. M consists of products, 3 d + 2 of them, without triangular
    solves. It is equivariant to permutations of the unknowns and to diagonal scaling of A by
    factors of any sign: CG with M then takes the same steps.

    The untrained network gives G = I. With degree 0, M is then D⁻¹ (Jacobi); with degree d, it is
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
        """The entries of G off the diagonal and on it, in the dtype of the matrix."""
        edges, nodes = self.network(graph)
        w = _REACH * edges[:, 0].tanh().to(graph.values)
        size = graph.values.abs()
        total = graph.times(size, torch.ones_like(graph.scale))
        here = graph.times(size * w, torch.ones_like(total)) / torch.where(total > 0, total, 1)
        on = nodes[:, 0].tanh().exp().to(w) - here / graph.bound
        off = -w * graph.values / graph.bound[graph.rows]
        s = _largest(graph.mean(w)).sqrt()
        return off / s[graph.rows], on / s

    def at(self, operator: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """The map r -> M r for the systems of a batch of `datasets.systems.MatrixSystems`:
        rows, columns and values (b, e). It is differentiable in the weights."""
        rows, columns, values = operator
        size = int(rows.max()) + 1
        graph = MatrixGraph.of(rows, columns, values, size)
        off, on = self.factor(graph)

        def forth(u: Tensor) -> Tensor:
            return on * u + graph.times(off, u)

        def back(u: Tensor) -> Tensor:
            return on * u + graph.transposed(off, u)

        def inner(u: Tensor) -> Tensor:
            t = forth(u)
            return back(t + graph.times(graph.values, t))

        # The interval [0, c] of all systems is mapped to [0, 1].
        steps = coefficients(self.degree, 1.0)

        def correction(r: Tensor) -> Tensor:
            b = graph.scale * r.flatten().to(graph.values)
            left = back(b)
            d = z = steps[0][0] * left
            for first, carry in steps[1:]:
                left = left - inner(d) / graph.bound
                d = carry * d + first * left
                z = z + d
            z = z / graph.bound if self.degree else z
            x = (1 - self.epsilon) * forth(z) + self.epsilon * b
            return (graph.scale * x).to(r).reshape(r.shape)

        return correction

    @torch.no_grad()
    def on(self, A: "LinearOperator") -> "ApproximateInverse":
        """M for one matrix, by compiled loops in single precision.

        Raises:
            ValueError: A is not symmetric, has no `to_csr`, or its diagonal shows that it is not
                positive definite.
        """
        from ...solvers.krylov.approximate_inverse import ApproximateInverse, unit_diagonal

        scaled, _ = unit_diagonal(A)
        graph = graph_of(scaled)
        if (far := self.network.outside(graph)) > _FEW:
            log.info(
                "%.0f %% of the rows are unlike those of the matrices in training (row sums, number "
                "of entries). M is valid; its quality there was not measured.",
                100 * far,
            )
        off, on = self.factor(graph)
        G = scaled.copy()
        diagonal = _on_diagonal(scaled)
        G.data[~diagonal] = off.numpy()
        G.data[diagonal] = on.numpy()
        bound = graph.bound[0].item()
        return ApproximateInverse(A, G, degree=self.degree, bound=bound, epsilon=self.epsilon)


def _largest(w: Tensor) -> Tensor:
    """max x (1 - w x)² for x in [0, 1]: at x = 1/(3w) or at x = 1."""
    inside = torch.where(w > 1 / 3, 4 / (27 * w.clamp(min=1 / 3)), 0)
    return torch.maximum(inside, (1 - w).square())


def graph_of(scaled: "scipy.sparse.csr_array") -> MatrixGraph:
    """The graph of one matrix with unit diagonal."""
    import numpy as np

    n = scaled.shape[0]
    rows = np.repeat(np.arange(n), np.diff(scaled.indptr))
    parts = (rows, scaled.indices.astype(np.int64), scaled.data)
    entries = [torch.from_numpy(part)[None] for part in parts]
    return MatrixGraph.of(entries[0], entries[1], entries[2], n)


def _on_diagonal(scaled: "scipy.sparse.csr_array") -> Any:
    import numpy as np

    return np.repeat(np.arange(scaled.shape[0]), np.diff(scaled.indptr)) == scaled.indices
