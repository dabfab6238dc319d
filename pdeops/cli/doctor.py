"""`pdeops doctor`: report versions and forms of kernels, check that packages load together, compile
the loops."""

import logging
import subprocess
import sys
from typing import Annotated, Any

import typer

from .output import Json, emit

log = logging.getLogger("pdeops")

PACKAGES = (
    "pdeops",
    "torch",
    "torch-harmonics",
    "neuraloperator",
    "numba",
    "numpy",
    "scipy",
    "h5py",
    "h5netcdf",
    "xarray",
    "matplotlib",
)
OPTIONAL = ("pyamg", "tensorboard", "distributed", "triton")

# What is loaded -> its code; each runs in its own process, because some packages print or crash.
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
_OPTIONAL_PROBES = ("tensorboard", "pyamg", "dask.distributed")


def command(
    load: Annotated[
        bool,
        typer.Option("--load", help="Load every package, and pairs together: half a minute."),
    ] = False,
    compile: Annotated[
        bool,
        typer.Option(
            "--compile",
            help="Compile the loops of solve, train and data generate, so that the first of these "
            "commands does not have to.",
        ),
    ] = False,
    time_kernels: Annotated[
        bool,
        typer.Option("--time-kernels", help="Time forms of kernels against their plain twins."),
    ] = False,
    json: Json = False,
) -> None:
    """Report the versions of the installed packages, the device, the number of threads, and for
    each operation of pdeops.kernels the form that this device takes, with the reason.

    The exit status is 1 if a required package is missing, or does not load (--load).
    """
    import platform

    import torch

    from .kernels import forms_on, times_on

    versions = {name: _version(name) for name in (*PACKAGES, *OPTIONAL)}
    cuda = torch.cuda.is_available()
    report: dict[str, Any] = {
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
        "versions": versions,
        "kernels": forms_on("cuda" if cuda else "cpu"),
    }
    failed = any(versions[name] == "not installed" for name in PACKAGES)
    if load:
        report["loads"] = {name: _probe(name, code) for name, code in _PROBES.items()}
        needed = [name for name in _PROBES if name not in _OPTIONAL_PROBES]
        failed |= any(report["loads"][name] != "yes" for name in needed)
    if time_kernels:
        report["kernel times"] = times_on(torch.device("cuda" if cuda else "cpu"))
    if compile:
        from .compile_loops import compile_all

        report["compiled"] = compile_all()
    emit(report, as_json=json)
    if failed:
        raise typer.Exit(1)


def _version(name: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _probe(name: str, code: str) -> str:
    """'yes', or the last line of the error."""
    log.info("loading %s", name)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode == 0:
        return "yes"
    lines = done.stderr.strip().splitlines()
    return lines[-1] if lines else f"no (exit status {done.returncode})"
