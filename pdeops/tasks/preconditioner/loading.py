"""Load trained networks inside solvers, by run folder, checkpoint or name."""

from pathlib import Path

import torch
from torch import nn

from .. import running
from .task import PreconditionerTask


def load_correction(
    source: str | Path, *, weights: str = "best", device: str | torch.device = "cpu"
) -> nn.Module:
    """The trained network of a run folder, of a checkpoint, or of shipped weights by name; `on(A)`
    returns the network for one system.

    Raises:
        ValueError: the checkpoint does not exist, or has another task or format version.
    """
    task, place = PreconditionerTask(), running.device_named(device)
    found = running.read(source, weights, place)
    running.require(found, task)
    return running.network(task, found, place)
