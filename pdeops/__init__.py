"""pdeops: neural PDE solvers and operator learning, compared honestly with classical solvers.

    import pdeops
    operator = pdeops.load_run("runs/mgno_darcy65/...")
    pressure = operator(permeability)

Names are resolved on first use, so that importing the package does nothing and costs little.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

_HOME = {
    "Grid": "domain.grid",
    "LinearOperator": "linop",
    "Points": "domain.points",
    "Preconditioner": "linop",
    "Sphere": "domain.sphere",
    "check_spd": "linop",
    "Run": "tasks.supervised",
    "evaluate": "tasks",
    "load_correction": "tasks.preconditioner",
    "load_preconditioner": "tasks.preconditioner",
    "load_recipe": "tasks",
    "load_run": "tasks",
    "predict": "tasks",
    "resume": "tasks",
    "solve": "solvers.choice.solve",
    "train": "tasks",
    "generate": "datasets",
    "open_dataset": "datasets",
    "compare": "compare",
    "datasets": "datasets",
    "models": "models",
    "solvers": "solvers",
}
_ROOMS = ("compare", "datasets", "models", "solvers")

__all__ = [
    "Grid",
    "LinearOperator",
    "Points",
    "Preconditioner",
    "Run",
    "Sphere",
    "check_spd",
    "compare",
    "datasets",
    "evaluate",
    "generate",
    "load_correction",
    "load_preconditioner",
    "load_recipe",
    "load_run",
    "models",
    "open_dataset",
    "predict",
    "resume",
    "solve",
    "solvers",
    "train",
]

if TYPE_CHECKING:
    from . import compare, datasets, models, solvers
    from .datasets import open_dataset
    from .datasets.generate.generate import generate
    from .domain import Grid, Points, Sphere
    from .linop import LinearOperator, Preconditioner, check_spd
    from .solvers.choice.solve import solve
    from .tasks import evaluate, load_recipe, load_run, predict, resume, train
    from .tasks.preconditioner import load_correction, load_preconditioner
    from .tasks.supervised import Run


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("pdeops")
    if name not in _HOME:
        raise AttributeError(f"module 'pdeops' has no attribute {name!r}; it has {__all__}")
    module = import_module(f".{_HOME[name]}", __name__)
    return module if name in _ROOMS else getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
