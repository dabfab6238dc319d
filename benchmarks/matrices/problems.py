"""The matrices of the comparison, and their right-hand sides.

`SYSTEMS` is the table. A system is built at its size, or at a smaller one for `--quick` and tests;
matrices of other projects are read from ../shared/data and have one size. Where a system has no
right-hand side of its own, b is white noise (projected on the range of A where A is singular).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse

from ..opponents import Given
from . import assembly
from .assembly import Line

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
RTOL = 1e-10
SEED = 0


@dataclass(frozen=True)
class System:
    """A matrix of the comparison.

    Attributes:
        name: name on the command line.
        title: what it is, in tables.
        make: size -> what a solver is given.
        size, small: unknowns per axis or in total, in the comparison and for --quick; 0 where the
            system has one size.
        rhs: files of right-hand sides, relative to the folder of shared data.
        needs: file or folder of shared data that it is read from; empty if it is assembled.
        refused: whether A is not symmetric, so that a solver for symmetric matrices must refuse it.
    """

    name: str
    title: str
    make: Callable[[int], Given]
    size: int = 0
    small: int = 0
    rhs: tuple[str, ...] = ()
    needs: str = ""
    refused: bool = False

    def why_not(self) -> str:
        """Why the system is skipped; empty where it is there."""
        if self.needs and not (DATA / self.needs).exists():
            return f"shared data are not next to this checkout ({self.needs})"
        return ""

    def given(self, size: int) -> Given:
        """What solvers receive, with sorted 32-bit indices."""
        given = self.make(size)
        A = given.A
        A.sort_indices()
        A.indices, A.indptr = A.indices.astype(np.int32), A.indptr.astype(np.int32)
        return given

    def right_hand_sides(self, given: Given) -> np.ndarray:
        """(number, unknowns), each in the range of A."""
        unknowns = given.A.shape[0]
        if self.rhs:
            b = np.stack([np.fromfile(DATA / file, "<f8")[1:] for file in self.rhs])
        else:
            b = np.random.default_rng(SEED).standard_normal((1, unknowns))
        return project(b, given)


def project(b: np.ndarray, given: Given) -> np.ndarray:
    """b in the range of A: unchanged for a regular A; else zero on empty rows, with mean zero on
    the others. b is (number, unknowns)."""
    if not given.singular:
        return b
    active = given.A.diagonal() != 0
    mean = b[:, active].mean(axis=1, keepdims=True)
    return np.where(active, b - mean, 0.0)


def from_mat(file: str, **properties: Any) -> Callable[[int], Given]:
    """A matrix of PyAMG's gallery with its near-null space."""

    def make(_: int) -> Given:
        from scipy.io import loadmat

        stored = loadmat(DATA / "pyamg" / file)
        near = np.ascontiguousarray(stored["B"], dtype=float)
        ndim = stored["vertices"].shape[1]
        A = scipy.sparse.csr_matrix(stored["A"], dtype=float)
        return Given(A, RTOL, ndim, near_null_space=near, **properties)

    return make


def from_npz(file: str, ndim: int) -> Callable[[int], Given]:
    """A pressure matrix with empty rows at ghost cells; constants are its kernel."""

    def make(_: int) -> Given:
        A = scipy.sparse.csr_matrix(scipy.sparse.load_npz(DATA / "dcdm" / file))
        return Given(A, RTOL, ndim, singular=True)

    return make


def interior(n: int, ndim: int) -> list[Line]:
    """n unknowns per axis in the unit box, u = 0 on its sides."""
    return [Line(n, 1 / (n + 1), held_low=True, held_high=True) for _ in range(ndim)]


def elements(ndim: int) -> Callable[[int], Given]:
    """-Δu with bilinear or trilinear elements: 9 or 27 points."""
    return lambda n: Given(assembly.diffusion(interior(n, ndim), np.eye(ndim)), RTOL, ndim)


def rotated(n: int) -> Given:
    tensor = assembly.rotated_tensor(1e-3, 45.0)
    return Given(assembly.diffusion(interior(n, 2), tensor), RTOL, 2)


def clamped_block(n: int) -> Given:
    """A block of n³ free nodes, clamped at x = 0, free at its other sides."""
    h = 1 / n
    lines = [Line(n, h, held_low=axis == 0) for axis in range(3)]
    modes = assembly.rigid_body_modes(coordinates := assembly.nodes(lines, h))
    A = assembly.elasticity(lines)
    return Given(A, RTOL, 3, near_null_space=modes, components=3, coordinates=coordinates)


