"""Sparse approximate inverses whose values a graph network sets from the entries of the matrix."""
# Axes: b systems, e entries, n unknowns.

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor, nn

from ...kernels.approximate_inverse import coefficients
from ...kernels.runtime.threads import one_thread
from ...nn.matrix_graph import GraphNetwork, MatrixGraph

if TYPE_CHECKING:
    import scipy.sparse

    from ...linop import LinearOperator
    from ...solvers.krylov.approximate_inverse import ApproximateInverse

_REACH = 2.0  # largest modulus of w


class GraphInverse(nn.Module):
    """A -> M ≈ A⁻¹ for any sparse symmetric positive definite matrix A:

        M = D^-1/2 ((1 - ε) G p(Gᵀ Â G) Gᵀ + ε I) D^-1/2,    Â = D^-1/2 A D^-1/2,

    D the diagonal of A. G has the pattern of A. A graph network sets its entries from those of Â,

        s g_ij = -w_ij â_ij / c  off the diagonal,    s g_ii = exp(tanh(v_i)) - w̄_i / c,

    with w_ij in (-2, 2), w̄_i their mean over row i, and c the bound of the eigenvalues of Â
    (`nn/matrix_graph.py`). For equal w and v = 0, s G = I - w Â / c; with s² = max x (1 - w x)² on
    [0, 1], Gᵀ Â G then has eigenvalues up to c. In general s is that of the mean of w. The
    polynomial p of even degree d is that of the Chebyshev iteration on [0, c]; it is positive on
    all positive numbers, so M is symmetric and positive definite for all weights. M consists of
    3 d + 2 products, without triangular solves. It is equivariant to permutations of the unknowns
    and to diagonal scaling of A by factors of any sign: CG with M then takes the same steps.

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

    def bound(
        self, graph: MatrixGraph, off: Float[Tensor, " e"], on: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """The upper end of the interval of p, for each row."""
        return graph.bound

    def at(self, operator: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """The map r -> M r for the systems of a batch of `datasets.systems.MatrixSystems`:
        rows, columns and values (b, e). It is differentiable in the weights."""
        rows, columns, values = operator
        graph = MatrixGraph.of(rows, columns, values, int(rows.max()) + 1)
        off, on = self.factor(graph)
        bound = self.bound(graph, off, on)
        # The interval [0, bound] of all systems is mapped to [0, 1].
        steps = coefficients(self.degree, 1.0)

        def correction(r: Tensor) -> Tensor:
            b = graph.scale * r.flatten().to(graph.values)
            left = on * b + graph.transposed(off, b)
            d = z = steps[0][0] * left
            for first, carry in steps[1:]:
                left = left - graph.congruent(off, on, d) / bound
                d = carry * d + first * left
                z = z + d
            z = z / bound if self.degree else z
            x = (1 - self.epsilon) * (on * z + graph.times(off, z)) + self.epsilon * b
            return (graph.scale * x).to(r).reshape(r.shape)

        return correction

    @torch.no_grad()
    def on(self, A: "LinearOperator") -> "ApproximateInverse":
        """M for one matrix, in single precision. The set-up uses one thread: its operations are
        shorter than the meeting of torch's threads.

        Raises:
            ValueError: A is not symmetric, has no `to_csr`, or its diagonal shows that it is not
                positive definite.
        """
        from ...solvers.krylov.approximate_inverse import ApproximateInverse, unit_diagonal

        scaled, _ = unit_diagonal(A)
        with one_thread():
            graph = MatrixGraph.of_matrix(scaled)
        self.network.note(graph)
        with one_thread():
            off, on = self.factor(graph)
            bound = self.bound(graph, off, on)[0].item()
        G = scaled.copy()
        diagonal = rows_of(scaled) == scaled.indices
        G.data[~diagonal], G.data[diagonal] = off.numpy(), on.numpy()
        G.eliminate_zeros()
        return ApproximateInverse(A, G, degree=self.degree, bound=bound, epsilon=self.epsilon)


class FactoredGraphInverse(GraphInverse):
    """A -> M = D^-1/2 Lᵀ p(L Â Lᵀ) L D^-1/2, a learned factored sparse approximate inverse.

    L is lower triangular on the pattern of A: the classical one of Kolotilina & Yeremin (1993,
    `kernels/approximate_inverse`), times exp(tanh(w_ij)) off the diagonal and exp(tanh(v_i)) on it.
    A graph network sets w and v as in `GraphInverse`; untrained they are 0, so that M is the
    classical M for degree 0, and a polynomial in it for a higher degree. M is symmetric and
    positive definite for all weights, because the diagonal of L is positive. It is invariant to
    diagonal scaling, but, as the classical one, it depends on the order of the unknowns.

    The upper end of the interval of p is an estimate of the largest eigenvalue by the power method.

    Args and errors: as for `GraphInverse`; a `ValueError` also where a principal submatrix of A is
    not positive definite.
    """

    epsilon = 0.0

    def factor(self, graph: MatrixGraph) -> tuple[Float[Tensor, " e"], Float[Tensor, " n"]]:
        """The entries of Lᵀ off the diagonal, zero below it, and on the diagonal."""
        upper, diagonal = _classical(graph)
        edges, nodes = self.network(graph)
        off = upper * edges[:, 0].tanh().exp().to(upper)
        return off, diagonal * nodes[:, 0].tanh().exp().to(diagonal)

    @torch.no_grad()
    def bound(
        self, graph: MatrixGraph, off: Float[Tensor, " e"], on: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """`solvers.krylov.approximate_inverse.largest_eigenvalue` of Lᵀ for each matrix."""
        from ...solvers.krylov.approximate_inverse import MARGIN, POWERS, start

        x = torch.from_numpy(start(graph.size)).to(on).repeat(len(on) // graph.size)
        x = x * (graph.times(graph.values.abs(), torch.ones_like(x)) > 0)  # no padded rows
        for _ in range(POWERS):
            x = _normalised(x, graph.size)[0]
            x = graph.congruent(off, on, x)
        largest = _normalised(x, graph.size)[1]
        return MARGIN * torch.where(largest > 0, largest, 1).flatten().repeat_interleave(graph.size)


def _normalised(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """x of each matrix divided by its norm, and the norms."""
    norms = x.reshape(-1, size).norm(dim=1, keepdim=True)
    return (x.reshape(-1, size) / torch.where(norms > 0, norms, 1)).flatten(), norms


@torch.no_grad()
def _classical(graph: MatrixGraph) -> tuple[Float[Tensor, " e"], Float[Tensor, " n"]]:
    """The entries of Lᵀ of the classical factor in the order of the graph, and its diagonal."""
    import numpy as np
    import scipy.sparse

    from ...solvers.krylov.approximate_inverse import factored

    n = len(graph.scale)
    places = np.arange(n)
    rows = np.concatenate([graph.rows.numpy(), places])
    columns = np.concatenate([graph.columns.numpy(), places])
    entries = np.concatenate([graph.values.double().numpy(), np.ones(n)])
    scaled = scipy.sparse.coo_array((entries, (rows, columns)), shape=(n, n)).tocsr()
    scaled.sort_indices()
    transposed = factored(scaled).T.tocsr()
    keys = rows_of(transposed) * n + transposed.indices
    here = (graph.rows * n + graph.columns).numpy()
    found = np.minimum(np.searchsorted(keys, here), len(keys) - 1)
    upper = np.where(graph.rows.numpy() < graph.columns.numpy(), transposed.data[found], 0.0)
    like = graph.values
    return torch.from_numpy(upper).to(like), torch.from_numpy(transposed.diagonal()).to(like)


def rows_of(csr: "scipy.sparse.csr_array") -> Int[ndarray, " e"]:
    """The row of each entry."""
    import numpy as np

    return np.repeat(np.arange(csr.shape[0]), np.diff(csr.indptr))


def _largest(w: Tensor) -> Tensor:
    """max x (1 - w x)² for x in [0, 1]: at x = 1/(3w) or at x = 1."""
    inside = torch.where(w > 1 / 3, 4 / (27 * w.clamp(min=1 / 3)), 0)
    return torch.maximum(inside, (1 - w).square())
