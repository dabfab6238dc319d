"""Small files of the public formats with a time axis, written as their publications describe them.

Fields are exact: every value depends on its sample, time and place, all axes have different
lengths, and fields on periodic boxes are periodic.
"""
# Axes: n sample, t time, x y space, c component.

import h5py
import numpy as np
import torch

from .foreign_files import mat5, mat73

N, T, X, Y = 3, 5, 8, 6


def wave(*, samples=N, times=T, shape=(X, Y), phase=0.0, centers=False, ends=False):
    """u = (1 + n) cos(2π(x + 2y) + t/4 + phase) + t/10, (n, t, *space), on the unit box."""
    axes = [(np.arange(m) + 0.5 * centers) / (m - ends) for m in shape]
    nodes = np.meshgrid(*axes, indexing="ij")
    angle = 2 * np.pi * sum((i + 1) * x for i, x in enumerate(nodes))
    t = np.arange(times).reshape(-1, *(1,) * len(shape))
    n = np.arange(samples).reshape(-1, *(1,) * (len(shape) + 1))
    return ((1 + n) * np.cos(angle + t / 4 + phase) + t / 10).astype("f4")


def centres(m, low=0.0, high=1.0):
    return (low + (np.arange(m) + 0.5) * (high - low) / m).astype("f4")


def fno_navier_stokes(path, write=mat73, **more):
    """a (sample, x, y), u (sample, x, y, time) and t (1, time)."""
    u = wave(times=T + 1)
    write(path, {
        "a": u[:, 0],
        "u": np.moveaxis(u[:, 1:], 1, -1),
        "t": np.arange(1.0, T + 1)[None],
    }, **more)  # fmt: skip


def fno_navier_stokes_v5(path):
    fno_navier_stokes(path, mat5)


def fno_navier_stokes_v73_chunked(path):
    fno_navier_stokes(path, chunks=(2, 3, 2, 2))


def flat(path, fields, attributes, x=(0.0, 1.0), step=0.05):
    """PDEBench's flat files: one time more than there are frames."""
    first = next(iter(fields.values()))
    with h5py.File(path, "w") as file:
        for name, u in fields.items():
            file.create_dataset(name, data=u)
        for letter, m in zip("xyz", first.shape[2:], strict=False):
            file[f"{letter}-coordinate"] = centres(m, *x)
        file["t-coordinate"] = (step * np.arange(first.shape[1] + 1)).astype("f4")
        file.attrs.update(attributes)


def line(**more):
    return wave(shape=(X,), centers=True, **more)


def advection(path):
    flat(path, {"tensor": line()}, {"beta": 0.4})


def burgers(path):
    flat(path, {"tensor": line()}, {"Nu": 0.01}, x=(-1.0, 1.0))


def reaction_diffusion_1d(path):
    flat(path, {"tensor": line()}, {"Nu": 0.5, "rho": 1.0})


def fluid_1d(path):
    fields = {name: line(phase=i) for i, name in enumerate(("density", "pressure", "Vx"))}
    flat(path, fields, {"eta": 1e-8, "zeta": 1e-8})


def fluid_2d(path):
    names = ("density", "pressure", "Vx", "Vy")
    fields = {name: wave(phase=i, centers=True) for i, name in enumerate(names)}
    flat(path, fields, {"M": 0.1, "eta": 1e-2, "zeta": 1e-2})


def darcy(path):
    """nu (sample, x, y), tensor (sample, 1, x, y); no times."""
    nu = np.where(wave(times=1)[:, 0] > 0, 1.0, 0.1).astype("f4")
    with h5py.File(path, "w") as file:
        file["nu"], file["tensor"] = nu, wave(times=1, centers=True)
        file["x-coordinate"], file["y-coordinate"] = centres(X), centres(Y)
        file.attrs["beta"] = 1.0


def grouped(path, u, low, high, config, compression=None):
    """One group for each seed: data (t, x, y, c), grid and the run's settings in YAML."""
    with h5py.File(path, "w") as file:
        for seed, sample in enumerate(u):
            group = file.create_group(f"{seed:04d}")
            group.create_dataset("data", data=sample, dtype="f4", compression=compression)
            for letter, m in zip("xy", sample.shape[1:-1], strict=False):
                data = centres(m, low, high)
                group.create_dataset(f"grid/{letter}", data=data, compression=compression)
            group.create_dataset("grid/t", data=np.linspace(0, 1, len(sample), dtype="f4"))
            group.attrs["config"] = config.format(seed=seed, radius=0.3 + 0.1 * seed)