def triangles(contrast: float) -> Callable[[int], Given]:
    """-div(k grad u) with linear triangles; k is 1 or `contrast` by a wave's sign at centroids."""

    def make(n: int) -> Given:
        points, corners, unknowns = assembly.triangulation(n, SEED)
        x, y = points[corners].mean(axis=1).T
        high = np.sin(5 * np.pi * x + 2 * np.sin(9 * y)) * np.sin(7 * np.pi * y) > 0
        k = np.where(high, contrast, 1.0)
        A = assembly.linear_triangles(points, corners, k, unknowns)
        return Given(A, RTOL, 2, coordinates=points[:unknowns])

    return make


def blobs(low: float, high: float) -> Callable[[int], Given]:
    """The five-point operator of `benchmarks.solvers`, k of two values on random smooth regions."""

    def make(n: int) -> Given:
        from ..solvers import darcy, system

        k, _, grid = darcy(n + 2, low, high)
        return Given(scipy.sparse.csr_matrix(system(k, grid).matrix), RTOL, 2)

    return make


def differences(n: int, ndim: int) -> scipy.sparse.csr_matrix:
    """The (2 ndim + 1)-point -Δ with spacing 1, u = 0 outside."""
    one = scipy.sparse.diags_array([-1.0, 2.0, -1.0], offsets=(-1, 0, 1), shape=(n, n))
    total = one
    for _ in range(1, ndim):
        total = scipy.sparse.kronsum(one, total)
    return scipy.sparse.csr_matrix(total)


def poisson3d(n: int) -> Given:
    return Given(differences(n, 3), RTOL, 3)


def without(removed: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Callable[[int], Given]:
    """Five-point -Δ with u = 0 at the removed nodes, the others numbered row by row; `removed` maps
    coordinates in the unit square to booleans."""

    def make(n: int) -> Given:
        t = np.arange(1, n + 1) / (n + 1)
        left = np.flatnonzero(~removed(*np.meshgrid(t, t, indexing="ij")).ravel())
        return Given(differences(n, 2)[left][:, left], RTOL, 2)

    return make


def in_corner(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x > 0.5) & (y > 0.5)


def in_disc(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x - 0.4) ** 2 + (y - 0.55) ** 2 < 0.2**2


def gallery(name: str, title: str, *, refused: bool = False, **properties: Any) -> System:
    file = f"{name}.mat"
    return System(name, title, from_mat(file, **properties), needs=f"pyamg/{file}", refused=refused)


def pressure(name: str, title: str, file: str, ndim: int, *frames: str) -> System:
    return System(
        name, title, from_npz(file, ndim), rhs=tuple(f"dcdm/{f}" for f in frames),
        needs=f"dcdm/{file}",
    )  # fmt: skip


SYSTEMS = {
    system.name: system
    for system in [
        gallery("airfoil", "linear triangles around an airfoil"),
        gallery("unit_square", "linear triangles, no flux (singular)", singular=True),
        gallery("bar", "elasticity of a bar, trilinear elements", components=3),
        gallery("local_disc_galerkin_diffusion", "discontinuous Galerkin diffusion"),
        gallery("recirc_flow", "convection and diffusion (not symmetric)", refused=True),
        pressure("pressure63", "pressure, 64² with ghosts (singular)", "A_Sparse_N63.npz", 2),
        pressure(
            "pressure15_3d", "pressure, 16³ with ghosts (singular)", "A_Sparse_3D_N15.npz", 3,
            "div_v_star_N15_1.bin", "div_v_star_N15_50.bin", "div_v_star_N15_120.bin",
        ),
        pressure(
            "pressure63_3d", "pressure, 64³ with ghosts (singular)", "A_Sparse_3D_N63.npz", 3,
            "div_v_star_N63_10.bin", "div_v_star_N63_20.bin",
        ),
        System("blobs", "5 points, k in {3, 12}", blobs(3.0, 12.0), 512, 96),
        System("blobs_1e4", "5 points, k in {1, 1e4}", blobs(1.0, 1e4), 512, 96),
        System("l_shape", "5 points, L-shape", without(in_corner), 511, 95),
        System("obstacle", "5 points around a disc with u = 0", without(in_disc), 511, 95),
        System("elements2d", "9 points, bilinear elements", elements(2), 511, 95),
        System("rotated", "9 points, anisotropy 1e-3 at 45°", rotated, 511, 95),
        System("delaunay", "linear triangles, k = 1", triangles(1.0), 200_000, 5_000),
        System("delaunay_1e4", "linear triangles, k in {1, 1e4}", triangles(1e4), 200_000, 5_000),
        System("elements3d", "27 points (6 of them zero), trilinear elements", elements(3), 63, 15),
        System("poisson3d", "7 points, k = 1", poisson3d, 127, 23),
        System("elasticity", "elasticity, trilinear elements", clamped_block, 63, 9),
    ]
}  # fmt: skip
