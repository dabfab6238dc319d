"""Points of a caller's samples: positions, mask, weights and parameters as a batch."""
# Axes: b batch, d coordinates, n points, p parameters.

from typing import Any

import torch
from torch import Tensor

from ..batch import Batch
from ..datasets import FieldDataset
from ..datasets.containers.memory import array_of
from ..datasets.point_checks import check_mask, check_positions, check_weights
from ..domain import Points

MEMBERS = ("positions", "mask", "weights", "parameters")


def located(batch: Batch) -> dict[str, Any]:
    """The arguments of a finished run that describe the points of a batch."""
    return {name: batch.get(name) for name in MEMBERS if name in batch and "positions" in batch}


def integrals(dataset: FieldDataset) -> str | None:
    """How the integrals in losses and metrics are computed on points; None on a grid."""
    if not isinstance(dataset.domain, Points):
        return None
    known = dataset.points(0).weights is not None
    return "weighted" if known else "unweighted"


def real(batch: Batch, u: Tensor) -> Tensor:
    """The values of fields (b, ..., n) of a batch without padding: all samples as one, (1, ..., Σ
    n_i), if the batch has a mask; u itself otherwise."""
    if "mask" not in batch:
        return u
    return torch.cat([v[..., m] for v, m in zip(u, batch.mask, strict=True)], -1)[None]


def points_of(domain: Any, given: dict[str, Any]) -> Batch | None:
    """The points of a caller's samples, with positions (b, d, n) in float64; None if all samples
    have the nodes of the domain.

    Args:
        given: positions (b, d, n), or (d, n) of one sample; mask and weights (b, n); parameters
            (b, p); each a tensor, array or list, or None.

    Raises:
        ValueError: positions are missing, not finite, or outside the box of the domain; other
            members do not fit them; the domain has nodes of its own.
    """
    known: dict[str, Any] = {
        name: _tensor(value) for name, value in given.items() if value is not None
    }
    own = isinstance(domain, Points) and domain.positions is None
    if not own:
        if known:
            raise ValueError(
                f"The operator maps fields on {domain}, which all samples share; got "
                f"{', '.join(known)}. Leave them out."
            )
        return None
    if "positions" not in known:
        raise ValueError(
            f"The operator maps fields on points of each sample: give their coordinates, "
            f"run(x, positions=...) of shape (batch, {domain.num_coordinates}, points)."
        )
    if known["positions"].ndim == 2:
        known = {name: value[None] for name, value in known.items()}
    if "mask" in known:
        known["mask"] = known["mask"].bool()
    positions, mask = known["positions"], known.get("mask")
    if positions.ndim != 3 or positions.shape[1] != domain.num_coordinates:
        raise ValueError(
            f"Positions have shape (batch, {domain.num_coordinates}, points); got "
            f"{tuple(positions.shape)}."
        )
    for name, value in known.items():
        if len(value) != len(positions):
            raise ValueError(
                f"There are positions of {len(positions)} samples and {name} of {len(value)}."
            )
    for i, x in enumerate(positions):
        if mask is not None:
            check_mask(mask[i], x.shape[-1], f"sample {i}")
            x = x[:, mask[i]]
        check_positions(x, domain.num_coordinates, domain.box, f"sample {i}")
        if "weights" in known:
            check_weights(known["weights"][i], positions.shape[-1], f"sample {i}")
    return Batch(**known)


def _tensor(value: Any) -> Tensor:
    """The values as a tensor: numbers in float64, masks as they are."""
    u = torch.from_numpy(array_of(value).copy())
    return u if u.dtype == torch.bool else u.double()
