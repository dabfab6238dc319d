"""A training step of SpatiotemporalFNO, 10 -> 40 frames, compared with its twin by plain FFTs."""

import torch
from torch import nn

from pdeops.domain import Grid
from pdeops.losses import LOSSES
from pdeops.models import SpatiotemporalFNO

from .bench import Bench
from .spacetime_twin import PlainSpatiotemporalFNO
from .training_step import TrainingStep

GRID = Grid((64, 64), boundary="periodic")
BATCH, N_IN, N_OUT = 4, 10, 40
SIZE = {"n_modes": (24, 24), "hidden_channels": 20, "n_layers": 4, "mlp_channels": 32}


def training(model: nn.Module) -> TrainingStep:
    """A step on one batch of noise."""
    generator = torch.Generator().manual_seed(0)
    frames = torch.randn(BATCH, N_IN + N_OUT, 1, *GRID.shape, generator=generator)
    x, y = frames[:, :N_IN], frames[:, N_IN:]
    loss = LOSSES["RelativeL2"](GRID)
    return TrainingStep(model, x, lambda p: loss(p.flatten(0, 1), y.flatten(0, 1)))


def ours() -> SpatiotemporalFNO:
    """The registered model at its defaults in time."""
    torch.manual_seed(0)
    times_in, times_out = range(1 - N_IN, 1), range(1, N_OUT + 1)
    return SpatiotemporalFNO(
        1,
        1,
        GRID,
        times_in=[float(t) for t in times_in],
        times_out=[float(t) for t in times_out],
        **SIZE,
    )


def twin() -> PlainSpatiotemporalFNO:
    """The same layers on the same nodes and instants, by plain FFTs."""
    model = ours()
    return PlainSpatiotemporalFNO(
        1,
        N_OUT,
        time_modes=model.time_modes,
        output_time_modes=model.output_modes,
        input_time_modes=model.input_modes,
        latent_steps=model.latent_steps,
        **SIZE,
    )


BENCHES = [
    Bench(
        name="stfno_step",
        size=f"{GRID.shape[0]} x {GRID.shape[1]} nodes, {N_IN} -> {N_OUT} frames, batch {BATCH}: "
        f"one training step",
        dtype="float32",
        setup=lambda: (training(ours()), training(twin())),
        work=lambda sides: sides[0].step(),
        reference=lambda sides: sides[1].step(),
        work_name="SpatiotemporalFNO, truncated transforms as products",
        reference_name="the same layers by torch.fft.rfftn and irfftn over (x, y, t)",
        tolerance=None,
        repeats=5,
        threads=1,
    )
]
