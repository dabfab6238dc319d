"""Fields of a caller in any form as tensors of floating numbers, and predictions in that form."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..datasets.containers.memory import array_of
from ..datasets.containers.store import why_not
from ..datasets.layouts.axis_names import axes_of
from ..datasets.layouts.chosen import LEADING

Restore = Callable[[Tensor], Any]


def fields_of(x: Any, domain: Any, dtype: torch.dtype) -> tuple[Tensor, Restore]:
    """The values of x as a dense tensor of floating numbers, and the function that brings a
    prediction of the same layout into the form of x.

    x is a tensor, an array, a DataArray of xarray, or nested lists. Integers and booleans become
    `dtype`, that of the operator; float16 and bfloat16 become float32, in which predictions do not
    overflow; float32 and float64 are kept. Strides, byte order and gradients do not matter. A
    DataArray is transposed to the order of the domain's axes by the names of its own, and reversed
    along axes whose coordinates run against the domain's; the prediction is put back.

    Raises:
        ValueError: x is complex, text, ragged, sparse or empty, or has masked values.
    """
    if all(hasattr(x, name) for name in ("dims", "coords", "isel")):
        return _labelled(x, domain, dtype)
    if isinstance(x, Tensor):
        return _checked(_tensor(x, dtype)), lambda y: y
    return _checked(_from_numpy(x, dtype)), lambda y: y.numpy()


def _tensor(x: Tensor, dtype: torch.dtype) -> Tensor:
    if x.layout is not torch.strided or x.is_complex():
        kind = "complex" if x.is_complex() else "sparse"
        raise ValueError(f"The operator maps dense fields of real numbers; got a {kind} tensor.")
    if not x.is_floating_point():
        return x.to(dtype)
    return x.detach() if x.dtype in (torch.float32, torch.float64) else x.detach().float()


def _from_numpy(x: Any, dtype: torch.dtype) -> Tensor:
    if np.ma.is_masked(x):
        raise ValueError(
            f"The operator needs a value at every node; got {np.ma.count_masked(x)} masked values. "
            f"Fill them in."
        )
    try:
        u = array_of(x)
    except ValueError as error:
        raise ValueError(f"The operator maps arrays of real numbers; got {error}.") from None
    reason = why_not(u.dtype) if u.dtype.kind != "O" else "Python objects"
    if reason:
        raise ValueError(f"The operator maps arrays of real numbers; got {reason}.")
    # torch takes no other byte order, reversed strides, long doubles or most unsigned integers.
    known = {np.dtype(np.float32): torch.float32, np.dtype(np.float64): torch.float64}
    native = u.dtype.newbyteorder("=")
    if u.dtype.kind == "f":
        to = native if native in known else np.result_type(native, np.float32)
        to = np.dtype(np.float64) if to not in known else to
        return torch.from_numpy(np.array(u, to, order="C"))
    return torch.from_numpy(np.array(u, np.float64, order="C")).to(dtype)


def _checked(u: Tensor) -> Tensor:
    if u.numel() == 0:
        raise ValueError(
            f"The operator maps one field or more; got none: the input has shape {tuple(u.shape)}."
        )
    return u


def _labelled(x: Any, domain: Any, dtype: torch.dtype) -> tuple[Tensor, Restore]:
    """`fields_of` for a DataArray."""
    order = _in_order(x.dims, domain.axes)
    back = {d: slice(None, None, -1) for d in x.dims if _runs_against(x, d, domain)}
    upright = x.transpose(*order).isel(back)
    u = _checked(_from_numpy(upright.values, dtype))

    def restore(y: Tensor) -> Any:
        if y.ndim != len(order):
            return y.numpy()
        sizes = dict(zip(order, y.shape, strict=True))
        kept = {
            name: c
            for name, c in upright.coords.items()
            if all(sizes[d] == n for d, n in zip(c.dims, c.shape, strict=True))
        }
        predicted = type(x)(y.numpy(), dims=order, coords=kept)
        return predicted.isel(back).transpose(*x.dims)

    return u, restore


def _in_order(dims: Sequence[Any], space: Sequence[str]) -> tuple[Any, ...]:
    """The dimensions in the order of a batch, if their names say what they are; else as they are.
    A dimension `sample` is that of the batch."""
    known = (*LEADING, *space)
    found = axes_of(tuple(map(str, dims)), known)
    if found is None or found[1]:
        return tuple(dims)
    by_axis = dict(zip(found[0], dims, strict=True))
    return tuple(by_axis[axis] for axis in known if axis in by_axis)


def _runs_against(x: Any, dim: Any, domain: Any) -> bool:
    """Whether the coordinates of a dimension descend; on a sphere, whether latitudes ascend."""
    if dim not in x.coords or x.coords[dim].dtype.kind not in "iuf" or x.sizes[dim] < 2:
        return False
    values = x.coords[dim].values
    if domain.kind == "sphere" and str(dim).lower() in ("latitude", "lat"):
        return bool(values[-1] > values[0])
    return bool(values[-1] < values[0])
