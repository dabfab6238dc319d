"""A tanh network on values and derivatives, evaluated block by block of points."""
# Axes: i input channel, k feature, o output channel, q entries, n points.

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..kernels import tanh_entries
from ..kernels.tanh_entries import Product
from .jets import DerivativesT

# Bytes of the entries of the widest layer in one block: what the layers read and write then stays
# in the last cache. Devices other than the CPU take all points at once.
_BLOCK = 1 << 21
_FEWEST = 64  # points of a block, on average at least


def tanh_network(
    inputs: DerivativesT, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> DerivativesT:
    """The outputs of linear layers with tanh between them.

    It can be differentiated once. The result is that of `layer_by_layer` with fewer passes over
    memory: a block of points goes through all layers at once. torch.compile, which merges passes
    itself, receives `layer_by_layer`.
    """
    if torch.compiler.is_compiling():
        return layer_by_layer(inputs, weights, biases)
    data = _TanhNetwork.apply(inputs.data, inputs.products, *weights, *biases)
    return replace(inputs, data=data)


def layer_by_layer(
    inputs: DerivativesT, weights: Sequence[Tensor], biases: Sequence[Tensor]
) -> DerivativesT:
    """The plain twin of `tanh_network`, which can be differentiated any number of times."""
    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
        data = (weight @ inputs.data.flatten(1)).unflatten(1, inputs.data.shape[1:])
        inputs = replace(
            inputs, data=torch.cat([data[:, :1] + bias[:, None, None], data[:, 1:]], 1)
        )
        if layer < len(weights):
            f = inputs.value.tanh()
            s = 1 - f * f
            inputs = inputs.through(f, s, -2 * f * s)
    return inputs


class _TanhNetwork(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, data: Tensor, products: tuple[Product, ...], *parameters: Tensor
    ) -> Tensor:
        depth = len(parameters) // 2
        weights, biases = parameters[:depth], parameters[depth:]
        out = data.new_empty(len(weights[-1]), *data.shape[1:])
        parts = _parts(data, weights)
        work = _memory(data, weights, parts)
        blocks = []
        for part in parts:
            features = [data[..., part].contiguous()]
            for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
                v = _product(weight, features[-1], work)
                f = tanh_entries.entries(v, bias, products, torch.empty_like(v))
                features.append(f)
            out[..., part] = _product(weights[-1], features[-1], work)
            blocks.append((part, features))
        out[:, 0] += biases[-1][:, None]
        ctx.save_for_backward(*weights)
        ctx.products, ctx.blocks = products, blocks
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Any, ...]:
        weights, depth = ctx.saved_tensors, len(ctx.saved_tensors)
        inputs, _, *needed = ctx.needs_input_grad
        trained = list(zip(weights, needed[:depth], needed[depth:], strict=True))
        outer = [torch.zeros_like(w) if product else None for w, product, _ in trained]
        sums = [w.new_zeros(len(w)) if total else None for w, _, total in trained]
        used = [layer for layer, (_, *either) in enumerate(trained) if any(either)]
        lowest = -1 if inputs else min(used, default=depth)
        back = g.new_empty(weights[0].shape[1], *g.shape[1:]) if inputs else None
        work = [_memory(g, weights, [part for part, _ in ctx.blocks]) for _ in range(2)]
        for part, features in ctx.blocks:
            slopes = g[..., part].contiguous()
            for layer in reversed(range(depth)):
                f = features[layer]
                if (product := outer[layer]) is not None:
                    product.addmm_(slopes.flatten(1), f.flatten(1).T)
                if (total := sums[layer]) is not None:
                    total += slopes[:, 0].sum(1)
                if layer <= lowest:
                    break
                slopes = _product(weights[layer].T, slopes, work[layer % 2])
                if layer > 0:
                    slopes = tanh_entries.slopes(f, slopes, ctx.products)
            if back is not None:
                back[..., part] = slopes
        return back, None, *outer, *sums


def _memory(
    u: Float[Tensor, "c q n"], weights: Sequence[Tensor], parts: Sequence[slice]
) -> Float[Tensor, " size"]:
    """Memory for the inputs or outputs of any layer in any block, which stays in the cache because
    all layers write to it."""
    channels = max(max(weight.shape) for weight in weights)
    return u.new_empty(channels * u.shape[1] * max(part.stop - part.start for part in parts))


def _product(
    matrix: Float[Tensor, "o i"], f: Float[Tensor, "i q n"], memory: Float[Tensor, " size"]
) -> Float[Tensor, "o q n"]:
    """matrix @ f for every entry, written to the beginning of `memory`."""
    shape = (len(matrix), *f.shape[1:])
    out = memory[: math.prod(shape)].view(len(matrix), -1)
    return torch.mm(matrix, f.flatten(1), out=out).view(shape)


def _parts(data: Float[Tensor, "i q n"], weights: Sequence[Tensor]) -> list[slice]:
    """The points of each block."""
    q, n = data.shape[1:]
    if data.device.type != "cpu" or n == 0:
        return [slice(0, n)]
    bytes_per_point = max(len(weight) for weight in weights) * q * data.element_size()
    count = min(math.ceil(n * bytes_per_point / _BLOCK), math.ceil(n / _FEWEST))
    ends = [n * k // count for k in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]
