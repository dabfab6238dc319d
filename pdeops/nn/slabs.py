"""Models whose fields several processes share, as slabs."""

from typing import Any

from torch import nn

from ..kernels.runtime.slabs import Slabs


def split(model: nn.Module, slabs: Slabs) -> None:
    """Let the processes of `slabs` share each field of the model, by the method `split` of its
    modules that have one (`FNO`). The weights stay whole on every process.

    Raises:
        ValueError: the model has no such module or trains other weights too, or the number of
            processes does not divide the domain.
    """
    shared: list[Any] = [m for m in model.modules() if hasattr(m, "split")]
    inside = {id(p) for m in shared for p in m.parameters()}
    if not inside or any(p.requires_grad and id(p) not in inside for p in model.parameters()):
        names = ", ".join(dict.fromkeys(type(m).__name__ for m in model.modules()))
        raise ValueError(
            f"Processes can share the fields of FNO; got a model of {names}. Use training.slabs = "
            f"1, or FNO."
        )
    for module in shared:
        module.split(slabs)
