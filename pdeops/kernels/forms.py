"""Selection of the form of an operation, and the requirements of compiled loops on fields.

The folder of an operation holds `reference.py`, the plain torch twin, and one module per kind of
device that has a faster form (`cpu.py`, later `gpu.py`). Its `__init__` is the operation: it owns a
table `FORMS` from device type to form and the conditions under which a form applies. Callers do not
ask for the device, the dtype or the memory layout of a field.
"""

from importlib import import_module
from types import ModuleType

import torch
from torch import Tensor

from .runtime.first_calls import once

COMPILED_DTYPES = (torch.float64, torch.float32)  # of the compiled loops


class Forms:
    """The forms of one operation: device type -> module, the plain twin on every other device.

        FORMS = Forms(__name__, cpu="cpu")
        FORMS.of(u).update(u, ...)

    A module is imported at its first use, because importing numba takes half a second.

    Args:
        package: the operation's package.
        by_device: for each device type the name of the module in that package.
    """

    def __init__(self, package: str, **by_device: str) -> None:
        self.package, self.by_device = package, by_device
        self._modules: dict[str, ModuleType] = {}

    def of(self, u: Tensor, *, fits: bool = True) -> ModuleType:
        """The form for the device of u; the twin unless the field `fits`."""
        return self._module(self.by_device.get(u.device.type, "reference") if fits else "reference")

    def serve(self, u: Tensor) -> bool:
        """Whether the device of u has a form other than the twin."""
        return u.device.type in self.by_device

    def _module(self, name: str) -> ModuleType:
        try:
            return self._modules[name]
        except KeyError:
            with once():
                module = import_module(f"{self.package}.{name}")
            return self._modules.setdefault(name, module)


def is_compiled(u: Tensor) -> bool:
    """Whether u has a dtype of the compiled loops and no gradient is recorded for it."""
    return u.dtype in COMPILED_DTYPES and not (u.requires_grad and torch.is_grad_enabled())


def is_asynchronous(u: Tensor) -> bool:
    """Whether operations on u are queued, so that reading a number waits for the queue to empty."""
    return u.device.type != "cpu"


def splits_into_parts(u: Tensor, factor: Tensor) -> bool:
    """Whether factor * u can be computed on the real and imaginary parts of a complex u.

    This holds for real factors of the shape of u's last axes and a contiguous u. torch would
    convert the real factors to complex ones.
    """
    return (
        u.is_complex()
        and u.is_contiguous()
        and not factor.is_complex()
        and factor.shape == u.shape[u.ndim - factor.ndim :]
    )
