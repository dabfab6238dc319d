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

from .jets import DerivativesT, Product, tanh_entries, tanh_slopes

# Bytes of the entries of the widest layer in one block: what a layer reads and writes then stays in
# the cache of a core. Devices other than the CPU take all points at once.
_BLOCK = 1 << 19
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
        depth, q = len(parameters) // 2, data.shape[1]
        weights, biases = parameters[:depth], parameters[depth:]
        out = data.new_empty(len(weights[-1]), *data.shape[1:])
        blocks = []
        for part in _parts(data, weights):
            f = data[..., part].contiguous()
            features = [f]
            for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True), 1):
                v = (weight @ f.flatten(1)).view(len(weight), q, -1)
                v[:, 0] += bias[:, None]
                if layer == depth:
                    out[..., part] = v
                else:
                    f = tanh_entries(v, products, torch.empty_like(v))
                    features.append(f)
            blocks.append((part, features))
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
                slopes = (weights[layer].T @ slopes.flatten(1)).view(f.shape)
                if layer > 0:
                    slopes = tanh_slopes(f, slopes, ctx.products)
            if back is not None:
                back[..., part] = slopes
        return back, None, *outer, *sums


def _parts(data: Float[Tensor, "i q n"], weights: Sequence[Tensor]) -> list[slice]:
    """The points of each block."""
    q, n = data.shape[1:]
    if data.device.type != "cpu" or n == 0:
        return [slice(n)]
    bytes_per_point = max(len(weight) for weight in weights) * q * data.element_size()
    count = min(math.ceil(n * bytes_per_point / _BLOCK), math.ceil(n / _FEWEST))
    ends = [n * k // count for k in range(count + 1)]
    return [slice(start, end) for start, end in pairwise(ends)]
