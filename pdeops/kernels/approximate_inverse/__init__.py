"""Sparse approximate inverses: their values, classical or from a network, and products with M.

    M = S ((1 - ε) G p(Gᵀ Â G) Gᵀ + ε I) S,    Â = S A S,

S diagonal, G sparse, p the polynomial of the Chebyshev iteration on an interval: products only. All
matrices are CSR in numpy's arrays (starts, columns, values) with int32 indices, sorted columns and
a full diagonal. `cpu.py` computes M on a CPU, `layout.py` has the layout of its matrices,
`messages.py` a network that sets values of G; `reference.py` is the plain twin of all.
"""

from typing import Any

import numpy as np

from ..forms import ArrayForms
from .chebyshev import coefficients
from .limits import CHANNELS

__all__ = [
    "CHANNELS",
    "affine",
    "coefficients",
    "factored",
    "features",
    "has_symmetric_pattern",
    "inverse",
    "on_edges",
    "received",
    "renumbered",
    "spectral_bound",
    "squares",
    "triangle",
]

FORMS = ArrayForms(__name__)

Csr = tuple[np.ndarray, np.ndarray, np.ndarray]
Graph = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # starts, columns, |â_ij|, its log


@FORMS.or_twin
def factored(matrix: Csr, key: np.ndarray) -> np.ndarray:
    """The values of L ≈ C⁻¹, A = C Cᵀ: the factored sparse approximate inverse (Kolotilina &
    Yeremin 1993). L has the entries of A on the diagonal and those whose column comes before the
    row: whose key is smaller, or equal with a smaller number.

    Row i solves A_JJ y = e_i on its pattern J, and l_iJ = y / √y_i. L minimises |I - L C|_F up to
    the scaling of its rows, which makes the diagonal of L A Lᵀ one. A row of more than
    `limits.LONGEST` entries keeps its diagonal alone.

    Args:
        matrix: A.
        key: of each unknown.

    Returns:
        A value for each entry of A, 0 outside the pattern of L; NaN in a row whose matrix A_JJ is
        not positive definite.
    """
    from . import cpu

    values = np.empty(len(matrix[1]))
    cpu.factored(*matrix, key, values)
    return values


@FORMS.or_twin
def inverse(
    A: Csr,
    factor: tuple[Csr, Csr] | None,
    order: np.ndarray,
    scale: np.ndarray,
    epsilon: float,
    steps: np.ndarray,
) -> Any:
    """M with work arrays for one field; `run(b, x)` writes x = M b, and `largest(x, powers)`
    estimates the largest eigenvalue of Gᵀ Â G. It computes in the dtype of `scale`.

    Args:
        A: Â in the order of memory (`renumbered`).
        factor: G and Gᵀ in the order of memory, the same object twice if G is symmetric; None for
            G = I.
        order: the order of memory, new -> given.
        scale: the diagonal of S, in the order of memory.
        epsilon: ε.
        steps: `coefficients` of p; a single row for p = 1.
    """
    from . import cpu

    return cpu.Inverse(A, factor, order, scale, epsilon, steps)


@FORMS.or_twin
def spectral_bound(matrix: Csr) -> float:
    """max_i (|A| x)_i / x_i after ten steps of the power method from 1: an upper bound of the
    largest eigenvalue (Collatz 1942, Wielandt 1950)."""
    from . import cpu

    return float(cpu.spectral_bound(*matrix))


@FORMS.or_twin
def squares(matrix: Csr, scale: np.ndarray) -> np.ndarray:
    """Σ_j â_ij² of each row, Â = S A S, with the diagonal; `scale` is that of S."""
    from . import cpu

    out = np.empty(len(scale))
    cpu.squares(*matrix, scale, out)
    return out


@FORMS.or_twin
def renumbered(matrix: Csr, key: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, Csr]:
    """The order of memory, new -> given, and Â = S A S in it.

    Products are fast in this order (`layout.py`): the unknowns are numbered breadth first, and rows
    are sorted by their number of entries within windows.

    Args:
        matrix: A, with a symmetric pattern.
        key: of each unknown (`factored`), because the rows of triangular factors are to be sorted.
        scale: the diagonal of S.
    """
    from . import cpu, layout

    starts, columns, values = matrix
    before, after = np.empty((2, len(scale)), np.int32)
    cpu.lengths(starts, columns, key, before, after)
    order = layout.order_of(starts, columns, before, after)
    result = np.empty_like(starts), np.empty_like(columns), np.empty_like(values)
    layout.renumbered(*matrix, order, scale[order], *result)
    return order, result


@FORMS.or_twin
def triangle(matrix: Csr, key: np.ndarray) -> Csr:
    """The matrix of the entries on the diagonal and those whose column comes before the row."""
    from . import cpu

    starts, columns, values = (np.empty_like(part) for part in matrix)
    end = cpu.triangle(*matrix, key, starts, columns, values)
    return starts, columns[:end], values[:end]


@FORMS.or_twin
def has_symmetric_pattern(starts: np.ndarray, columns: np.ndarray) -> bool:
    """Whether (j, i) is an entry where (i, j) is one, for sorted columns."""
    from . import layout

    return bool(layout.has_symmetric_pattern(starts, columns))


@FORMS.or_twin
def features(starts: np.ndarray, columns: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Σ_j |â_ij|, Σ_j â_ij², max_j |â_ij| and the number of entries (n, 4), off the diagonal.

    Args:
        size: |â_ij| in single precision, 0 on the diagonal.
    """
    from . import messages

    out = np.empty((len(starts) - 1, 4), np.float32)
    messages.features(starts, columns, size, out)
    return out


@FORMS.or_twin
def affine(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """x W + b in single precision; channels of x beyond the rows of W are ignored. W has a multiple
    of CHANNELS columns."""
    from . import messages

    y = np.empty((len(x), len(bias)), np.float32)
    messages.affine(x, weight, bias, y)
    return y


@FORMS.or_twin
def received(graph: Graph, here: np.ndarray, there: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """Σ_j |â_ij| relu(here_i + there_j + edge_0 |â_ij| + edge_1 log|â_ij|) for each row.

    Args:
        graph: |â_ij| is 0 on the diagonal.
        here, there: (n, h) in single precision, h a multiple of CHANNELS.
        edge: (2, h).
    """
    from . import messages

    total = np.empty_like(here)
    messages.received(*graph, here, there, edge, total)
    return total


@FORMS.or_twin
def on_edges(
    graph: Graph,
    here: np.ndarray,
    there: np.ndarray,
    edge: np.ndarray,
    head: np.ndarray,
    key: np.ndarray,
) -> np.ndarray:
    """Σ_k head_k relu(here_i + there_j + edge_0 |â_ij| + edge_1 log|â_ij|)_k for each entry whose
    column comes before its row (`factored`); 0 for the others. Arguments are as for `received`."""
    from . import messages

    out = np.empty_like(graph[2])
    messages.on_edges(*graph, here, there, edge, head, key, out)
    return out
