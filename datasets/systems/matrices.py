"""Random symmetric positive definite matrices of several kinds: stencils, elements, graphs."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy import ndarray

from ...domain import Grid
from ...solvers.operators.diffusion import Diffusion
from . import meshes
from .darcy_systems import COEFFICIENTS, couplings_at_faces

if TYPE_CHECKING:
    import scipy.sparse

# Number of unknowns (reached up to a few per cent) and generator -> matrix.
Make = Callable[[int, np.random.Generator], "scipy.sparse.csr_array"]

_FULL = ("blobs", "lognormal", "noise")  # coefficients without solid cells


def stencil_jumps(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """Five-point −∇·(a∇u); a is rough, with a contrast of 1 to 1e4."""
    return _stencil(size, random, 2, 10 ** random.uniform(0, 4), [1.0, 1.0])


def stencil_anisotropic(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """Five-point −a u_xx − b u_yy with constant a/b of 1 to 100."""
    scale = [1.0, 10 ** -random.uniform(0, 2)]
    random.shuffle(scale)
    return _stencil(size, random, 2, 1.0, scale)


def grid3d(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """Seven-point −∇·(a∇u); a is rough, with a contrast of 1 to 1e4."""
    return _stencil(size, random, 3, 10 ** random.uniform(0, 4), [1.0] * 3)


def triangles(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """−Δu by linear triangles on a Delaunay mesh of random points."""
    return _elements(size, random, 2, 1.0, 1.0)


def triangles_jumps(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """−∇·(a∇u) by linear triangles; a jumps by 1 to 1e4."""
    return _elements(size, random, 2, 10 ** random.uniform(0, 4), 1.0)


def triangles_anisotropic(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """−∇·(D∇u) by linear triangles; D is constant, its eigenvalues have a ratio of 1 to 100."""
    return _elements(size, random, 2, 1.0, 10 ** random.uniform(0, 2))


def tetrahedra(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """−∇·(a∇u) by linear tetrahedra on a Delaunay mesh; a jumps by 1 to 1e4."""
    return _elements(size, random, 3, 10 ** random.uniform(0, 4), 1.0)


def elasticity(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """Plane strain by linear triangles, ν of 0.1 to 0.4."""
    return _elastic(size, random, 2)


def elasticity3d(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """Linear elasticity by tetrahedra, ν of 0.1 to 0.4."""
    return _elastic(size, random, 3)


def graph(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """Laplacian of a graph of nearest neighbours with log-normal weights, plus 1e-4 to 1e-2 of its
    diagonal."""
    import scipy.sparse
    from scipy.spatial import KDTree

    points, count = random.random((size, 2)), int(random.integers(3, 8))
    nearest = KDTree(points).query(points, count + 1)[1][:, 1:]
    weights = np.exp(random.standard_normal(nearest.size))
    rows = np.repeat(np.arange(size), count)
    one_way = scipy.sparse.coo_array((weights, (rows, nearest.ravel())), shape=(size, size))
    W = (one_way + one_way.T).tocsr()
    degrees = np.asarray(W.sum(axis=1)).ravel()
    shift = 10 ** random.uniform(-4, -2)
    return (scipy.sparse.diags_array((1 + shift) * degrees) - W).tocsr()


def nine_points(size: int, random: np.random.Generator) -> "scipy.sparse.csr_array":
    """−∇·(D∇u) by bilinear elements, D constant with eigenvalues of ratio 10 to 100 at any angle;
    couplings have both signs."""
    import scipy.sparse

    n = round(size**0.5)
    off = np.ones(n - 1)

    def band(main: float, upper: float, lower: float) -> "scipy.sparse.dia_array":
        return scipy.sparse.diags_array(
            [lower * off, np.full(n, main), upper * off], offsets=[-1, 0, 1]
        )

    mass, stiff, skew = band(4 / 6, 1 / 6, 1 / 6), band(2.0, -1.0, -1.0), band(0.0, -0.5, 0.5)
    angle, ratio = random.uniform(0, np.pi), 10 ** -random.uniform(1, 2)
    c, s = np.cos(angle), np.sin(angle)
    xx, yy, xy = c * c + ratio * s * s, s * s + ratio * c * c, (1 - ratio) * c * s
    kron = scipy.sparse.kron
    mixed = kron(skew, skew.T) + kron(skew.T, skew)
    A = xx * kron(stiff, mass) + yy * kron(mass, stiff) + xy * mixed
    return scipy.sparse.csr_array(A)


def _stencil(
    size: int, random: np.random.Generator, ndim: int, contrast: float, scale: list[float]
) -> "scipy.sparse.csr_array":
    stretch = random.uniform(0.7, 1.4)
    n = size ** (1 / ndim)
    shape = (round(n * stretch), *(round(n),) * (ndim - 2), round(n / stretch))
    name = _FULL[random.integers(len(_FULL))]
    a = COEFFICIENTS[name](shape, contrast, random) if contrast > 1 else np.ones(shape)
    is_open = random.random((ndim, 2)) < 0.6
    is_open.flat[random.integers(is_open.size)] = True
    faces = [torch.from_numpy(f) for f in couplings_at_faces(a, is_open, scale)]
    grid = Grid(shape, [float(m) for m in shape], "neumann", "centers")
    return Diffusion.from_faces(faces, grid).to_csr()


def _elements(
    size: int, random: np.random.Generator, ndim: int, contrast: float, ratio: float
) -> "scipy.sparse.csr_array":
    mesh = meshes.delaunay(size, random, ndim)
    k = _jumping(mesh.centres, contrast, random)
    turned = np.linalg.qr(random.standard_normal((ndim, ndim)))[0]
    eigenvalues = np.ones(ndim)
    eigenvalues[0] = 1 / ratio
    D = (turned * eigenvalues) @ turned.T
    return meshes.diffusion(mesh, k[:, None, None] * D)


def _elastic(size: int, random: np.random.Generator, ndim: int) -> "scipy.sparse.csr_array":
    nu = random.uniform(0.1, 0.4)
    lam, mu = nu / ((1 + nu) * (1 - 2 * nu)), 1 / (2 * (1 + nu))
    return meshes.elasticity(meshes.delaunay(max(size // ndim, 1), random, ndim), lam, mu)


def _jumping(x: ndarray, contrast: float, random: np.random.Generator) -> ndarray:
    """1 or the contrast, by the sign of a sum of six random waves at the points x (t, d)."""
    waves = random.normal(0, 12, (6, x.shape[1]))
    phases = random.uniform(0, 2 * np.pi, 6)
    return np.where(np.sin(x @ waves.T + phases).sum(axis=1) > 0, contrast, 1.0)


KINDS: dict[str, Make] = {
    "stencil_jumps": stencil_jumps,
    "stencil_anisotropic": stencil_anisotropic,
    "triangles": triangles,
    "triangles_jumps": triangles_jumps,
    "triangles_anisotropic": triangles_anisotropic,
    "elasticity": elasticity,
    "graph": graph,
    "nine_points": nine_points,
    "grid3d": grid3d,
    "tetrahedra": tetrahedra,
    "elasticity3d": elasticity3d,
}
