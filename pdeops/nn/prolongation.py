"""Values of a prolongation of smoothed aggregation, which keep the near-null space."""
# Axes: e entries off the diagonal, n unknowns, m coarse unknowns, k near-null vectors, p entries.

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray
from torch import Tensor

from .matrix_graph import MatrixGraph

if TYPE_CHECKING:
    import scipy.sparse


@dataclass(frozen=True)
class Pattern:
    """The pattern of P_0 = (I - ω A) T, and the near-null vectors.

    Attributes:
        rows, columns: the places of the entries, row by row.
        shape: (n, m).
        T: the value of T at each place.
        edge, place, there: for each pair of an entry a_ij off the diagonal and an entry t_jJ, the
            number of a_ij, the number of the entry (i, J), and t_jJ.
        B, coarse: the near-null vectors of this level and of the next.
        aggregate: the aggregate of each unknown; -1 for none.
    """

    rows: Int[Tensor, " p"]
    columns: Int[Tensor, " p"]
    shape: tuple[int, int]
    T: Float[Tensor, " p"]
    edge: Int[Tensor, " q"]
    place: Int[Tensor, " q"]
    there: Float[Tensor, " q"]
    B: Float[Tensor, "n k"]
    coarse: Float[Tensor, "m k"]
    aggregate: Int[Tensor, " n"]

    @classmethod
    def of(
        cls,
        A: "scipy.sparse.csr_array",
        T: "scipy.sparse.csr_array",
        B: Float[ndarray, "n k"],
        coarse: Float[ndarray, "m k"],
    ) -> "Pattern":
        """The pattern for the aggregates of a level (`solvers.multigrid.aggregation.Aggregates`);
        A has sorted columns and a full diagonal."""
        n, m = T.shape
        rows = np.repeat(np.arange(n), np.diff(A.indptr))
        off = rows != A.indices
        i, j = rows[off], A.indices[off].astype(np.int64)
        count = np.diff(T.indptr)
        edge = np.repeat(np.arange(len(i)), count[j])
        start = np.repeat(T.indptr[j] - np.concatenate([[0], count[j].cumsum()[:-1]]), count[j])
        entry = start + np.arange(len(edge))
        key = i[edge] * m + T.indices[entry]
        diagonal = np.repeat(np.arange(n), count) * m + T.indices
        keys, where = np.unique(np.concatenate([diagonal, key]), return_inverse=True)
        tentative = np.zeros(len(keys))
        tentative[where[: len(diagonal)]] = T.data
        k = max(B.shape[1], 1)
        aggregate = np.full(n, -1)
        aggregate[count > 0] = T.indices[T.indptr[:-1][count > 0]] // k
        arrays = keys // m, keys % m, tentative, edge, where[len(diagonal) :], T.data[entry]
        r, c, t, e, p, there = (torch.from_numpy(x) for x in arrays)
        near, below = (torch.from_numpy(np.ascontiguousarray(x)) for x in (B, coarse))
        return cls(r, c, (n, m), t, e, p, there, near, below, torch.from_numpy(aggregate))

    def values(
        self, graph: MatrixGraph, y: Float[Tensor, " e"], omega: Float[Tensor, ""]
    ) -> Float[Tensor, " p"]:
        """The entries of P_0 + Π U, U = -ω (Y ∘ A_off) T."""

        def smoothed(weights: Tensor) -> Tensor:
            pairs = weights[self.edge] * self.there
            return -omega * torch.zeros_like(self.T).index_add(0, self.place, pairs)

        classical = (1 - omega) * self.T + smoothed(graph.values)
        return classical + self.kept(smoothed(y * graph.values), classical)

    def kept(self, U: Float[Tensor, " p"], size: Float[Tensor, " p"]) -> Float[Tensor, " p"]:
        """Π U = U - Ω (U B_c) G⁺ B_cᵀ on the pattern, G = B_cᵀ Ω B_c row by row and Ω = |size|: the
        change of U, least in the norm of Ω⁻¹, with (Π U) B_c = 0."""
        near = self.coarse[self.columns]
        weight = size.detach().abs()
        weight = weight + 1e-3 * weight.max() if len(weight) else weight
        n, k = self.B.shape
        moments = self._per_row(U[:, None] * near)
        if k == 1:
            G = self._per_row(weight[:, None] * near * near)
            multiplier = moments / torch.where(G > 0, G, 1)
        else:
            outer = (weight[:, None, None] * near[:, :, None] * near[:, None, :]).flatten(1)
            G = self._per_row(outer).reshape(n, k, k)
            multiplier = (torch.linalg.pinv(G, hermitian=True) @ moments[..., None])[..., 0]
        return U - weight * (near * multiplier[self.rows]).sum(1)

    def _per_row(self, u: Float[Tensor, "p f"]) -> Float[Tensor, "n f"]:
        return u.new_zeros(self.shape[0], u.shape[1]).index_add(0, self.rows, u)

    def features(self, graph: MatrixGraph) -> tuple[list[Tensor], list[Tensor]]:
        """Further inputs of a network.

        On edges: whether both ends are in one aggregate, and a_ij with the sign of b_i · b_j. On
        nodes: the fraction of Σ|a_ij| within the aggregate, and |(A B)_i| / Σ_j |a_ij| |b_j|.
        """
        i, j, a = graph.rows, graph.columns, graph.values.detach()
        same = ((self.aggregate[i] == self.aggregate[j]) & (self.aggregate[i] >= 0)).to(a)
        B = self.B.detach()
        signed = a * (B[i] * B[j]).sum(1).sign()
        one = torch.ones_like(graph.scale)
        total, inside = (graph.times(w, one) for w in (a.abs(), a.abs() * same))
        image = B + torch.zeros_like(B).index_add(0, i, a[:, None] * B[j])
        length = B.norm(dim=1)
        around = length + graph.times(a.abs(), length)
        balance = image.norm(dim=1) / torch.where(around > 0, around, 1)
        return [same, signed], [inside / torch.where(total > 0, total, 1), balance]

    def matrix(self, values: Float[Tensor, " p"]) -> "scipy.sparse.csr_array":
        """P with these entries."""
        import scipy.sparse

        places = (self.rows.numpy(), self.columns.numpy())
        return scipy.sparse.coo_array((values.numpy(), places), shape=self.shape).tocsr()
