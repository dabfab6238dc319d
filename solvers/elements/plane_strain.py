"""Linear elasticity in plane strain by finite elements."""
# Axes: d coordinates and components, n nodes, e elements, q points of quadrature.

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy import ndarray

from ..direct.sparse import solve_sparse
from ..operators.matrix import Matrix
from ..result import SolveResult
from .ring_mesh import RingMesh
from .tables import Table, gradients, on_edge, reference

if TYPE_CHECKING:
    import scipy.sparse

# Positions (2, m) and outward unit normals (2, m) -> tractions (2, m).
Traction = Callable[[ndarray, ndarray], ndarray]


@dataclass(frozen=True)
class Material:
    """An isotropic linear elastic material in plane strain, ε_xz = ε_yz = ε_zz = 0:

        σ = 2μ ε + λ tr(ε) I,    μ = E / (2 (1 + ν)),    λ = E ν / ((1 + ν) (1 - 2ν)),
        σ_zz = λ tr(ε) = ν (σ_xx + σ_yy).

    Attributes:
        young: E > 0.
        poisson: ν in (-1, 1/2). Close to 1/2 the elements lock; use at most 0.45.
    """

    young: float = 1.0
    poisson: float = 0.3

    def __post_init__(self) -> None:
        if not (self.young > 0 and -1 < self.poisson < 0.5):
            raise ValueError(
                f"An elastic material needs young > 0 and poisson in (-1, 0.5); got {self.young} "
                f"and {self.poisson}."
            )

    @property
    def stiffness(self) -> Float[ndarray, "3 3"]:
        """D with (σ_xx, σ_yy, σ_xy) = D (ε_xx, ε_yy, 2 ε_xy)."""
        mu = self.young / (2 * (1 + self.poisson))
        lam = self.young * self.poisson / ((1 + self.poisson) * (1 - 2 * self.poisson))
        return np.array([[lam + 2 * mu, lam, 0], [lam, lam + 2 * mu, 0], [0, 0, mu]])

    def von_mises(self, stress: Float[ndarray, "3 *m"]) -> Float[ndarray, "*m"]:
        """√(3/2 s : s), s the deviator of the stress (σ_xx, σ_yy, σ_xy) with its σ_zz."""
        xx, yy, xy = stress
        zz = self.poisson * (xx + yy)
        squares = (xx - yy) ** 2 + (yy - zz) ** 2 + (zz - xx) ** 2
        return np.sqrt(squares / 2 + 3 * xy**2)


