"""Rollouts of one-step models, the objective on them, and their errors."""
# Axes: b batch, t time, c and d channels of a frame, *space nodes.

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from ..batch import Batch
from ..datasets import FieldDataset
from ..metrics import METRICS
from ..normalizer import Normalizer
from ..training import distributed


def roll_out(
    step: Callable[[Tensor], Tensor], frames: Float[Tensor, "b n_in c *space"], num_frames: int
) -> Float[Tensor, "b t d *space"]:
    """The `num_frames` frames after the given ones. Each step acts on the last n_in frames:
    u_{k+1..k+m} = step(u_{k-n_in+1..k})."""
    predicted = 0
    parts: list[Tensor] = []
    while predicted < num_frames:
        parts.append(step(frames))
        predicted += parts[-1].shape[1]
        frames = advance(frames, parts[-1])
    return torch.cat(parts, 1)[:, :num_frames]


def advance(
    frames: Float[Tensor, "b n_in c *space"], predicted: Float[Tensor, "b n_out d *space"]
) -> Float[Tensor, "b n_in c *space"]:
    """The last n_in frames after a step. Channels that are not predicted are inputs constant in
    time, such as a coefficient; they are kept."""
    n_in, channels = frames.shape[1], predicted.shape[2]
    if frames.shape[2] > channels:
        fixed = frames[:, :1, channels:].expand(
            -1, predicted.shape[1], *frames[0, 0, channels:].shape
        )
        predicted = torch.cat([predicted, fixed], 2)
    return torch.cat([frames, predicted], 1)[:, -n_in:]


class Unrolled:
    """Objective of a one-step model Φ on its own predictions.

    With n_in frames u⁰ of the data and targets y¹, y², .. of n_out frames each,

        v⁰ = u⁰ + noise·σ·ξ,   vᵏ = Φ(vᵏ⁻¹),   loss = mean over k = 1 .. K of L(vᵏ, yᵏ),

    where σ is the standard deviation of each channel, ξ is standard normal and K = steps. The
    predictions v¹ .. v^p, p = pushforward, are constants where they are the input of the next
    step: no gradient flows through them. L is the mean over the frames of vᵏ. For n_in > n_out, the
    input of a step also contains the last frames of the previous input.

    K = 2, p = 1 is half the loss of Brandstetter et al. (2022, sec. 3.1): the one-step loss plus
    the stability loss, L(Φ(u + ε), y) with the perturbation ε of the model's own step.

    Args:
        loss: loss of one frame, (prediction, target) both (b, c, *space).
        scale: normalizer of the predicted channels, which gives σ.
    """

    def __init__(
        self,
        loss: Callable[[Tensor, Tensor], Tensor],
        *,
        steps: int = 1,
        pushforward: int = 0,
        noise: float = 0.0,
        scale: Normalizer | None = None,
    ) -> None:
        self.loss, self.steps, self.pushforward = loss, steps, pushforward
        self.noise, self.scale = noise, scale

    def __call__(self, operator: Callable[[Tensor], Tensor], batch: Batch) -> Float[Tensor, ""]:
        frames = self._disturbed(batch.input)
        predictions = []
        for k in range(self.steps):
            v = operator(frames)
            predictions.append(v)
            frames = advance(frames, v.detach() if k < self.pushforward else v)
        return self.loss(torch.cat(predictions, 1).flatten(0, 1), batch.target.flatten(0, 1))

    def _disturbed(self, frames: Tensor) -> Tensor:
        """The input with noise, drawn from torch's generators. The trainer saves their state, so a
        resumed run draws the same numbers."""
        if self.noise == 0:
            return frames
        assert self.scale is not None
        state = frames[:, :, : len(self.scale.std)]
        sigma = self.scale.std.to(frames).reshape(-1, *[1] * (frames.ndim - 3))
        noisy = state + self.noise * sigma * torch.randn_like(state)
        return torch.cat([noisy, frames[:, :, len(self.scale.std) :]], 2)


def persistence(frames: Float[Tensor, "b n_in c *space"], num_frames: int) -> Tensor:
    """The last given frame repeated, a baseline for every model."""
    return frames[:, -1:].expand(-1, num_frames, *frames.shape[2:])


def trajectory_errors(
    predict: Callable[[Tensor, int], Tensor],
    dataset: FieldDataset,
    metric: str,
    mine: slice = slice(None),
    device: torch.device = torch.device("cpu"),  # noqa: B008
) -> Float[Tensor, " t"]:
    """Mean of a metric over the trajectories of a data set, for each predicted time.

    Args:
        predict: (input frames, number of frames) -> predicted frames.
        mine: the samples that this process evaluates; sums are taken over all processes.
        device: device for the exchange of sums.
    """
    part = dataset.subset(range(*mine.indices(len(dataset))))
    assert dataset.n_out is not None
    total = torch.zeros(dataset.n_out, dtype=torch.float64)
    for batch in part.batches(32):
        p = predict(batch.input, dataset.n_out).cpu()
        target = batch.target.flatten(0, 1)
        errors = METRICS[metric](p.flatten(0, 1), target, dataset.domain)
        total += errors.unflatten(0, p.shape[:2]).sum(0)
    sums = distributed.sum_over_samples(total.tolist(), device)
    return torch.tensor(sums, dtype=torch.float64) / len(dataset)
