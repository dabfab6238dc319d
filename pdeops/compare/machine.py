"""What a timing depends on besides the code: the processor and the versions, no host's name."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch


def describe_machine() -> dict[str, str]:
    """Processor, cores this process may use, operating system and versions, as plain strings."""
    described = {
        "processor": _processor(),
        "cores": str(_usable_cores()),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }
    for package in ("pdeops", "torch", "numpy", "scipy", "numba"):
        try:
            described[package] = version(package)
        except PackageNotFoundError:
            described[package] = "not installed"
    if torch.cuda.is_available():
        described["accelerator"] = torch.cuda.get_device_name()
    return described


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []  # not Linux
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown"


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
