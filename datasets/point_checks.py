"""Checks of samples on points: coordinates, the declared box, fields, and the cells of meshes."""

from typing import Any

import torch
from torch import Tensor

from ..domain.cells import cell_volumes, corner_jacobians
from .spec import DatasetSpec

# A cell is degenerate if its volume is below this fraction of the extent of its sample times the
# powers of its longest edge: coordinates in float64 do not resolve it.
_DEGENERATE = 1e-12


def check_sample(sample: Any, spec: DatasetSpec, i: int) -> None:
    """Raise a ValueError unless a `PointSample` fits the spec and holds finite values, points in
    the declared box, and sound cells."""
    domain: Any = spec.domain
    where = f"sample {i}"
    check_cloud(
        sample.positions,
        domain.num_coordinates,
        domain.box,
        where,
        weights=sample.weights,
        cells=sample.cells,
    )
    n = sample.positions.shape[-1]
    for field in spec.fields:
        if field.name not in sample.fields:
            continue  # the writer compares the names
        u = sample.fields[field.name]
        times = (len(spec.times),) if field.has_time else ()
        channels = (len(field.channels),) if field.channels else ()
        shape = (*times, *channels, n) if field.has_space else ()
        if tuple(u.shape) != shape:
            raise ValueError(
                f"{field.name} of {where} must have shape {shape} on its {n} points; got "
                f"{tuple(u.shape)}."
            )
        if shape:
            _finite(u.reshape(-1, n), field.name, where)
        elif not u.isfinite():
            raise ValueError(f"The parameter {field.name} of {where} is {u.item()}, not finite.")


def check_cloud(
    positions: Tensor,
    d: int,
    box: Any,
    where: str,
    *,
    weights: Tensor | None = None,
    cells: Tensor | None = None,
) -> None:
    """All checks of the points of one sample; cells first, since weights may be theirs."""
    check_positions(positions, d, box, where)
    if cells is not None:
        check_cells(positions, cells, where)
    if weights is not None:
        check_weights(weights, positions.shape[1], where)


def check_positions(positions: Tensor, d: int, box: Any, where: str) -> None:
    """Raise a ValueError unless positions (d, n) are finite, not empty, and in the box (a lower and
    an upper corner, or None)."""
    if positions.ndim != 2 or positions.shape[0] != d:
        raise ValueError(
            f"The positions of {where} must have shape ({d}, points); got {tuple(positions.shape)}."
        )
    if positions.shape[1] == 0:
        raise ValueError(f"{where.capitalize()} has no points. Leave it out (--without).")
    _finite(positions, "the coordinates", where)
    if box is None:
        return
    lower, upper = (torch.tensor(c, dtype=torch.float64)[:, None] for c in box)
    slack = 1e-6 * (upper - lower)  # corners and coordinates may be rounded to float32
    x = positions.double()
    outside = ((x < lower - slack) | (x > upper + slack)).any(0)
    if outside.any():
        row = int(outside.nonzero()[0])
        raise ValueError(
            f"{int(outside.sum())} of {len(outside)} points of {where} lie outside of the box from "
            f"{box[0]} to {box[1]}; the first is point {row} at {_rounded(x[:, row])}. Correct "
            f"the coordinates, or declare a larger box."
        )


def check_weights(weights: Tensor, n: int, where: str) -> None:
    """Raise a ValueError unless weights (n,) are finite, not negative, and not all zero."""
    _one_each(weights, n, "weights", where)
    bad = ~(weights >= 0) | weights.isinf()
    if bad.any() or not weights.sum() > 0:
        row = int(bad.to(torch.uint8).argmax())
        got = f"{weights[row].item():g} at point {row}" if bad.any() else "zeros only"
        raise ValueError(
            f"Quadrature weights are finite and not negative, with a positive sum; {where} has "
            f"{got}. Leave the weights out if they are not known."
        )


def check_mask(mask: Tensor, n: int, where: str) -> None:
    """Raise a ValueError unless a mask (n,) has one entry per point and is true at one or more."""
    _one_each(mask, n, "mask", where)
    if not mask.any():
        raise ValueError(f"{where.capitalize()} has no points: its mask is false. Leave it out.")


def check_corners(cells: Tensor, n: int, where: str) -> None:
    """Raise a ValueError unless the cells (m, k) are whole numbers of points, 0 to n - 1."""
    if cells.ndim != 2 or cells.is_floating_point() or cells.numel() == 0:
        raise ValueError(
            f"The cells of {where} are whole numbers of shape (cells, corners); got "
            f"{tuple(cells.shape)} {cells.dtype}."
        )
    outside = ((cells < 0) | (cells >= n)).any(1)
    if outside.any():
        row = int(outside.nonzero()[0])
        raise ValueError(
            f"Cells name the points 0..{n - 1} of their sample; cell {row} of {where} names "
            f"{cells[row].tolist()}. Numbers in a file often start at 1: subtract 1."
        )


def check_cells(positions: Tensor, cells: Tensor, where: str) -> None:
    """Raise a ValueError unless the cells (m, k) name points of the sample, have a volume, and are
    all oriented alike. Cells of surfaces in space and of curves have no orientation: their
    Jacobians are positive."""
    d, n = positions.shape
    check_corners(cells, n, where)
    x = positions.double()
    volumes, jacobians = cell_volumes(x, cells.long()), corner_jacobians(x, cells.long())
    corners = x.mT[cells.long()]
    longest = (corners[:, :, None] - corners[:, None]).norm(dim=-1).flatten(1).amax(1)
    extent = (x.amax(1) - x.amin(1)).amax()
    dimension = {2: 1, 3: 2}.get(cells.shape[1], d)
    smallest = _DEGENERATE * extent * longest ** (dimension - 1)
    flat = volumes.abs() <= smallest
    if flat.any():
        row = int(flat.nonzero()[0])
        raise ValueError(
            f"{int(flat.sum())} of {len(flat)} cells of {where} are degenerate; the first is cell "
            f"{row} with the points {cells[row].tolist()} and volume {volumes[row].item():.3g}. "
            f"Remove these cells, or mesh again."
        )
    usual = volumes.sign().sum().sign()
    turned = (jacobians * (1.0 if usual == 0 else usual) < -smallest[:, None]).any(1)
    if turned.any():
        row = int(turned.nonzero()[0])
        raise ValueError(
            f"{int(turned.sum())} of {len(turned)} cells of {where} are inverted: their corners "
            f"run against those of the others, or cross; the first is cell {row} with the points "
            f"{cells[row].tolist()}. Put the corners in order, or mesh again."
        )


def _one_each(values: Tensor, n: int, name: str, where: str) -> None:
    """Raise a ValueError unless there is one value for each of the n points."""
    if tuple(values.shape) != (n,):
        raise ValueError(
            f"The {name} of {where} must have shape {(n,)}, one entry for each point; got "
            f"{tuple(values.shape)}."
        )


def _finite(u: Tensor, name: str, where: str) -> None:
    """Raise a ValueError if values (..., n) are not finite, with the first point."""
    bad = ~u.isfinite().all(0)
    if bad.any():
        row = int(bad.nonzero()[0])
        raise ValueError(
            f"{int(bad.sum())} of {len(bad)} points of {where} have values that are not finite in "
            f"{name}; the first is point {row} with {_rounded(u[:, row])}. Correct the values, or "
            f"leave the sample out (--without in pdeops data convert)."
        )


def _rounded(values: Tensor) -> list[float]:
    return [float(f"{v:.6g}") for v in values.tolist()]
