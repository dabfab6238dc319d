"""A training step of SpatiotemporalFNO, 10 -> 40 frames, compared with its twin by plain FFTs."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pdeops.domain import Grid
from pdeops.losses import LOSSES
from pdeops.models import SpatiotemporalFNO

from .bench import Bench
from .spacetime_twin import PlainSpatiotemporalFNO

GRID = Grid((64, 64), boundary="periodic")
BATCH, N_IN, N_OUT = 4, 10, 40
SIZE = {"n_modes": (24, 24), "hidden_channels": 20, "n_layers": 4, "mlp_channels": 32}


class Training:
    """A model, its optimizer and one batch; `step` returns the prediction before the update."""

    def __init__(self, model: nn.Module) -> None:
        generator = torch.Generator().manual_seed(0)
        self.model, self.loss = model, LOSSES["RelativeL2"](GRID)
        self.optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        frames = torch.randn(BATCH, N_IN + N_OUT, 1, *GRID.shape, generator=generator)
        self.x, self.y = frames[:, :N_IN], frames[:, N_IN:]

    def step(self) -> Tensor:
        self.optimizer.zero_grad()
        prediction = self.model(self.x)
        self.loss(prediction.flatten(0, 1), self.y.flatten(0, 1)).backward()
        self.optimizer.step()
        return prediction.detach()


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


def bench(name: str, setup: Callable[[], nn.Module], words: str) -> Bench:
    """One form of training and the twin."""
    return Bench(
        name=name,
        size=f"{GRID.shape[0]} x {GRID.shape[1]} nodes, {N_IN} -> {N_OUT} frames, batch {BATCH}: "
        f"one training step",
        dtype="float32",
        setup=lambda: (Training(setup()), Training(twin())),
        work=lambda sides: sides[0].step(),
        reference=lambda sides: sides[1].step(),
        work_name=words,
        reference_name="the same layers by torch.fft.rfftn and irfftn over (x, y, t)",
        tolerance=None,
        repeats=5,
        threads=1,
    )


BENCHES = [bench("stfno_step", ours, "SpatiotemporalFNO, truncated transforms as products")]
