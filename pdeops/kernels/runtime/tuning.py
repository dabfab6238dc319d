"""The fastest of a few candidates for a kernel on a GPU, measured once and kept on disk.

A file of the user's cache folder holds the choices for each device name and version of Triton.
Nothing is timed at import, on a CPU, or while a CUDA graph is captured: there the first candidate
serves.
"""

import json
import logging
import os
import statistics
import tempfile
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import torch

from .cache_folder import cache_folder

T = TypeVar("T")
R = TypeVar("R")
Clock = Callable[[Callable[[], object], torch.device], float]

REPEATS = 5  # timed calls of each candidate, after an untimed one
log = logging.getLogger("pdeops")
_chosen: dict[tuple[torch.device, tuple[Hashable, ...]], Any] = {}  # in this process


def best(
    key: tuple[Hashable, ...],
    candidates: Sequence[T],
    run: Callable[[T], object],
    device: torch.device,
    *,
    too_large: tuple[type[Exception], ...] = (),
    clock: Clock | None = None,
) -> T:
    """The candidate with the shortest median time of run(candidate).

    Args:
        key: the kernel and the class of its arguments; candidates of one key are always the same.
        candidates: the first one serves where nothing can be timed. Each has a distinct repr.
        too_large: what is raised by a candidate that needs more memory than a multiprocessor has;
            it is not chosen.
        clock: (call, device) -> seconds of a call; by default events of the device, and on a CPU
            nothing is timed.
    """
    if (device, key) in _chosen:
        return _chosen[device, key]
    if clock is None:
        if device.type != "cuda" or torch.cuda.is_current_stream_capturing():
            return candidates[0]
        clock = seconds_on_device
    name, text = device_name(device), " ".join(map(str, key))
    by_name = {repr(c): c for c in candidates}
    chosen = by_name.get(_read(name).get(text, ""))
    if chosen is None:
        times = {c: _median(run, by_name[c], device, too_large, clock) for c in by_name}
        fastest = min(times, key=lambda c: times[c])
        chosen = by_name[fastest]
        log.info("%s on %s: %s", text, name, fastest)
        _write(name, {**_read(name), text: fastest})
    _chosen[device, key] = chosen
    return chosen


def run_best(
    key: tuple[Hashable, ...], candidates: Sequence[T], run: Callable[[T], R], like: torch.Tensor
) -> R:
    """run(candidate) of a Triton kernel with the fastest candidate, on the device of a tensor;
    candidates that need more than a multiprocessor has are not chosen."""
    from triton.runtime.errors import OutOfResources

    with torch.cuda.device_of(like):
        return run(best(key, candidates, run, like.device, too_large=(OutOfResources,)))


def device_name(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


@cache
def num_multiprocessors(device: torch.device) -> int:
    """Of the device; 1 for a CPU, where Triton's programs run one after another."""
    if device.type == "cpu":
        return 1
    return torch.cuda.get_device_properties(device).multi_processor_count


def _median(
    run: Callable[[T], object],
    candidate: T,
    device: torch.device,
    too_large: tuple[type[Exception], ...],
    clock: Clock,
) -> float:
    """The median time of a candidate; infinite if it is too large for the device."""
    try:
        run(candidate)
    except too_large as error:
        log.info("%s cannot run: %s", candidate, error)
        return float("inf")
    return statistics.median(clock(lambda: run(candidate), device) for _ in range(REPEATS))


def seconds_on_device(call: Callable[[], object], device: torch.device) -> float:
    """The seconds of a call by events of a GPU."""
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    with torch.cuda.device(device):
        start.record()
        call()
        end.record()
        end.synchronize()
    return start.elapsed_time(end) / 1e3


def _file(device: str) -> Path:
    try:
        triton = version("triton")
    except PackageNotFoundError:
        triton = "none"
    word = "".join(c if c.isalnum() else "-" for c in f"{device} triton {triton}")
    return cache_folder() / "tiles" / f"{word}.json"


def _read(device: str) -> dict[str, str]:
    """The stored choices; none where the file is missing or damaged."""
    try:
        stored = json.loads(_file(device).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _write(device: str, chosen: dict[str, str]) -> None:
    """Replace the file at once; where it cannot be written, each process measures again."""
    file = _file(device)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, delete=False, encoding="utf-8") as f:
            json.dump(chosen, f, indent=1, sort_keys=True)
        os.replace(f.name, file)
    except OSError as error:
        log.warning("the choice of tiles is not kept for other processes: %s", error)
