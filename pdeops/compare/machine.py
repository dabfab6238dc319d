"""Description of the machine for measurements: processor, system, versions, settings."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("pdeops", "torch", "numpy", "scipy", "numba", "h5py")


def describe_machine() -> dict[str, str]:
    """The machine and this process as strings, without names of hosts, users or folders.

    Entries: cpu (model), cores (usable by this process), threads (of torch), accelerator (model, or
    none), system, python, the version of each of PACKAGES, allocator (the tunables of glibc, or
    default).
    """
    import torch

    gpu = torch.cuda.is_available()
    return {
        "cpu": _processor(),
        "cores": str(usable_cores()),
        "threads": str(torch.get_num_threads()),
        "accelerator": torch.cuda.get_device_name() if gpu else "none",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in PACKAGES},
        "allocator": os.environ.get("GLIBC_TUNABLES", "default"),
    }


def usable_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []  # not Linux
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
