"""Per-channel affine scaling of fields, fitted once on training data and then frozen."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Normalizer(nn.Module):
    """Fields (b, c, *space) ↦ (u - mean_c) / std_c; `inverse` undoes it.

    There is one mean and one standard deviation per channel, for every resolution. They are float64
    buffers and are applied in the dtype of the field, so they are saved in the state_dict and not
    trained. Use `Normalizer.fit(batches)` or `Normalizer.identity(channels)` to construct one.

    Channels are axis 1. With `channel_axis=2` all methods take trajectories (b, t, c, *space);
    statistics are then over samples, times and nodes, and all times are scaled alike.

    Raises:
        ValueError: mean or std is not finite, std is not positive, or their lengths differ.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Float[Tensor, " c"], std: Float[Tensor, " c"]) -> None:
        super().__init__()
        if mean.ndim != 1 or mean.shape != std.shape:
            raise ValueError(
                f"A normalizer needs one mean and one std per channel; got shapes "
                f"{tuple(mean.shape)} and {tuple(std.shape)}."
            )
        if not (mean.isfinite().all() and std.isfinite().all() and (std > 0).all()):
            raise ValueError(
                f"A normalizer needs finite means and positive finite stds; got mean "
                f"{mean.tolist()}, std {std.tolist()}. A constant channel takes std 1."
            )
        self.register_buffer("mean", mean.detach().double().clone())
        self.register_buffer("std", std.detach().double().clone())

    @classmethod
    def identity(cls, channels: int) -> "Normalizer":
        """The identity normalizer, with mean 0 and std 1."""
        return cls(torch.zeros(channels), torch.ones(channels))

    @classmethod
    def fit(cls, batches: Iterable[Tensor], *, channel_axis: int = 1) -> "Normalizer":
        """Mean and (population) standard deviation per channel over all batches (b, c, *space), or
        (b, t, c, *space) with `channel_axis=2`.

        Exclude padding: pass the real points of each sample as a batch.

        One pass in float64, shifted by the mean of the first batch; batches are merged by Chan,
        Golub and LeVeque (1979). A mean much larger than the deviation costs no digits, and the
        result does not depend on the split. A channel whose minimum equals its maximum gets std 1.

        Raises:
            ValueError: there are no data, the number of channels changes, or a value is not finite.
        """
        count = 0
        shift = mean = squares = low = high = torch.empty(0, dtype=torch.float64)
        for batch in batches:
            if batch.ndim <= channel_axis or (count and batch.shape[channel_axis] != len(mean)):
                expected = _shape(len(mean) if count else "c", channel_axis)
                raise ValueError(
                    f"Every batch must have shape {expected}; got {tuple(batch.shape)}."
                )
            u = batch.detach().movedim(channel_axis, 0).flatten(1).to("cpu", torch.float64)
            if u.shape[1] == 0:
                continue
            bad = ~u.isfinite().all(1)
            if bad.any():
                raise ValueError(
                    f"Cannot fit a normalizer: channel(s) {bad.nonzero().flatten().tolist()} hold "
                    f"NaN or infinite values. Clean the data first."
                )
            if count == 0:
                shift = u.mean(1)
                mean, squares = torch.zeros_like(shift), torch.zeros_like(shift)
                low, high = u.amin(1), u.amax(1)
            low, high = torch.minimum(low, u.amin(1)), torch.maximum(high, u.amax(1))
            u = u - shift[:, None]
            batch_mean = u.mean(1)
            batch_squares = (u - batch_mean[:, None]).square().sum(1)
            total = count + u.shape[1]
            gap = batch_mean - mean
            mean = mean + gap * (u.shape[1] / total)
            squares = squares + batch_squares + gap.square() * (count * u.shape[1] / total)
            count = total
        if count == 0:
            raise ValueError("Cannot fit a normalizer to no data; give at least one sample.")
        std = (squares / count).sqrt()
        constant = (low == high) | (std == 0)
        return cls(torch.where(constant, low, shift + mean), torch.where(constant, 1.0, std))

    def forward(
        self, u: Float[Tensor, "b c *space"], *, channel_axis: int = 1
    ) -> Float[Tensor, "b c *space"]:
        """The normalised field (u - mean) / std."""
        mean, std = self._statistics(u, channel_axis)
        return (u - mean) / std

    def inverse(
        self, u: Float[Tensor, "b c *space"], *, channel_axis: int = 1
    ) -> Float[Tensor, "b c *space"]:
        """The field u · std + mean in physical units."""
        mean, std = self._statistics(u, channel_axis)
        return u * std + mean

    def _statistics(self, u: Tensor, channel_axis: int) -> tuple[Tensor, Tensor]:
        """Mean and std in the dtype of u, shaped to broadcast over it."""
        channels = len(self.mean)
        if u.ndim <= channel_axis or u.shape[channel_axis] != channels:
            raise ValueError(
                f"This normalizer was fitted to {channels} channel(s) and takes fields "
                f"{_shape(channels, channel_axis)}; got shape {tuple(u.shape)}."
            )
        shape = (channels, *[1] * (u.ndim - 1 - channel_axis))
        return self.mean.to(u).reshape(shape), self.std.to(u).reshape(shape)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists, for files; `from_dict` reads them."""
        return {"mean": self.mean.tolist(), "std": self.std.tolist()}

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> "Normalizer":
        """The normalizer that `to_dict` described."""
        return cls(*(torch.tensor(plain[name], dtype=torch.float64) for name in ("mean", "std")))

    def extra_repr(self) -> str:
        return f"mean={self.mean.tolist()}, std={self.std.tolist()}"


def _shape(channels: int | str, channel_axis: int) -> str:
    """The shape of a field or trajectory, for messages."""
    return f"({', '.join(['b', 't'][:channel_axis])}, {channels}, *space)"
