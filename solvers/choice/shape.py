"""The dimension of the mesh behind a sparse matrix, and the cost of its solvers."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy import ndarray

if TYPE_CHECKING:
    import scipy.sparse

    from ..operators.diffusion import Diffusion

SMALL = 500  # rows below which every solver takes milliseconds


def dimension(csr: "scipy.sparse.csr_array") -> float:
    """d, if the number of rows within r edges of a row grows as r^d.

    Measured around rows in the middle, as far from one end of the mesh as from the other, between
    the r with an eighth and that with a quarter of the rows, so that sides are not met; where there
    are several such rows, the largest of three results counts, since sides make it smaller. A line
    has 1, a mesh in the plane 2, one in space 3. It is that of the component of the first row, and
    2 for a small matrix.
    """
    from ...kernels.amg import arrays_of, within

    if csr.shape[0] < SMALL:
        return 2.0
    arrays = arrays_of(csr)
    queue, _ = within(arrays, 0)
    farther = np.zeros(csr.shape[0], dtype=np.int64)  # the distance from the farther end
    for _ in range(2):
        queue, counts = within(arrays, queue[-1])
        steps = np.diff(counts, prepend=0)
        farther[queue] = np.maximum(farther[queue], np.repeat(np.arange(len(counts)), steps))
    if len(queue) < SMALL:
        return 2.0
    distances = farther[queue]
    middle = queue[distances == distances.min()]
    picked = {len(middle) // 4, len(middle) // 2, 3 * len(middle) // 4}
    return max(_growth(within(arrays, middle[k])[1] / len(queue)) for k in picked)


def couplings_per_node(A: "Diffusion | None") -> float:
    """Number of couplings per unknown and axis; 1 for a full box, and without an operator."""
    if A is None or A.regions.labels is None:
        return 1.0
    nodes = int((A.regions.labels >= 0).sum())
    inside = (f.narrow(axis, 1, f.shape[axis] - 1) for axis, f in enumerate(A.faces))
    return sum(int(f.count_nonzero()) for f in inside) / max(1, nodes * A.grid.ndim)


def _growth(share: ndarray) -> float:
    """The exponent d of the shares of all rows within 0, 1, 2, ... edges."""
    outer = int(np.searchsorted(share, 0.25, "right")) - 1
    inner = (outer + 1) // 2
    if inner < 1 or outer <= inner:
        return 3.0  # few steps lead everywhere
    # (r + 1/2)^d: a ball of r edges ends half an edge farther.
    return math.log(share[outer] / share[inner]) / math.log((outer + 0.5) / (inner + 0.5))


@dataclass(frozen=True)
class Cost:
    """Seconds of set-up and of one solve to 1e-10, on one core; good to a factor of two."""

    setup: float
    solve: float

    def total(self, num_rhs: int) -> float:
        """Seconds of a set-up and `num_rhs` solves."""
        return self.setup + num_rhs * self.solve


def sparse_direct(n: int, nnz: int, d: float) -> Cost:
    """Of SuperLU in the minimum-degree order of A.

    In the plane the factor has O(n log n) entries and takes O(n^1.5) operations, in space
    O(n^(4/3)) and O(n²) (George 1973). Measured: 0.022 s for 1e4 and 1.9 s for 2e5 rows of P1
    elements in the plane, 1.9 s for 30³ in space.
    """
    factor = 1.7 * n * math.log2(n + 1) + nnz
    setup = 0.13e-6 * n * math.log2(n + 1) + 12e-9 * n**1.5
    if d > 1.4:
        # Between a plane and a body: plates, thin shells. `dimension` gives up to 2.1 in the plane.
        space = min(max((d - 2.1) / 0.9, 0.0), 1.0)
        setup += space * 2.5e-9 * n * nnz / 7
        factor += space * 1.5 * n ** (4 / 3)
    else:
        setup, factor = 0.5e-6 * nnz, 2.0 * nnz  # bands
    return Cost(setup, 4e-9 * factor)


def algebraic_multigrid(nnz: int) -> Cost:
    """Of our set-up and 15 iterations with our cycle."""
    return Cost(1e-3 + 0.19e-6 * nnz, 0.5e-3 + 0.21e-6 * nnz)


def smoothed_aggregation(nnz: int, block: int, num_modes: int) -> Cost:
    """Of PyAMG's set-up and our cycle, for a system of `block` unknowns per node.

    A coarse node has as many unknowns as there are near-null vectors: `num_modes`, or 0 where none
    are given and each unknown of a node has its constants. CG then takes twice as many iterations.
    Measured for elasticity in the plane and in space: 0.5 s and 0.2 s for 1.5e6 entries with 3
    modes, 0.7 s and 0.14 s for 1.1e6 entries with 6.
    """
    width = num_modes or block
    setup = 10e-3 + (0.2e-6 + 0.06e-6 * width) * nnz
    return Cost(setup, 2e-3 + (0.15e-6 if num_modes else 0.3e-6) * nnz)
