"""A plain twin of SpatiotemporalFNO: FFTs over (x, y, t), channels first, as in published code.

The same layers on the same grids with the same number of modes, channels and polynomials in time.
Transforms over time are discrete Fourier transforms of the latent instants, so the two networks are
different maps of equal cost in parameters; only their time is compared.
"""
# Axes: b batch, c channel, x y space, t instants.

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.fft import irfftn, rfftn


class FourierConv(nn.Module):
    """u -> Σ_k W_k û_k e_k, |k_x|, |k_y| <= modes and 0 <= k_t < time_modes, at `steps` instants.

    Four corners of the spectrum have one weight each, as in the published code.
    """

    def __init__(self, channels: tuple[int, int], modes: tuple[int, int], time_modes: int) -> None:
        super().__init__()
        self.modes, self.time_modes = modes, time_modes
        shape = (4, *channels, *modes, time_modes, 2)
        self.weight = nn.Parameter(torch.randn(shape) * (2 * channels[0]) ** -0.5)

    def forward(self, u: Float[Tensor, "b c x y t"], steps: int) -> Float[Tensor, "b d x y s"]:
        (mx, my), mt = self.modes, self.time_modes
        u_hat = rfftn(u, dim=(2, 3, 4), norm="forward")
        size = (len(u), self.weight.shape[2], *u.shape[2:4], steps // 2 + 1)
        v_hat = u_hat.new_zeros(size)
        W = torch.view_as_complex(self.weight)
        corners = [
            (x, y) for x in (slice(mx), slice(-mx, None)) for y in (slice(my), slice(-my, None))
        ]
        for w, (x, y) in zip(W, corners, strict=True):
            v_hat[:, :, x, y, :mt] = torch.einsum("bixyt,ioxyt->boxyt", u_hat[:, :, x, y, :mt], w)
        return irfftn(v_hat, s=(*u.shape[2:4], steps), dim=(2, 3, 4), norm="forward")


class PlainSpatiotemporalFNO(nn.Module):
    """Frames (b, n_in, c, x, y) -> n_out frames: lift, layers, last layer, last frame added.

    Args:
        n_modes: modes per axis, as for SpatiotemporalFNO; half of them on each side of 0.
        time_modes: functions of time in the layers; a discrete transform has half as many waves.
        latent_steps: instants of the features.
    """

    def __init__(
        self,
        channels: int,
        n_out: int,
        *,
        n_modes: Sequence[int],
        time_modes: int,
        output_time_modes: int,
        input_time_modes: int,
        latent_steps: int,
        hidden_channels: int,
        n_layers: int,
        mlp_channels: int,
    ) -> None:
        super().__init__()
        self.n_out, self.latent_steps = n_out, latent_steps
        width, modes = hidden_channels, (n_modes[0] // 2, n_modes[1] // 2)
        self.lifting = nn.Conv3d(channels, width, 1)
        depths = [input_time_modes, *[time_modes] * (n_layers - 1)]
        self.convolutions = nn.ModuleList(
            FourierConv((width, width), modes, -(-depth // 2)) for depth in depths
        )
        self.mlps = nn.ModuleList(
            nn.Sequential(
                nn.Conv3d(width, mlp_channels, 1), nn.GELU(), nn.Conv3d(mlp_channels, width, 1)
            )
            for _ in depths
        )
        self.skips = nn.ModuleList(nn.Conv3d(width, width, 1) for _ in depths)
        self.last = FourierConv((width, channels), modes, -(-output_time_modes // 2))

    def forward(self, x: Float[Tensor, "b t c x y"]) -> Float[Tensor, "b s c x y"]:
        v = self.lifting(x.movedim(1, -1))
        for l, (K, M, W) in enumerate(zip(self.convolutions, self.mlps, self.skips, strict=True)):
            skip = W(v[..., -1:]) if l == 0 else W(v)
            v = F.gelu(M(K(v, self.latent_steps)) + skip)
        return x[:, -1:] + self.last(v, self.n_out).movedim(-1, 1)
