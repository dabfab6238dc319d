"""Small files of points and structured meshes, with the names, axes and order of the published ones
(Geo-FNO: `NACA_Cylinder_*`, `Pipe_*`, `Random_UnitCell_*`, `plas_N987_T20.mat`)."""
# Axes: N samples, n points, i j nodes, t time, c channel.

import numpy as np
from scipy.io import savemat

N = 5


def values(*shape, seed=0):
    return np.random.default_rng(seed).random(shape)


def save(folder, **arrays):
    folder.mkdir()
    for name, u in arrays.items():
        np.save(folder / f"{name}.npy", u)
    return folder


def elasticity(folder):
    """The samples are last; coordinates (n, 2, N), stress (n, N), radii and angles (42, N)."""
    return save(
        folder,
        Random_UnitCell_XY_10=values(12, 2, N),
        Random_UnitCell_sigma_10=values(12, N, seed=1),
        Random_UnitCell_rr_10=values(42, N, seed=2),
        Random_UnitCell_theta_10=values(42, N, seed=3),
    )


def airfoil(folder):
    """Coordinates (N, 221, 51) and five channels, of which the last is the Mach number."""
    x, y = values(N, 7, 4), values(N, 7, 4, seed=1)
    q = values(N, 5, 7, 4, seed=2)
    return save(folder, NACA_Cylinder_X=x, NACA_Cylinder_Y=y, NACA_Cylinder_Q=q)


def pipe(folder):
    """Coordinates (N, 129, 129) and channels, of which the first is the velocity."""
    x, y, q = values(N, 6, 6), values(N, 6, 6, seed=1), values(N, 3, 6, 6, seed=2)
    return save(folder, Pipe_X=x, Pipe_Y=y, Pipe_Q=q)


def plasticity(path):
    """The die (N, 101), and the mesh and its displacement (N, 101, 31, 20, 4)."""
    savemat(path, {"input": values(N, 9), "output": values(N, 9, 4, 3, 4, seed=1)})
    return path


def square(n, *, kind="quad", z=False):
    """A mesh of meshio of the unit square with the fields T = x + 2y and v = (x, y, 0)."""
    import meshio

    side = np.linspace(0, 1, n)
    points = np.stack(np.meshgrid(side, side, indexing="ij"), -1).reshape(-1, 2)
    k = np.arange(n * n).reshape(n, n)
    quads = np.stack([k[:-1, :-1], k[1:, :-1], k[1:, 1:], k[:-1, 1:]], -1).reshape(-1, 4)
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    edge = np.array([[0, 1]])
    cells = {"quad": quads, "triangle": triangles, "both": quads[:1]}[kind]
    blocks = [("line", edge), ("triangle" if kind == "triangle" else "quad", cells)]
    if kind == "both":
        blocks.append(("triangle", triangles[np.arange(len(triangles)) % len(quads) > 0]))
    height = points[:, :1] if z else 0 * points[:, :1]
    return meshio.Mesh(
        np.concatenate([points, height], 1),
        blocks,
        point_data={"T": points[:, 0] + 2 * points[:, 1], "v": np.pad(points, ((0, 0), (0, 1)))},
    )