def reaction_diffusion_2d(path):
    u = np.stack([wave(centers=True), wave(centers=True, phase=1)], -1)
    config = "sim:\n  Du: 1e-3\n  Dv: 5e-3\n  k: 5e-3\n  xdim: 128\n  seed: {seed}\n"
    grouped(path, u, -1.0, 1.0, config, "lzf")


def shallow_water(path):
    config = "name: 2d_rdb\nsim:\n  T_end: 1.0\n  gravity: 1.0\n  dam_radius: {radius}\n"
    grouped(path, wave(centers=True)[..., None], -2.5, 2.5, config)


def incompressible(path, force_frames=None):
    """velocity, particles, a force that is constant in time, and t for each sample."""
    velocity = np.stack([wave(centers=True), wave(centers=True, phase=1)], -1)
    with h5py.File(path, "w") as file:
        for name, u in (("velocity", velocity), ("particles", wave(phase=2)[..., None])):
            chunks = (1, 1, *u.shape[2:])
            file.create_dataset(name, data=u, chunks=chunks, compression="lzf", shuffle=True)
        file["force"] = velocity[:, 0] / 2
        file["t"] = np.tile(0.005 * np.arange(T, dtype="f4"), (N, 1))
        file.attrs["config"] = (
            "domain_size:\n- 1\n- 1\nparticle_extrapolation: BOUNDARY\n"
            "velocity_extrapolation: ZERO\nNU: 0.01\nn_steps: 100000\n"
        )
        file.attrs["latestIndex"] = N - 1


def torch_cfd(path):
    names = ("vorticity", "stream", "vort_t", "residual")
    content = {name: torch.from_numpy(wave(shape=(X, X), phase=i)) for i, name in enumerate(names)}
    torch.save({**content, "random_states": torch.arange(N, dtype=torch.int32)}, path)


def the_well(path, sides=("periodic", "PERIODIC")):
    """Scalars that vary everywhere, not in time, not between samples, not along y; a vector;
    tensors with both layouts; a scalar for each sample and one that changes in time."""
    u = wave()
    with h5py.File(path, "w") as file:
        file.attrs.update(
            dataset_name="twin", grid_type="cartesian", n_spatial_dims=2, n_trajectories=N,
            simulation_parameters=["Reynolds"], Reynolds=100.0,
        )  # fmt: skip
        dims = file.create_group("dimensions")
        dims.attrs["spatial_dims"] = ["x", "y"]
        values = {"time": np.arange(T) / 10, "x": np.arange(X) / X, "y": np.arange(Y) / Y}
        for name, x in values.items():
            dims[name] = x.astype("f4")
            dims[name].attrs.update(sample_varying=False, time_varying=name == "time")
        for name, side in zip("xy", sides, strict=True):
            group = file.create_group(f"boundary_conditions/{name}_{side}")
            group.attrs.update(
                # The writer of The Well's dummy data stores a text in place of a list.
                associated_dims="x" if name == "x" else ["y"], associated_fields=[], bc_type=side,
            )  # fmt: skip
            group["mask"] = np.ones(X if name == "x" else Y, bool)

        def put(path, u, varying=(True, True), sample=True, time=True, **more):
            file[path] = u
            file[path].attrs.update(
                dim_varying=list(varying), sample_varying=sample, time_varying=time, **more
            )

        put("scalars/viscosity", np.array([0.1, 0.2, 0.3], "f4"), time=False)
        put("scalars/forcing", np.arange(T, dtype="f4"), sample=False)
        put("scalars/gamma", np.array([1.4], "f4"), sample=False, time=False)
        put("t0_fields/density", u)
        put("t0_fields/mask", u[:, 0], time=False)
        put("t0_fields/mean", u[0], sample=False)
        put("t0_fields/profile", u[..., 0], varying=(True, False))
        put("t0_fields/wall", u[0, 0, :, 0], varying=(True, False), sample=False, time=False)
        put("t1_fields/velocity", np.stack([u, 2 * u], -1))
        tensor = np.stack([u, 2 * u, 3 * u, 4 * u], -1)
        put(
            "t2_fields/stress", tensor.reshape(*u.shape, 2, 2), symmetric=False, antisymmetric=False
        )
        put("t2_fields/strain", tensor + 1, symmetric=True, antisymmetric=False)
        for order in range(3):
            file[f"t{order}_fields"].attrs["field_names"] = list(file[f"t{order}_fields"])
