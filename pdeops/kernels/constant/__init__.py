"""Geometric multigrid for -a Δu + c u with constant a and c, and u = 0 at the boundary nodes.

A level is coarsened only if its numbers of unknowns are odd. Then the coarse grid covers the same
box and its operator is the same one with twice the spacing, so only fields are stored.
`reference.py` is the plain twin, `cpu.py` has compiled loops.
"""

import torch

from ..blackbox.hierarchy import Hierarchy
from ..forms import COMPILED_DTYPES, Forms
from .problem import SMALLEST, Constant

__all__ = ["SMALLEST", "Constant", "serves", "set_up"]

FORMS = Forms(__name__, cpu="cpu")


def serves(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether compiled loops exist, which are faster than black-box multigrid; also where the twin
    takes their place."""
    return device.type == "cpu" and dtype in COMPILED_DTYPES


def set_up(problem: Constant, like: torch.Tensor) -> Hierarchy:
    """The levels for the cycle V(1,1) by points, on the device and in the dtype of `like`."""
    return FORMS.of(like, fits=like.dtype in COMPILED_DTYPES).set_up(problem, like)
