"""Weights, gradients and moments of the optimizer divided among processes (FSDP2, ZeRO-3).

Each process holds 1/P of every parameter, of its gradient and of all that the optimizer keeps of
it. A group of parameters is gathered for its forward and backward pass, and freed after each;
gradients are summed over processes as they are divided. torch's `fully_shard` does this by hooks on
`forward`, so a group is the parameters of a module that are used by its methods alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from . import distributed
from .shards import is_divided


def shard(model: nn.Module, device: torch.device) -> None:
    """Divide the parameters of a model among all processes, and move it to the device.

    A module with the attribute `gathered_for`, the names of the methods that alone (with `forward`)
    use its parameters, is a group; all other parameters are one group, gathered for the forward
    pass of the model. At most two groups are whole at a time.

    Raises:
        ValueError: the parameters cannot be divided; see `require_divisible`.
    """
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    require_divisible(model)
    mesh = distributed.mesh(device)
    groups: list[Any] = [
        m for m in model.modules() if m is not model and hasattr(m, "gathered_for")
    ]
    for module in groups:
        fully_shard(module, mesh=mesh, reshard_after_forward=True)
        for method in module.gathered_for:
            register_fsdp_forward_method(module, method)
    fully_shard(model, mesh=mesh, reshard_after_forward=True)
    for module in _groups(model):
        module.set_gradient_divide_factor(1.0)  # the objective's mean is weighted already
        module.set_force_sum_reduction_for_comms(True)  # gloo has no other for float32
    model.to(device)  # buffers


def require_divisible(model: nn.Module) -> None:
    """Raise a ValueError if FSDP2 cannot divide a parameter: one that is complex, as it cannot
    exchange complex gradients, or is held by a module that changes what is assigned to it."""
    for name, p in model.named_parameters():
        if p.is_complex():
            raise ValueError(
                f"training.shard divides real parameters; {name} is {p.dtype}. Store it as real "
                f"pairs, nn.Parameter(torch.view_as_real(w)), and view it as complex in forward, "
                f"or leave training.shard out."
            )
    for name, module in model.named_modules():
        plain: Any = nn.Module.__setattr__
        if type(module).__setattr__ is not plain and list(module.parameters()):
            raise ValueError(
                f"training.shard cannot replace the parameters of {name}, a "
                f"{type(module).__name__} that changes what is assigned to it (as the complex "
                f"weights of neuraloperator's networks do). Leave training.shard out, or use FNO."
            )


@contextmanager
def gathered(model: nn.Module) -> Iterator[None]:
    """The parameters are whole inside the block, so that processes may evaluate the model a
    different number of times; a model that is not divided is left as it is."""
    groups = _groups(model)
    try:
        for module in groups:
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()
        yield
    finally:
        for module in groups:
            module.set_reshard_after_forward(True, recurse=False)
            module.reshard()


def whole(tensor: Tensor) -> Tensor:
    """A whole tensor from one that may be divided; all processes call it."""
    return tensor.full_tensor() if is_divided(tensor) else tensor  # type: ignore[attr-defined]


def whole_state(model: nn.Module) -> dict[str, Any]:
    """The state dict of a model with whole tensors, on the CPU if they were divided."""
    return {
        name: whole(value).cpu() if is_divided(value) else value
        for name, value in model.state_dict().items()
    }


def _groups(model: nn.Module) -> list[Any]:
    """The modules that `shard` made groups, none for other models."""
    if distributed.world_size() == 1:
        return []
    from torch.distributed.fsdp import FSDPModule

    return [m for m in model.modules() if isinstance(m, FSDPModule)]
