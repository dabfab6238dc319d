"""Small files of every foreign format, written as their own tools write them."""

import h5py
import numpy as np
import scipy.io
import torch

# Every value tells its place: sample, x and y have different lengths and different steps.
SHAPE = (4, 5, 7)


def place(scale=1.0, shape=SHAPE, dtype="f4"):
    """u[i, j, ...] = scale (100 i + 10 j + ...): no wrong order of axes can pass."""
    steps = 10.0 ** np.arange(len(shape) - 1, -1, -1)
    return (scale * np.tensordot(steps, np.indices(shape), 1)).astype(dtype)


def bytes_read():
    """What this process has read from files so far."""
    with open("/proc/self/io") as file:
        return int(file.readline().split()[1])


def mat5(path, arrays, compressed=False):
    scipy.io.savemat(path, arrays, do_compression=compressed)


def mat73(path, arrays, chunks=None):
    """As MATLAB writes it: 512 bytes of text in front, axes in reverse, the class as attribute."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, u in arrays.items():
            chunk = (
                chunks
                and len(chunks) >= u.ndim
                and tuple(min(c, n) for c, n in zip(chunks, u.T.shape, strict=False))
            )
            compressed = {"chunks": chunk, "compression": "gzip"} if chunk else {}
            file.create_dataset(name, data=u.T, **compressed)
            kind = {"f4": "single", "f8": "double"}[u.dtype.str[1:]]
            file[name].attrs["MATLAB_class"] = np.bytes_(kind)
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64, Created on: Mon Jan  1 00:00:00 2024 HDF5"
    with open(path, "r+b") as file:
        file.write(text.ljust(116) + bytes(8) + b"\x00\x02IM")


def npz(path, arrays):
    with open(path, "wb") as file:
        np.savez(file, **arrays)


def npz_compressed(path, arrays):
    with open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def npz_fortran(path, arrays):
    npz(path, {name: np.asfortranarray(u) for name, u in arrays.items()})


def npy_folder(path, arrays):
    path.mkdir()
    for name, u in arrays.items():
        np.save(path / f"{name}.npy", u)


def hdf5(path, arrays):
    with h5py.File(path, "w") as file:
        for name, u in arrays.items():
            file[name] = u


def hdf5_chunked(path, arrays, chunk=(3, 2, 4, 2)):
    with h5py.File(path, "w") as file:
        for name, u in arrays.items():
            file.create_dataset(name, data=u, chunks=chunk[: u.ndim], compression="gzip")


def hdf5_big_endian(path, arrays):
    hdf5(path, {name: u.astype(u.dtype.newbyteorder(">")) for name, u in arrays.items()})


def netcdf4(path, arrays, dims=("sample", "x", "y"), **coordinates):
    import xarray

    fields = {name: (dims, u) for name, u in arrays.items()}
    xarray.Dataset(fields, coordinates).to_netcdf(path, engine="h5netcdf")


def netcdf3(path, arrays, dims=("sample", "x", "y"), **coordinates):
    import xarray

    fields = {name: (dims, u) for name, u in arrays.items()}
    xarray.Dataset(fields, coordinates).to_netcdf(path, engine="scipy")


def torch_dict(path, arrays):
    torch.save({name: torch.from_numpy(u) for name, u in arrays.items()}, path)


# How it is written -> (the writer, the container it is known as).
WRITERS = {
    "mat5": (mat5, "MATLAB"),
    "mat7": (lambda p, a: mat5(p, a, compressed=True), "MATLAB"),
    "mat73": (mat73, "MATLAB"),
    "mat73_chunked": (lambda p, a: mat73(p, a, chunks=(2, 3, 2, 2)), "MATLAB"),
    "npz": (npz, "NumPy"),
    "npz_compressed": (npz_compressed, "NumPy"),
    "npz_fortran": (npz_fortran, "NumPy"),
    "npy_folder": (npy_folder, "NumPy"),
    "hdf5": (hdf5, "HDF5"),
    "hdf5_chunked": (hdf5_chunked, "HDF5"),
    "hdf5_big_endian": (hdf5_big_endian, "HDF5"),
    "netcdf4": (netcdf4, "netCDF"),
    "netcdf3": (netcdf3, "netCDF"),
    "torch": (torch_dict, "torch"),
}
