"""The rows of the contract of operations of networks (`test_contract.py`)."""

import torch
import torch.nn.functional as F

from pdeops.kernels import (
    convolution,
    fno,
    multichannel_cycle,
    spectral_conv,
    tanh_entries,
)
from pdeops.kernels.fno import reference as fno_reference
from pdeops.kernels.spectral_conv import reference as spectral_conv_reference
from pdeops.kernels.tanh_entries import reference as tanh_entries_reference

from . import learned_cycles
from .contract_row import IN_PLACE, SIZES, Row


def channels_first(function):
    """A twin with channels first as a function of fields with channels last."""

    def wrapped(u, *rest):
        return function(u.movedim(-1, 1), *rest).movedim(1, -1)

    return wrapped


def spectral_fields(n):
    modes = (*(4 for _ in n[1:]), 3)
    return [(2, *n, 3), (*modes, 3, 2, 2)]


def few_modes(n):
    """Two per axis: Triton's interpreter takes a hundredth of a second for each."""
    return [(2, *n, 3), (*[2] * len(n), 3, 2, 2)]


def convolve_with_wide_weights(u, weight):
    """Weights and coefficients are float32 for fields in bfloat16."""
    return spectral_conv.convolve(u, weight.to(torch.promote_types(u.dtype, torch.float32)))


def layer_fields(n):
    modes = (*(4 for _ in n[1:]), 3)
    return [(2, *n, 3), (*modes, 3, 2, 5), (4, 5), (4,), (2, 4), (2, 3), (2,)]


def plain_layer(u, K, M1, m1, M2, W, w):
    zero = torch.zeros_like(w)
    layer = channels_first(fno_reference.fourier_layer)
    return F.gelu(layer(u, K, M1, m1, M2, zero, W, w))


def enlarged(n):
    """One axis cropped, the others padded."""
    return (n[0] - 2, *(k + 3 for k in n[1:]))


def plain_mlp(u, *maps):
    mlp = channels_first(
        lambda u, *maps: fno_reference.pointwise_mlp(u, enlarged(u.shape[2:]), *maps)
    )
    return mlp(u, *maps)


def cycle_row(plan, geometry, sizes, *dtypes):
    """The two passes by the steps of the device, and autograd of the twin."""
    return Row(
        lambda f, *W: multichannel_cycle.functions.by_steps(f, W, plan, geometry),
        learned_cycles.plain(plan, geometry),
        lambda n: [(1, 2, *n), *learned_cycles.shapes(plan, (2, 3), 2)],
        sizes,
        dtypes or (torch.float64, torch.float32),
    )


def without_gradient(function):
    def wrapped(*fields):
        with torch.no_grad():
            return function(*fields)

    return wrapped


def convolve(form):
    window = ((2, 1, 1), (1, 0, 2), (1, 1, 2), 2)
    return without_gradient(lambda u, W, b: form(u, W, b, *window))


def tanh_and_back(form):
    """Entries 1 and 2 have products: two in one entry, and equal and different a and b."""
    Product = tanh_entries.Product
    products = (Product(1, 3, 3, -0.3), Product(1, 4, 3, 0.7), Product(2, 3, 4, 1.2))

    def both(v, bias, g):
        f, g = torch.empty_like(v), g.clone()
        form.entries(v, bias, products, f)
        form.slopes(f, g, products)
        return f, g

    return both


NETWORKS = {
    "spectral_conv": Row(
        spectral_conv.convolve,
        channels_first(spectral_conv_reference.convolve),
        spectral_fields,
        ((16,), (13,), *SIZES),
    ),
    "spectral_conv, few_modes": Row(
        convolve_with_wide_weights,
        channels_first(spectral_conv_reference.convolve),
        few_modes,
        ((1, 1), (5, 7), (2, 3, 5), (13,)),
        dtypes=(torch.bfloat16, torch.float32),
    ),
    "multichannel_cycle": cycle_row(learned_cycles.V, learned_cycles.NEUMANN, SIZES[:2]),
    "multichannel_cycle, few_levels": cycle_row(
        learned_cycles.BACKSLASH, learned_cycles.DIRICHLET, ((4, 3), (1, 1)), torch.float32
    ),
    "fno.fourier_layer": Row(
        lambda *fields: fno.fourier_layer(*fields, activate=True),
        plain_layer,
        layer_fields,
        ((16,), (13,), *SIZES),
    ),
    "fno.pointwise_mlp": Row(
        lambda u, *maps: fno.pointwise_mlp(u, enlarged(u.shape[1:-1]), *maps),
        plain_mlp,
        lambda n: [(2, *n, 3), (7, 3), (7,), (2, 7), (2,)],
        ((16,), (13,), *SIZES),
    ),
    "convolution.conv3d": Row(
        convolve(convolution.conv3d),
        convolve(F.conv3d),
        lambda n: [(1, 4, *n), (6, 2, 3, 2, 3), (6,)],
        ((9, 8, 7), (16, 16, 16)),
        exempt={"test_backward": "the form by oneDNN is for inference"},
    ),
    "tanh_entries": Row(
        tanh_and_back(tanh_entries),
        tanh_and_back(tanh_entries_reference),
        lambda n: [n, n[:1], n],
        ((1, 5, 16), (3, 7, 11), (9, 6, 7)),
        exempt=IN_PLACE,
    ),
}
