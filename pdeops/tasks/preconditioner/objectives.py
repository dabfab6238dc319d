"""The objectives of networks inside solvers; recipes name them in the table [objective]."""

from collections.abc import Mapping

from .conjugate_direction import ConjugateDirection
from .conjugate_gradients import ConjugateGradients

OBJECTIVES: Mapping[str, type[ConjugateDirection | ConjugateGradients]] = {
    "ConjugateDirection": ConjugateDirection,
    "ConjugateGradients": ConjugateGradients,
}
