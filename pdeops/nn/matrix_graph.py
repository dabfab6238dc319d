"""A network on the graph of a symmetric matrix: numbers on its edges and nodes."""
# Axes: e entries off the diagonal, n rows, f features, h hidden channels.

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

if TYPE_CHECKING:
    import scipy.sparse

log = logging.getLogger("pdeops")

_SMALLEST = 1e-6  # entries below this fraction of the diagonal count as this
_POWERS = 10
_FEW = 0.05  # fraction of rows unlike those in training that calls for a note
_MARGIN = 0.05  # by which inputs of nodes may leave the range of those in training


@dataclass(frozen=True)
class MatrixGraph:
    """The entries off the diagonal of Â = D^-1/2 A D^-1/2, D the diagonal of A.

    Several matrices are one graph without edges between them.

    Attributes:
        rows, columns: the places of the entries; both (i, j) and (j, i) are present.
        values: the entries, at most 1 in modulus.
        scale: the diagonal of D^-1/2; 1 for an empty row.
        bound: for each row, an upper bound of the largest eigenvalue of its matrix.
        size: number of rows of each matrix, padding included.
    """

    rows: Int[Tensor, " e"]
    columns: Int[Tensor, " e"]
    values: Float[Tensor, " e"]
    scale: Float[Tensor, " n"]
    bound: Float[Tensor, " n"]
    size: int

    @classmethod
    def of(
        cls,
        rows: Int[Tensor, "b e"],
        columns: Int[Tensor, "b e"],
        values: Float[Tensor, "b e"],
        size: int,
    ) -> "MatrixGraph":
        """The graph of b matrices with up to `size` rows each, from all their entries.

        An entry 0 on the diagonal is padding and is omitted.
        """
        number = len(rows)
        first = size * torch.arange(number, device=rows.device)[:, None]
        i, j, a = (rows + first).flatten(), (columns + first).flatten(), values.flatten()
        on = i == j
        d = a.new_zeros(number * size).index_add_(0, i[on], a[on])
        scale = torch.where(d > 0, d, 1).rsqrt()
        i, j, a = i[~on], j[~on], a[~on]
        a = a * scale[i] * scale[j]
        bound = spectral_bound(i, j, a, number, size)
        return cls(i, j, a, scale, bound.repeat_interleave(size), size)

    @classmethod
    def of_matrix(cls, scaled: "scipy.sparse.csr_array") -> "MatrixGraph":
        """The graph of one matrix with unit diagonal."""
        import numpy as np

        rows = np.repeat(np.arange(scaled.shape[0]), np.diff(scaled.indptr))
        parts = (rows, scaled.indices.astype("int64"), scaled.data)
        entries = [torch.from_numpy(part)[None] for part in parts]
        return cls.of(entries[0], entries[1], entries[2], scaled.shape[0])

    def times(self, weights: Float[Tensor, " e"], u: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Σ_j w_ij u_j."""
        return torch.zeros_like(u).index_add(0, self.rows, weights * u[self.columns])

    def transposed(
        self, weights: Float[Tensor, " e"], u: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Σ_j w_ji u_j."""
        return torch.zeros_like(u).index_add(0, self.columns, weights * u[self.rows])

    def congruent(
        self, off: Float[Tensor, " e"], on: Float[Tensor, " n"], u: Float[Tensor, " n"]
    ) -> Float[Tensor, " n"]:
        """Gᵀ Â G u for G with these entries off and on the diagonal."""
        t = on * u + self.times(off, u)
        w = t + self.times(self.values, t)
        return on * w + self.transposed(off, w)

    def norm_bound(self, off: Float[Tensor, " e"], on: Float[Tensor, " n"]) -> Float[Tensor, ""]:
        """An upper bound of |W| for one symmetric matrix W with these entries off and on the
        diagonal: the Collatz bound of |W| + s I, minus s, the mean sum of a row of |W|."""
        shift = ((off.abs().sum() + on.abs().sum()) / max(len(on), 1)).clamp(min=1e-30)
        diagonal = on.abs() + shift
        return spectral_bound(self.rows, self.columns, off, 1, self.size, diagonal)[0] - shift

    def transpose(self) -> Int[Tensor, " e"]:
        """For each entry (i, j) of one matrix, whose entries are in the order of rows and columns,
        the number of the entry (j, i)."""
        return (self.columns * self.size + self.rows).argsort()

    def matrix(self, off: Float[Tensor, " e"], on: Float[Tensor, " n"]) -> "scipy.sparse.csr_array":
        """The matrix with these entries off and on the diagonal, without zeros."""
        import scipy.sparse

        diagonal = torch.arange(len(on))
        places = (torch.cat([self.rows, diagonal]), torch.cat([self.columns, diagonal]))
        rows, columns = (x.numpy() for x in places)
        entries = torch.cat([off, on]).numpy()
        found = scipy.sparse.coo_array((entries, (rows, columns)), shape=(len(on),) * 2).tocsr()
        found.eliminate_zeros()
        return found

    def mean(self, u: Float[Tensor, " e"]) -> Float[Tensor, " n"]:
        """For each row, the mean of u over the entries of its matrix, weighted by |â_ij|; 0 for a
        matrix without entries."""
        place, weight = self.rows // self.size, self.values.abs()
        zero = u.new_zeros(len(self.scale) // self.size)
        total = zero.index_add(0, place, weight)
        means = zero.index_add(0, place, weight * u) / torch.where(total > 0, total, 1)
        return means.repeat_interleave(self.size)


def spectral_bound(
    i: Int[Tensor, " e"],
    j: Int[Tensor, " e"],
    a: Float[Tensor, " e"],
    number: int,
    size: int,
    on: Float[Tensor, " n"] | float = 1.0,
) -> Float[Tensor, " number"]:
    """max_i (|Â| x)_i / x_i for x after ten steps of the power method from 1: an upper bound of the
    largest eigenvalue of Â for every x > 0 (Collatz 1942, Wielandt 1950). `on` is the diagonal of
    |Â|, positive."""
    x, size_of = a.new_ones(number * size), a.abs()
    for _ in range(_POWERS):
        y = (on * x).index_add(0, i, size_of * x[j])
        ratio = (y / x).reshape(number, size).amax(1)
        x = y / ratio.repeat_interleave(size)
    return ratio


class GraphNetwork(nn.Module):
    """Entries of a matrix -> numbers on its edges (e, k) and nodes (n, k), zero if untrained.

    Inputs are |â_ij| and its logarithm on edges; on nodes Σ_j |â_ij|, Σ_j â_ij², max_j |â_ij|, the
    logarithm of the number of neighbours and the spectral bound. Each layer adds to the features of
    a node the sum over its neighbours of |â_ij| relu(U h_i + V h_j + W f_ij). The outputs are
    therefore equivariant to permutations of the unknowns, and invariant to diagonal scaling of A by
    factors of any sign.

    In training mode, `low` and `high` record the ranges of the inputs of nodes (`outside`).

    Args:
        hidden_channels: number of features of a node.
        n_layers: number of layers; the outputs of an edge depend on entries this far away.
        edge_outputs, node_outputs: number of outputs.
        edge_inputs, node_inputs: number of further inputs, which `forward` receives.

    Raises:
        ValueError: a number is below 1.
    """

    low: Tensor
    high: Tensor

    def __init__(
        self,
        hidden_channels: int,
        n_layers: int,
        *,
        edge_outputs: int = 1,
        node_outputs: int = 1,
        edge_inputs: int = 0,
        node_inputs: int = 0,
    ) -> None:
        super().__init__()
        if min(hidden_channels, n_layers) < 1:
            raise ValueError(
                f"hidden_channels and n_layers must be 1 or more; got {hidden_channels}, "
                f"{n_layers}."
            )
        width = hidden_channels
        self.lift = nn.Linear(5 + node_inputs, width)
        self.messages = nn.ModuleList(_Pair(width, 2 + edge_inputs) for _ in range(n_layers))
        self.updates = nn.ModuleList(nn.Linear(width, width) for _ in range(n_layers))
        self.last = _Pair(width, 2 + edge_inputs)
        self.edge_head = nn.Linear(width, edge_outputs)
        self.node_head = nn.Linear(width, node_outputs)
        for head in (self.edge_head, self.node_head):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)
        self.register_buffer("low", torch.full((5,), torch.inf))
        self.register_buffer("high", torch.full((5,), -torch.inf))

    def forward(
        self,
        graph: MatrixGraph,
        more_edges: Sequence[Float[Tensor, " e"]] = (),
        more_nodes: Sequence[Float[Tensor, " n"]] = (),
    ) -> tuple[Float[Tensor, "e f"], Float[Tensor, "n g"]]:
        size, nodes = self._features(graph)
        if self.training:
            self._remember(nodes.detach())
        extra = [x.to(size) for x in more_edges]
        edges = torch.stack([size, size.clamp(min=_SMALLEST).log() / 5 + 1, *extra], dim=1)
        nodes = torch.column_stack([nodes, *(x.to(size) for x in more_nodes)])
        h = F.relu(self.lift(nodes))
        for message, update in zip(self.messages, self.updates, strict=True):
            sent = size[:, None] * F.relu(message(h, edges, graph))
            received = torch.zeros_like(h).index_add(0, graph.rows, sent)
            h = h + F.relu(update(received))
        return self.edge_head(F.relu(self.last(h, edges, graph))), self.node_head(h)

    @torch.no_grad()
    def outside(self, graph: MatrixGraph) -> float:
        """The fraction of the nodes whose inputs are outside the range of those in training; 0 for
        a network that was not trained."""
        if not self.low.isfinite().all():
            return 0.0
        _, nodes = self._features(graph)
        margin = _MARGIN * (1 + self.high - self.low)
        far = (nodes < self.low - margin) | (nodes > self.high + margin)
        return far.any(1).double().mean().item()

    def note(self, graph: MatrixGraph) -> None:
        """Log a note if many rows of a matrix are unlike those in training."""
        if (far := self.outside(graph)) > _FEW:
            log.info(
                "%.0f %% of the rows are unlike those of the matrices in training (row sums, "
                "number of entries). M is valid; its quality there was not measured.",
                100 * far,
            )

    def _remember(self, nodes: Tensor) -> None:
        """Extend the ranges of the inputs by those of rows with entries."""
        nodes = nodes[nodes[:, 0] > 0]
        if len(nodes):
            self.low.copy_(torch.minimum(self.low, nodes.amin(0)))
            self.high.copy_(torch.maximum(self.high, nodes.amax(0)))

    def _features(self, graph: MatrixGraph) -> tuple[Float[Tensor, " e"], Float[Tensor, "n f"]]:
        """|â_ij| and the inputs of nodes, in the dtype of the weights."""
        weight = self.lift.weight
        size = graph.values.abs().to(weight)
        zero = size.new_zeros(len(graph.scale))
        sums = zero.index_add(0, graph.rows, size)
        squares = zero.index_add(0, graph.rows, size * size)
        largest = zero.scatter_reduce(0, graph.rows, size, "amax")
        degree = zero.index_add(0, graph.rows, torch.ones_like(size))
        nodes = (sums, squares, largest, (1 + degree).log() / 2, graph.bound.to(weight))
        return size, torch.stack(nodes, dim=1)


class _Pair(nn.Module):
    """U h_i + V h_j + W f_ij + b on each edge; U and V are applied to nodes."""

    def __init__(self, width: int, inputs: int) -> None:
        super().__init__()
        self.here, self.there = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.edge = nn.Linear(inputs, width, bias=False)

    def forward(self, h: Tensor, edges: Tensor, graph: MatrixGraph) -> Tensor:
        return self.here(h)[graph.rows] + self.there(h)[graph.columns] + self.edge(edges)
