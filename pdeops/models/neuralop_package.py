"""The package neuralop, imported in silence and without wandb."""

import contextlib
import io
import sys
import warnings
from collections.abc import Iterator

from torch import nn


def network_class(name: str) -> type[nn.Module]:
    """A class of neuralop.models, imported without wandb; to be called inside `silent`.

    wandb takes half of the import time, and only neuralop's own Trainer uses it. If wandb or
    neuralop is already imported, nothing is changed.
    """
    hide = "wandb" not in sys.modules and "neuralop" not in sys.modules
    if hide:
        sys.modules["wandb"] = None  # type: ignore[assignment]  # `import wandb` now fails
    try:
        from neuralop import models
    finally:
        if hide:
            del sys.modules["wandb"]
    if name == "SFNO" and not hasattr(models, name):
        import torch_harmonics  # noqa: F401  # raises the ImportError that neuralop hides
    return getattr(models, name)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Suppresses standard output and restores the warning filters at the end.

    neuralop prints when it is imported and whenever a UNO is built.
    """
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        yield
