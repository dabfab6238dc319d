"""What benches on a GPU have in common: launches, times, bandwidth, and the machine."""

import argparse
import logging
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from pdeops.compare.timing import Quartiles, time_calls
from pdeops.kernels.runtime.graphs import graphed
from pdeops.kernels.runtime.tuning import seconds_on_device

from .bench import RESULTS, machine

Call = Callable[[], object]


def add_options(parser: argparse.ArgumentParser, *, repeats: int) -> None:
    """--repeats and --out."""
    parser.add_argument("--repeats", type=int, default=repeats, help="timed calls of each row")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the CSV file")


def begin(parser: argparse.ArgumentParser, device: torch.device, otherwise: str) -> None:
    """Show the choice of tiles in the log; exit if the device is a GPU that is missing.

    Args:
        otherwise: what the bench does without a GPU.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error(f"no GPU: nothing to measure; {otherwise}")
    logging.basicConfig(level=logging.INFO, format="%(message)s")


def launches(call: Call, device: torch.device) -> Iterator[tuple[str, Call]]:
    """The call, one operation after another and, on a GPU, as one CUDA graph."""
    yield "operations", call
    if device.type == "cuda":
        yield "graph", graphed(call, device)


def seconds(call: Call, device: torch.device, repeats: int) -> Quartiles:
    """Quartiles of the seconds of a call after an untimed one, by events of a GPU, or by the clock
    on a CPU."""
    if device.type != "cuda":
        return time_calls({"call": call}, repeats=repeats)["call"].wall
    return Quartiles.of([seconds_on_device(call, device) for _ in range(repeats + 1)][1:])


def copy_bandwidth(device: torch.device) -> float:
    """Bytes read and written per second by a copy of 4 GiB on a GPU."""
    x = torch.empty(1 << 30, device=device).normal_()
    y = torch.empty_like(x)
    return 2 * x.numel() * x.element_size() / seconds(lambda: y.copy_(x), device, 20).median


def gpu_machine() -> dict[str, str]:
    """The description of the machine for the last columns of a row, with Triton's version."""
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = "none"
    return {"triton": triton, **machine()}
