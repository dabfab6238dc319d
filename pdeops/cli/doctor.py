"""`pdeops doctor`: check this machine, and that the required packages load together."""

import subprocess
import sys

import typer

from .output import Json, emit

# package -> test code; each runs in its own process, because some packages print or crash.
_PROBES = {
    "torch": "import torch; torch.fft.rfft2(torch.ones(4, 4))",
    "numba": "import numba; numba.njit(lambda x: x + 1)(1)",
    "h5py": "import h5py",
    "xarray + h5netcdf": "import xarray, h5netcdf",
    "scipy": "import scipy.fft, scipy.sparse.linalg",
    "torch-harmonics with torch": "import torch_harmonics; torch_harmonics.RealSHT(8, 16)",
    "neuraloperator with torch": "from neuralop.models import FNO",
    "neuraloperator's spherical FNO": "from neuralop.models import SFNO",
    "tensorboard": "import torch.utils.tensorboard",
    "pyamg": "import pyamg",
    "dask.distributed": "import distributed",
}
_OPTIONAL = ("tensorboard", "pyamg", "dask.distributed")


def command(json: Json = False) -> None:
    """Check the installation. The exit status is 1 if a required package does not load."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import torch

    versions = {}
    for name in ("pdeops", "torch", "torch-harmonics", "neuraloperator", "numba", "numpy", "h5py"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    loads = {name: _probe(code) for name, code in _PROBES.items()}
    cuda = torch.cuda.is_available()
    report = {
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "versions": versions,
        "loads": loads,
    }
    emit(report, as_json=json)
    if any(loads[name] != "yes" for name in _PROBES if name not in _OPTIONAL):
        raise typer.Exit(1)


def _probe(code: str) -> str:
    """'yes', or the last line of the error."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode == 0:
        return "yes"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"no (exit status {done.returncode})"
