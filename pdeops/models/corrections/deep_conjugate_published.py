"""The published network of deep conjugate directions and its weights (Kaneda et al., 2023)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ...linop import LinearOperator
from ...nn.convolution import CHANNELS_LAST, CONV, mean_of_pairs, within


class PublishedDeepConjugate(nn.Module):
    """A residual of norm 1 -> a direction: blocks of 3^d convolutions with ReLU, then a 1x1 map.

    The layers are a linear convolution, a convolution with ReLU, and blocks
    u + relu(conv(... relu(conv u))). If there are coarse blocks, a further convolution with ReLU
    follows, then the mean over two cells per axis, the coarse blocks on that grid, and constant
    interpolation back, added to u. Fields are zero outside the box. The network does not see walls
    or coefficients, has biases (so f(2r) is not 2 f(r)), and transports information by one cell per
    convolution, by two on the coarse grid.

    The published networks are

    | | ndim | channels | convolutions | blocks | coarse | after | parameters |
    |---|---|---|---|---|---|---|---|
    | 2D, 64² | 2 | 32 | 3 | 16 | 0 | 0 | 453 505 |
    | 3D, 64³ | 3 | 16 | 2 | 1 | 3 | 2 | 97 457 |
    | 3D, 128³ | 3 | 16 | 2 | 2 | 5 | 3 | 152 881 |

    Args:
        convolutions: number in each block.
        blocks: number of blocks on the grid before the coarse ones.
        coarse_blocks: number of blocks on the grid with half as many cells per axis.
        blocks_after: number of blocks on the grid after the coarse ones.
    """

    def __init__(
        self,
        ndim: int = 2,
        *,
        channels: int = 32,
        convolutions: int = 3,
        blocks: int = 16,
        coarse_blocks: int = 0,
        blocks_after: int = 0,
    ) -> None:
        super().__init__()
        self.ndim = ndim
        self.arguments: dict[str, Any] = {
            "channels": channels,
            "convolutions": convolutions,
            "blocks": blocks,
            "coarse_blocks": coarse_blocks,
            "blocks_after": blocks_after,
        }

        def conv(fan_in: int = channels) -> nn.Module:
            return CONV[ndim](fan_in, channels, 3, padding=1)

        def stack(number: int) -> nn.ModuleList:
            return nn.ModuleList(
                nn.ModuleList(conv() for _ in range(convolutions)) for _ in range(number)
            )

        self.lift, self.first = conv(1), conv()
        self.blocks = stack(blocks)
        self.before_coarse = conv() if coarse_blocks else None
        self.coarse_blocks, self.blocks_after = stack(coarse_blocks), stack(blocks_after)
        self.head = CONV[ndim](channels, 1, 1)
        self.to(memory_format=CHANNELS_LAST[ndim])  # type: ignore[call-overload]

    def forward(self, r: Float[Tensor, "b 1 *space"]) -> Float[Tensor, "b 1 *space"]:
        u = F.relu(self.first(self.lift(r)))
        u = _through(self.blocks, u)
        if self.before_coarse is not None:
            u = F.relu(self.before_coarse(u))
            coarse = _through(self.coarse_blocks, mean_of_pairs(u))
            u = u + F.interpolate(coarse, scale_factor=2)[within(u)]
        return self.head(_through(self.blocks_after, u))

    def at(self, faces: Sequence[Tensor]) -> "PublishedDeepConjugate":
        """The network itself, which does not depend on the system."""
        return self

    def on(self, A: LinearOperator) -> "PublishedDeepConjugate":
        """The network itself, which does not depend on the system."""
        return self


def _through(blocks: nn.ModuleList, u: Tensor) -> Tensor:
    for block in blocks:
        assert isinstance(block, nn.ModuleList)
        v = u
        for conv in block:
            v = F.relu_(conv(v))
        u = u + v
    return u


def load_keras(weights: str | Path, graph: str | Path) -> PublishedDeepConjugate:
    """The network whose weights (.h5) and architecture (.json) Keras stored.

    Only residual stacks without a coarse grid are read; their weights are public.

    Raises:
        ValueError: the graph is not such a stack, or an array is missing or has another shape.
    """
    import json

    import h5py

    layers = json.loads(Path(graph).read_text(encoding="utf-8"))["config"]["layers"]
    model = _of_graph(layers, str(graph))
    names = [layer["name"] for layer in layers if layer["class_name"] not in _WITHOUT_WEIGHTS]
    modules = [m for m in model.modules() if isinstance(m, CONV[model.ndim])]
    with h5py.File(weights) as file, torch.no_grad():
        for name, module in zip(names, modules, strict=True):
            kernel, bias = (
                torch.from_numpy(file[name][key][()]) for key in file[name].attrs["weight_names"]
            )
            if kernel.ndim == 2:  # a dense layer along the channels
                kernel = kernel[(None,) * model.ndim]
            kernel = kernel.movedim((-1, -2), (0, 1))  # from (*k, in, out)
            if kernel.shape != module.weight.shape:
                raise ValueError(
                    f"{weights}: {name} has a kernel of shape {tuple(kernel.shape)}; "
                    f"{graph} asks for {tuple(module.weight.shape)}. The two files are of "
                    f"different networks."
                )
            assert module.bias is not None
            module.weight.copy_(kernel)
            module.bias.copy_(bias)
    return model.eval()


_WITHOUT_WEIGHTS = ("InputLayer", "TFOpLambda")
_Entry = tuple[str, str | None, tuple[int, ...]]  # kind, activation, indices of the input layers


def _of_graph(layers: Sequence[dict[str, Any]], name: str) -> PublishedDeepConjugate:
    """The residual stack that the layers of a Keras graph form."""
    number = {layer["name"]: i for i, layer in enumerate(layers)}
    found = [_entry(layer, number) for layer in layers]
    sums = [i for i, entry in enumerate(found) if entry[0] == "TFOpLambda"]
    kind, convolutions = found[1][0], sums[0] - 3 if sums else 0
    if kind in _NDIM and found == _stack(kind, convolutions, len(sums)):
        channels = layers[1]["config"]["filters"]
        return PublishedDeepConjugate(
            _NDIM[kind], channels=channels, convolutions=convolutions, blocks=len(sums)
        )
    raise ValueError(
        f"{name} is none of the published residual stacks: a linear convolution, a convolution "
        f"with ReLU, residual blocks of such convolutions, a dense layer. It has {len(layers)} "
        f"layers, of which {len(sums)} are sums."
    )


_NDIM = {"Conv1D": 1, "Conv2D": 2, "Conv3D": 3}


def _entry(layer: dict[str, Any], number: dict[str, int]) -> _Entry:
    config, inputs = layer["config"], []
    for node in layer["inbound_nodes"]:
        name, _, _, named = node[0] if isinstance(node[0], list) else node
        inputs += [number[name], *(number[v[0]] for v in named.values() if v)]
    return layer["class_name"], config.get("activation"), tuple(inputs)


def _stack(kind: str, convolutions: int, blocks: int) -> list[_Entry]:
    """The layers of a residual stack."""
    layers: list[_Entry] = [("InputLayer", None, ())]
    layers += [(kind, "linear", (0,)), (kind, "relu", (1,))]
    for _ in range(blocks):
        start = len(layers) - 1
        layers += [(kind, "relu", (start + i,)) for i in range(convolutions)]
        layers.append(("TFOpLambda", None, (start + convolutions, start)))
    return [*layers, ("Dense", "linear", (len(layers) - 1,))]
