"""What the two networks of LSM's authors share: trunk, and names in checkpoints."""

from collections.abc import Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .convolution import CONV
from .pointwise import Pointwise
from .spectral_block import NeuralSpectralBlock
from .unet import BlockUNet

# Axes: b batch, c channel, d coordinates, *space nodes.

LEVELS = 5
FACTOR = 2 ** (LEVELS - 1)
HEADS = 8
_BATCH_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_MAX_POOL = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_INTERPOLATION = {2: "bilinear", 3: "trilinear"}


class PublishedBlock(NeuralSpectralBlock):
    """The spectral block with the authors' parameters: no scale, and two kinds without an effect.

    A bias of the keys adds the same number to the scores of all nodes, and the first sine is that
    of 0. Both are kept for their place in a checkpoint, and have no gradient.
    """

    def __init__(self, channels: int, *, num_tokens: int, num_basis: int) -> None:
        super().__init__(
            channels, num_tokens=num_tokens, num_basis=num_basis, num_heads=HEADS, scale=1.0
        )
        self.unused_key_bias = nn.Parameter(torch.zeros(channels))
        self.unused_sine = nn.Parameter(torch.rand(channels, 1) / channels)


def _pair(ndim: int, i: int, middle: int, o: int) -> nn.Sequential:
    """Twice a convolution with 3 nodes per axis, batch normalisation and relu."""
    norm = _BATCH_NORM[ndim]
    return nn.Sequential(
        CONV[ndim](i, middle, 3, padding=1, bias=False),
        norm(middle),
        nn.ReLU(inplace=True),
        CONV[ndim](middle, o, 3, padding=1, bias=False),
        norm(o),
        nn.ReLU(inplace=True),
    )


class PublishedTrunk(nn.Module):
    """Latent field -> latent field: a U-Net with spectral blocks, and a pointwise map."""

    def __init__(
        self, channels: int, patch: Sequence[int], *, num_tokens: int, num_basis: int
    ) -> None:
        super().__init__()
        ndim = len(patch)
        self.patch = tuple(patch)
        self.unet = BlockUNet(
            channels,
            LEVELS,
            pair=partial(_pair, ndim),
            block=partial(PublishedBlock, num_tokens=num_tokens, num_basis=num_basis),
            pool=_MAX_POOL[ndim](2),
            upsample=nn.Upsample(scale_factor=2, mode=_INTERPOLATION[ndim], align_corners=True),
        )
        self.last = Pointwise(channels, channels)

    def forward(self, u: Float[Tensor, "b c *space"]) -> Float[Tensor, "b c *space"]:
        patches = [
            [n // (2**l * p) for n, p in zip(u.shape[2:], self.patch, strict=True)]
            for l in range(LEVELS)
        ]
        return self.last(self.unet(u, patches))


def unit_positions(shape: Sequence[int], like: Tensor) -> Float[Tensor, "d *space"]:
    """Positions of nodes from 0 to 1, both ends included, whatever the grid."""
    axes = [torch.linspace(0, 1, n, dtype=torch.float64).to(like) for n in shape]
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))


# Names in the authors' checkpoints -> parameters here. A name ends where a module begins.
KEYS: dict[str, str] = {
    "fc0": "lift",
    "inc.double_conv": "trunk.unet.pairs.0",
    **{f"down{l}.maxpool_conv.1.double_conv": f"trunk.unet.pairs.{l}" for l in range(1, LEVELS)},
    **{f"up{j + 1}.conv.double_conv": f"trunk.unet.joins.{j}" for j in range(LEVELS - 1)},
    **{f"process{l + 1}": f"trunk.unet.blocks.{l}" for l in range(LEVELS)},
    "outc.conv": "trunk.last",
    "fc1": "head.0",
    "fc2": "head.2",
}


def load_published(module: nn.Module, state: Mapping[str, Tensor], keys: Mapping[str, str]) -> None:
    """Load a checkpoint of the authors; a ValueError if it has other parameters than the module."""
    renamed: dict[str, Tensor] = {}
    for name, value in state.items():
        prefix = next((p for p in keys if name.startswith(p + ".")), None)
        if prefix is None:
            raise ValueError(
                f"The checkpoint has a parameter {name!r}, which {type(module).__name__} does not "
                f"have. Load the state_dict of the authors' network of the same benchmark."
            )
        renamed[keys[prefix] + name.removeprefix(prefix)] = value
    for block in [n for n, m in module.named_modules() if isinstance(m, PublishedBlock)]:
        _split_block(renamed, block)
    for name in ("modes_in", "modes_out"):
        if f"{name}.weights1" in renamed:
            halves = [renamed.pop(f"{name}.weights{half}") for half in (1, 2)]
            renamed[name] = torch.view_as_real(torch.cat(halves, dim=2))
    mine = module.state_dict()
    shapes = {name: _squeezed(value) for name, value in renamed.items()}
    if shapes != {name: _squeezed(value) for name, value in mine.items()}:
        differ = sorted(n for n in mine.keys() | shapes if n not in mine or n not in shapes
                        or shapes[n] != _squeezed(mine[n]))  # fmt: skip
        raise ValueError(
            f"The checkpoint is not that of this network: {', '.join(differ[:4])} differ. Use the "
            f"variant, channels and widths of the checkpoint."
        )
    module.load_state_dict({n: v.reshape(mine[n].shape) for n, v in renamed.items()})


def _squeezed(value: Tensor) -> list[int]:
    """The shape without axes of one entry: a linear map equals a convolution with one node."""
    return [n for n in value.shape if n != 1]


def _split_block(state: dict[str, Tensor], block: str) -> None:
    """Keys and values are interleaved in the authors' checkpoints, sines and cosines adjacent."""
    basis = state.pop(f"{block}.weights", None)
    if basis is None:
        return
    state[f"{block}.unused_sine"] = basis[:, :1]
    state[f"{block}.sine"], state[f"{block}.cosine"] = basis.chunk(2, dim=1)
    state[f"{block}.sine"] = state[f"{block}.sine"][:, 1:]
    state[f"{block}.tokens"] = state.pop(f"{block}.latent")
    for part in ("weight", "bias"):
        both = state.pop(f"{block}.encoder_attn.{part}")
        state[f"{block}.query.{part}"] = state.pop(f"{block}.decoder_attn.{part}")
        state[f"{block}.value.{part}"] = both[1::2]
        name = "key.weight" if part == "weight" else "unused_key_bias"
        state[f"{block}.{name}"] = both[0::2]
