"""Random numbers of a training run: seeded streams, and the state of torch's generators."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

# Purposes of random numbers; each has an independent stream.
ORDER, LAYERS, WORKERS = 0, 1, 2


def derive(seed: int, purpose: int, *index: int) -> int:
    """A 63-bit seed for stream `index` of a purpose: independent streams from one run's seed."""
    words = np.random.SeedSequence((seed, purpose, *index)).generate_state(2, np.uint32)
    return int(words[0]) << 31 | int(words[1]) >> 1


def generator(seed: int, purpose: int, *index: int) -> torch.Generator:
    """A CPU generator at the start of the stream `derive(seed, purpose, *index)`."""
    return torch.Generator().manual_seed(derive(seed, purpose, *index))


def seeded(seed: int, rank: int, device: torch.device) -> dict[str, Tensor]:
    """The state at the start of a run; torch's global generators are not changed."""
    number = derive(seed, LAYERS, rank)
    state = {"cpu": torch.Generator().manual_seed(number).get_state()}
    if device.type == "cuda":
        state["cuda"] = torch.Generator(device).manual_seed(number).get_state()
    return state


def capture(device: torch.device) -> dict[str, Tensor]:
    """The state of torch's global generators for layers on this device."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def restore(state: dict[str, Tensor], device: torch.device) -> None:
    """Restore a state from `capture`; from another type of device, only the CPU part."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


@contextmanager
def private(device: torch.device) -> Iterator[None]:
    """Restores the state of torch's generators at the end of the block."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
