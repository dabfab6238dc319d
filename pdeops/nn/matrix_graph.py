"""A network on the graph of a symmetric matrix: numbers on its edges and nodes."""
# Axes: e entries off the diagonal, n rows, f features, h hidden channels.

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from numpy import ndarray
from torch import Tensor, nn

from ..kernels import approximate_inverse as kernel

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
        """L Â Lᵀ u for L with these entries off and on the diagonal."""
        t = on * u + self.transposed(off, u)
        w = t + self.times(self.values, t)
        return on * w + self.times(off, w)

    @property
    def key(self) -> Float[Tensor, " n"]:
        """Σ_j â_ij², with the diagonal."""
        return torch.ones_like(self.scale).index_add(0, self.rows, self.values.square())

    @property
    def before(self) -> Bool[Tensor, " e"]:
        """Whether the column of an entry comes before its row: its key is smaller, or equal with a
        smaller number."""
        key = self.key
        i, j = key[self.rows], key[self.columns]
        return (j < i) | ((j == i) & (self.columns < self.rows))

    def mean(self, u: Float[Tensor, " e"]) -> Float[Tensor, " n"]:
        """For each row, the mean of u over the entries of its matrix, weighted by |â_ij|; 0 for a
        matrix without entries."""
        place, weight = self.rows // self.size, self.values.abs()
        zero = u.new_zeros(len(self.scale) // self.size)
        total = zero.index_add(0, place, weight)
        means = zero.index_add(0, place, weight * u) / torch.where(total > 0, total, 1)
        return means.repeat_interleave(self.size)

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
        """The matrix with these entries off and on the diagonal."""
        import scipy.sparse

        diagonal = torch.arange(len(on))
        places = (torch.cat([self.rows, diagonal]), torch.cat([self.columns, diagonal]))
        rows, columns = (x.numpy() for x in places)
        entries = torch.cat([off, on]).numpy()
        return scipy.sparse.coo_array((entries, (rows, columns)), shape=(len(on),) * 2).tocsr()


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
        return self._outside(self._features(graph)[1].numpy())

    def _outside(self, nodes: Float[ndarray, "n f"]) -> float:
        low, high = self.low.numpy(), self.high.numpy()
        if not np.isfinite(low).all():
            return 0.0
        margin = _MARGIN * (1 + high - low)
        far = (nodes < low - margin) | (nodes > high + margin)
        return float(far.any(1).mean())

    def note(self, far: float) -> None:
        """Log that this fraction of the rows (`outside`) is unlike those in training, if it is
        large."""
        if far > _FEW:
            log.info(
                "%.0f %% of the rows are unlike those of the matrices in training (row sums, "
                "number of entries). M is valid; its quality there was not measured.",
                100 * far,
            )

    @torch.no_grad()
    def compiled(
        self,
        starts: Int[ndarray, " m"],
        columns: Int[ndarray, " e"],
        values: Float[ndarray, " e"],
        key: Float[ndarray, " n"],
        bound: float,
    ) -> tuple[Float[ndarray, " e"], Float[ndarray, " n"], float]:
        """The first output of edges and of nodes, and `outside`, in compiled loops.

        Edges whose column does not come before their row have the output 0.

        Args:
            starts, columns, values: Â in CSR, with its unit diagonal.
            key, bound: as in `MatrixGraph`, for the whole matrix.

        Raises:
            ValueError: the network has further inputs, which only `forward` takes.
        """
        further = self.lift.in_features - 5, self.last.edge.in_features - 2
        if any(further):
            raise ValueError(
                f"The compiled form has no further inputs; this network has {further[0]} on nodes "
                f"and {further[1]} on edges. Use forward."
            )
        size = np.abs(values).astype(np.float32)
        rows = np.repeat(np.arange(len(key), dtype=np.int32), np.diff(starts))
        size[rows == columns] = 0
        logs = np.log(np.maximum(size, np.float32(_SMALLEST))) / np.float32(5) + np.float32(1)
        nodes = np.empty((len(key), 5), np.float32)
        nodes[:, :4], nodes[:, 4] = kernel.features(starts, columns, size), bound
        nodes[:, 3] = np.log(1 + nodes[:, 3]) / 2
        graph = starts, columns, size, logs
        h = np.maximum(_affine(self.lift, nodes), 0)
        for message, update in zip(self.messages, self.updates, strict=True):
            h += np.maximum(_affine(update, kernel.received(graph, *_pair(message, h))), 0)
        head = _padded(self.edge_head.weight[0])
        edges = kernel.on_edges(graph, *_pair(self.last, h), head, key)
        edges += self.edge_head.bias.item()
        return edges, _affine(self.node_head, h)[:, 0], self._outside(nodes)

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


def _affine(layer: Any, x: Float[ndarray, "n f"]) -> Float[ndarray, "n h"]:
    """The linear layer in compiled loops; its channels are padded to whole vectors by zeros, and
    further channels of x are ignored."""
    weight = _padded(layer.weight)
    bias = np.zeros(len(weight), np.float32)
    if layer.bias is not None:
        bias[:] = _padded(layer.bias)
    return kernel.affine(x, np.ascontiguousarray(weight.T), bias)


def _pair(pair: Any, h: Float[ndarray, "n h"]) -> tuple[ndarray, ndarray, ndarray]:
    """U h + b, V h and Wᵀ of a `_Pair`."""
    edge = np.ascontiguousarray(_padded(pair.edge.weight).T)
    return _affine(pair.here, h), _affine(pair.there, h), edge


def _padded(weight: Tensor) -> Float[ndarray, "h ..."]:
    """The weights in single precision, with zeros behind the first axis up to a multiple of
    `kernel.CHANNELS`."""
    array = weight.detach().numpy().astype(np.float32)
    padding = -len(array) % kernel.CHANNELS
    return np.pad(array, [(0, padding), *[(0, 0)] * (array.ndim - 1)]) if padding else array
