"""Neural operators: one paper, one file, one class. Recipes choose a model from `MODELS`.

A model is built as Model(in_channels, out_channels, grid, **hyperparameters) and maps fields (b, c,
*space) on any grid of the same box or sphere to fields (b, c_out, *space). Its attribute `domains`
lists the supported types of domain; `nn.domains.check_domain(Model, domain)` refuses others.
`arguments` holds its hyperparameters as plain values: Model(in_channels, out_channels, grid,
**model.arguments) has the same architecture and loads its weights.

`CORRECTIONS` holds the networks inside solvers: Model(ndim, **hyperparameters) maps residuals
(b, 1, *space) to corrections. Training uses `at(faces)`, the map for systems with these couplings
(`kernels/diffusion/reference.py`); a solver uses `on(A)`, the map for one operator.

`FIELDS` holds networks that are the solution of one equation (`nn/space_time_field.py`):
Model(equation, u0, t_end, **hyperparameters) maps points and times to u.
"""

from torch import nn

from ..nn.domains import KNOWN
from .corrections.aggregation import LearnedAggregation
from .corrections.deep_conjugate import DeepConjugate
from .corrections.deep_conjugate_published import PublishedDeepConjugate
from .corrections.graph_inverse import FactoredGraphInverse, GraphIncompleteFactor, GraphInverse
from .corrections.vcycle import VCyclePreconditioner
from .fields.lpinn import LPINN
from .fields.neural_field_stepper import NeuralFieldStepper
from .fields.pinn import PINN
from .operators.fno import FNO
from .operators.lsm import LSM
from .operators.lsm_points import PointLSM
from .operators.lsm_published import PublishedLSM
from .operators.lsm_published_points import PublishedPointLSM
from .operators.mgno import MgNO
from .operators.mgno_published import PublishedMgNO
from .operators.neuraloperator import NeuralopFNO, NeuralopSFNO, NeuralopTFNO, NeuralopUNO
from .operators.spatiotemporal_fno import SpatiotemporalFNO
from .operators.transolver import Transolver

__all__ = [
    "CORRECTIONS",
    "FIELDS",
    "FNO",
    "LPINN",
    "LSM",
    "MODELS",
    "PINN",
    "DeepConjugate",
    "FactoredGraphInverse",
    "GraphIncompleteFactor",
    "GraphInverse",
    "LearnedAggregation",
    "MgNO",
    "NeuralFieldStepper",
    "NeuralopFNO",
    "NeuralopSFNO",
    "NeuralopTFNO",
    "NeuralopUNO",
    "PointLSM",
    "PublishedDeepConjugate",
    "PublishedLSM",
    "PublishedMgNO",
    "PublishedPointLSM",
    "SpatiotemporalFNO",
    "Transolver",
    "VCyclePreconditioner",
]

MODELS: dict[str, type[nn.Module]] = {
    "FNO": FNO,
    "MgNO": MgNO,
    "PublishedMgNO": PublishedMgNO,
    "LSM": LSM,
    "PointLSM": PointLSM,
    "PublishedLSM": PublishedLSM,
    "PublishedPointLSM": PublishedPointLSM,
    "Transolver": Transolver,
    "NeuralopFNO": NeuralopFNO,
    "NeuralopTFNO": NeuralopTFNO,
    "NeuralopUNO": NeuralopUNO,
    "NeuralopSFNO": NeuralopSFNO,
    "SpatiotemporalFNO": SpatiotemporalFNO,
}
KNOWN.update(MODELS)

CORRECTIONS: dict[str, type[nn.Module]] = {
    "DeepConjugate": DeepConjugate,
    "PublishedDeepConjugate": PublishedDeepConjugate,
    "VCyclePreconditioner": VCyclePreconditioner,
    "GraphInverse": GraphInverse,
    "FactoredGraphInverse": FactoredGraphInverse,
    "GraphIncompleteFactor": GraphIncompleteFactor,
    "LearnedAggregation": LearnedAggregation,
}

FIELDS: dict[str, type[nn.Module]] = {
    "PINN": PINN,
    "LPINN": LPINN,
    "NeuralFieldStepper": NeuralFieldStepper,
}
