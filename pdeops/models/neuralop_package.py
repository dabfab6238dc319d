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


@contextlib.contextmanager
def traceable_products() -> Iterator[None]:
    """Products of tensors by torch alone, for torch.export.

    neuralop sets tensorly to contract by opt_einsum, which compares sizes as numbers and so fixes
    the size of a batch. Without effect if neuralop is not imported.
    """
    if "neuralop" not in sys.modules:
        yield
        return
    from tensorly import plugins
    from torch.backends import opt_einsum

    plugins.use_default_einsum()
    try:
        with opt_einsum.flags(enabled=False):
            yield
    finally:
        plugins.use_opt_einsum("optimal")