@dataclass
class PlaneStrain:
    """Displacement u with -div σ(u) = 0 on a mesh, by isoparametric elements of its order:

        ∫ ε(v) : σ(u) = ∫_Γ v · t    for all v that vanish where u is given,

    with tractions σ n = t on parts of the boundary, zero by default. Unknown 2 k + i is component
    i of node k.

    Attributes:
        mesh: the mesh.
        material: the material.
        load: the right-hand side.
    """

    mesh: RingMesh
    material: Material = field(default_factory=Material)

    def __post_init__(self) -> None:
        self.load: Float[ndarray, " k"] = np.zeros(2 * self.mesh.nodes.shape[1])

    def matrix(self) -> "scipy.sparse.csr_array":
        """The stiffness matrix, without boundary conditions: A_kl = ∫ ε(φ_k) : σ(φ_l)."""
        import scipy.sparse

        table = reference(self.mesh.order)
        slopes, det = gradients(self.mesh, table)
        B = strain_matrices(slopes)
        D = self.material.stiffness
        weighted = (D @ B) * (det * table.weights)[..., None, None]
        e, q, _, k = B.shape
        # One product of matrices per element, over all points and strains.
        local = B.reshape(e, 3 * q, k).transpose(0, 2, 1) @ weighted.reshape(e, 3 * q, k)
        pattern = _pattern(self.mesh.shape, self.mesh.order)
        data = np.bincount(pattern.places, local.ravel(), minlength=len(pattern.indices))
        size = len(self.load)
        return scipy.sparse.csr_array((data, pattern.indices, pattern.indptr), shape=(size, size))

    def add_traction(self, nodes: Int[ndarray, " k"], traction: Traction) -> None:
        """Add tractions on a part of the boundary to the load.

        Args:
            nodes: those along it, with the mesh to their left, as `RingMesh.side` returns them.
            traction: positions and outward normals -> tractions.
        """
        p = self.mesh.order
        table = on_edge(p)
        edges = nodes[p * np.arange((len(nodes) - 1) // p)[:, None] + np.arange(p + 1)]
        corners = self.mesh.nodes[:, edges]
        x = np.einsum("dea,qa->deq", corners, table.values)
        along = np.einsum("dea,qa->deq", corners, table.slopes[..., 0])
        length = np.linalg.norm(along, axis=0)
        normal = np.stack([along[1], -along[0]]) / length
        t = traction(x.reshape(2, -1), normal.reshape(2, -1)).reshape(x.shape)
        each = np.einsum("deq,eq,q,qa->ead", t, length, table.weights, table.values)
        np.add.at(self.load.reshape(-1, 2), edges, each)

    def solve(
        self,
        nodes: Int[ndarray, " k"],
        values: Float[ndarray, "d k"] | float = 0.0,
        rtol: float = 1e-10,
    ) -> SolveResult:
        """The displacement (2, n), with the given values at the given nodes, by sparse LU.

        The residual of the result is that of the equations of the other nodes.
        """
        A, fixed = self.matrix(), np.zeros(len(self.load), bool)
        fixed.reshape(-1, 2)[nodes] = True
        u = np.zeros(len(self.load))
        u.reshape(-1, 2)[nodes] = np.transpose(values)
        free = np.flatnonzero(~fixed)
        b = (self.load - A @ u)[free]
        inner = Matrix(A[free][:, free], positive_definite=True, symmetric=True)
        result = solve_sparse(inner, torch.from_numpy(b), rtol=rtol)
        u[free] = result.x.numpy()
        result.x = torch.from_numpy(u.reshape(-1, 2).T.copy())
        return result

    def stresses(self, u: Float[ndarray, "d n"], table: Table) -> Float[ndarray, "3 e q"]:
        """(σ_xx, σ_yy, σ_xy) of a displacement at the points of a table of the elements."""
        B = strain_matrices(gradients(self.mesh, table)[0])
        each = u.T[self.mesh.elements].reshape(len(B), 1, -1, 1)
        return np.moveaxis((self.material.stiffness @ (B @ each))[..., 0], -1, 0)


def strain_matrices(slopes: Float[ndarray, "e q a d"]) -> Float[ndarray, "e q 3 k"]:
    """B with (ε_xx, ε_yy, 2 ε_xy) = B u of the k unknowns of each element, from the gradients of
    its basis functions."""
    e, q, a, _ = slopes.shape
    B = np.zeros((e, q, 3, a, 2))
    B[:, :, 0, :, 0] = B[:, :, 2, :, 1] = slopes[..., 0]
    B[:, :, 1, :, 1] = B[:, :, 2, :, 0] = slopes[..., 1]
    return B.reshape(e, q, 3, 2 * a)


@dataclass(frozen=True)
class _Pattern:
    """Sparsity of the stiffness matrices of all meshes of one shape and order.

    Attributes:
        indices, indptr: columns and rows of CSR.
        places: the entry of each element's coefficients, in the order of its rows.
    """

    indices: ndarray
    indptr: ndarray
    places: ndarray


@lru_cache(maxsize=16)
def _pattern(shape: tuple[int, int], order: int) -> _Pattern:
    """The pattern, which does not depend on the curves; it is sorted once for all samples."""
    mesh = RingMesh(lambda t: np.full_like(t, 0.25), shape=shape, order=order)
    unknowns = (2 * mesh.elements[:, :, None] + np.arange(2)).reshape(len(mesh.elements), -1)
    size = 2 * mesh.nodes.shape[1]
    k = unknowns.shape[1]
    keys = np.repeat(unknowns, k, axis=1).ravel().astype(np.int64) * size
    keys += np.tile(unknowns, k).ravel()
    entries, places = np.unique(keys, return_inverse=True)
    rows, columns = np.divmod(entries, size)
    indptr = np.searchsorted(rows, np.arange(size + 1))
    return _Pattern(columns.astype(np.int32), indptr.astype(np.int32), places)
