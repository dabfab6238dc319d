"""Smoothed aggregation whose smoothers and prolongations a graph network sets."""
# Axes: b systems, e entries off the diagonal, n unknowns, m coarse unknowns, k near-null vectors.

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...kernels.runtime.threads import one_thread
from ...nn.matrix_graph import GraphNetwork, MatrixGraph
from ...nn.prolongation import Pattern

if TYPE_CHECKING:
    from scipy.sparse import csr_array as Csr

    from ...linop import LinearOperator
    from ...solvers.multigrid.aggregation import Aggregates, AggregationCycle

_ROOM = 0.95  # of the distance to the limits of a convergent smoother that Δ may take
_REACH = 2.0  # largest modulus of the change of a coupling in P, relative to the coupling


class LearnedAggregation(nn.Module):
    """A -> M ≈ A⁻¹ for any sparse symmetric positive definite A: a V(1,1) cycle of smoothed
    aggregation (`solvers/multigrid/aggregation.py`) with learned smoothers S and prolongations P.

    On each level A has unit diagonal, and c is the Collatz bound of its eigenvalues.

        c S = α (I - ρ A / c) + Δ,    P = P_0 + Π U,    P_0 = (I - (4/3c) A) T,

    T is the tentative prolongation; Δ has the pattern of A and U that of P_0:

        δ_ij = -z_ij a_ij,  δ_ii = v_i,    U = -(4/3c) (Y ∘ A_off) T.

    A graph network, the same on all levels, sets α, ρ of a level, symmetric z, v, and y in (-2, 2)
    from the entries of A and the aggregates. Δ is scaled so that |Δ| <= 0.95 min(2 - λ,
    α (1 - max(ρ, 0))), where λ = α max x (1 - ρ x) on [0, 1] is below 2: S is then positive
    definite and the eigenvalues of S A are below 2, so that M is symmetric and positive definite
    for all weights. Π removes from each row the component of U that changes the interpolation of
    the near-null space B = T B_c: (Π U) B_c = 0 (`nn/prolongation.py`).

    The untrained network gives classical smoothed aggregation with Jacobi as smoother (α = 4/3,
    ρ = 0, Δ = 0, U = 0). Given the aggregates, M is equivariant to permutations of the unknowns
    and, with B, to diagonal scaling of A. The network is inspired by Luz et al. (2020), who learn
    the values of P.

    Args:
        ndim: number of axes of a field; 1, because unknowns are a vector.
        hidden_channels, n_layers: width and number of layers of the network.
        theta: a coupling is strong if |a_ij| >= theta √(a_ii a_jj).

    Raises:
        ValueError: ndim is not 1, a number is below 1, or theta is not in [0, 1).
    """

    for_matrices = True  # `on` takes any sparse matrix, not only stencils on a grid

    def __init__(
        self, ndim: int = 1, *, hidden_channels: int = 12, n_layers: int = 2, theta: float = 0.08
    ) -> None:
        super().__init__()
        if ndim != 1:
            raise ValueError(f"LearnedAggregation acts on vectors of unknowns; got ndim = {ndim}.")
        if not 0 <= theta < 1:
            raise ValueError(f"theta must be in [0, 1); got {theta}.")
        self.ndim, self.theta = ndim, theta
        self.arguments: dict[str, Any] = {
            "hidden_channels": hidden_channels,
            "n_layers": n_layers,
            "theta": theta,
        }
        self.network = GraphNetwork(
            hidden_channels, n_layers, edge_outputs=4, edge_inputs=2, node_inputs=2
        )

    def forward(self, r: Float[Tensor, "b 1 n"], operator: Sequence[Tensor]) -> Tensor:
        return self.at(operator)(r)

    def smoother(
        self, graph: MatrixGraph, edges: Float[Tensor, "e 4"], v: Float[Tensor, " n"]
    ) -> tuple[Float[Tensor, " e"], Float[Tensor, " n"]]:
        """The entries of S off the diagonal and on it."""
        c = graph.bound[0]
        largest = 2 * (math.log(2) + graph.mean(edges[:, 2])[0]).sigmoid()
        rho = 0.95 * graph.mean(edges[:, 3])[0].tanh()
        alpha = largest / torch.where(rho > 0.5, 0.25 / rho.clamp(min=0.5), 1 - rho)
        z = (edges[:, 0] + edges[graph.transpose(), 0]) / 2
        off = -z * graph.values
        room = _ROOM * torch.minimum(2 - largest, alpha * (1 - rho.clamp(min=0)))
        scale = (room / graph.norm_bound(off.detach(), v.detach()).clamp(min=1e-30)).clamp(max=1)
        off = scale * off - alpha * rho * graph.values / c
        on = scale * v + alpha * (1 - rho / c)
        return off / c, on / c

    def level(
        self, graph: MatrixGraph, pattern: Pattern
    ) -> tuple[Float[Tensor, " e"], Float[Tensor, " n"], Float[Tensor, " p"]]:
        """The entries of S off the diagonal and on it, and those of P on its pattern."""
        from ...solvers.multigrid.aggregation import DAMPING

        edges, nodes = self.network(graph, *pattern.features(graph))
        edges, v = edges.to(graph.values), nodes[:, 0].to(graph.values)
        y = _REACH * (edges[:, 1] / _REACH).tanh()
        omega = DAMPING / graph.bound[0]
        return *self.smoother(graph, edges, v), pattern.values(graph, y, omega)

    def at(self, operator: Sequence[Tensor]) -> Callable[[Tensor], Tensor]:
        """The map r -> M r for the systems of a batch of `datasets.systems.MatrixSystems`: rows,
        columns and values (b, e). It is differentiable in the weights; matrices are dense."""
        cycles = [self._dense(*system) for system in zip(*operator, strict=True)]

        def correction(r: Tensor) -> Tensor:
            images = []
            for (cycle, scale), b in zip(cycles, r.flatten(1), strict=True):
                n = len(scale)
                x = scale * cycle(scale * b[:n].to(scale))
                images.append(torch.cat([x, x.new_zeros(b.numel() - n)]))
            return torch.stack(images).to(r).reshape(r.shape)

        return correction

    def _dense(
        self, rows: Tensor, columns: Tensor, values: Tensor
    ) -> tuple[Callable[[Tensor], Tensor], Tensor]:
        """The cycle of one matrix, and the scaling to unit diagonal."""
        import scipy.sparse

        from ...solvers.multigrid.aggregation import constants, unknowns_per_node

        n = int(rows.max()) + 1
        A = values.new_zeros(n, n).index_put((rows, columns), values, accumulate=True)
        block = unknowns_per_node(scipy.sparse.csr_array(A.numpy()))
        scale = A.diagonal().rsqrt()
        B = torch.from_numpy(constants(n, block)).to(scale) / scale[:, None]
        return self._dense_cycle(A * scale[:, None] * scale, B, block), scale

    def _dense_cycle(
        self, A: Float[Tensor, "n n"], B: Float[Tensor, "n k"], block: int
    ) -> Callable[[Tensor], Tensor]:
        """The cycle on a matrix with unit diagonal."""
        import scipy.sparse

        from ...solvers.multigrid.aggregation import COARSEST, Aggregates

        if len(A) <= COARSEST:
            factor = torch.linalg.cholesky(A)
            return lambda b: torch.cholesky_solve(b[:, None], factor)[:, 0]
        found = Aggregates.of(
            scipy.sparse.csr_array(A.detach().numpy()),
            B.detach().numpy(),
            block,
            self.theta if block == 1 else 0.0,
        )
        rows, columns = A.detach().nonzero(as_tuple=True)
        graph = MatrixGraph.of(rows[None], columns[None], A[rows, columns][None], len(A))
        pattern = Pattern.of(found.A, found.T, found.B, found.coarse)
        off, on, p = self.level(graph, pattern)
        S = torch.diag(on).index_put((graph.rows, graph.columns), off)
        P = A.new_zeros(len(A), found.T.shape[1]).index_put((pattern.rows, pattern.columns), p)
        product = P.T @ (A @ P)
        product = (product + product.T) / 2
        product = product + torch.diag((product.diagonal() <= 0).to(product))
        s = product.diagonal().rsqrt()
        P = P * s
        below = pattern.coarse / s.detach()[:, None]
        coarse = self._dense_cycle(product * s[:, None] * s, below, B.shape[1])

        def cycle(b: Tensor) -> Tensor:
            x = S @ b
            x = x + P @ coarse(P.T @ (b - A @ x))
            return x + S @ (b - A @ x)

        return cycle

    @torch.no_grad()
    def values(self, found: "Aggregates") -> "tuple[Csr, Csr]":
        """S and P of a level."""
        graph = MatrixGraph.of_matrix(found.A)
        pattern = Pattern.of(found.A, found.T, found.B, found.coarse)
        off, on, p = self.level(graph, pattern)
        S = graph.matrix(off, on)
        S.eliminate_zeros()  # untrained, S is diagonal
        return S, pattern.matrix(p)

    def on(
        self, A: "LinearOperator", *, near_nullspace: Any = None, block: int | None = None
    ) -> "AggregationCycle":
        """M for one matrix; arguments and errors are those of `AggregationCycle`. The set-up uses
        one thread."""
        from ...solvers.multigrid.aggregation import AggregationCycle

        with one_thread():
            M = AggregationCycle(
                A, self.values, near_nullspace=near_nullspace, block=block, theta=self.theta
            )
            graph = MatrixGraph.of_matrix(M.matrix)
        self.network.note(self.network.outside(graph))
        return M
