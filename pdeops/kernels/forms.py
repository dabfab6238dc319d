"""Selection of the form of an operation, and the requirements of compiled loops on fields.

The folder of an operation holds `reference.py`, the plain torch twin, and one module per kind of
device that has a faster form (`cpu.py`, `gpu.py`). Its `__init__` is the operation: it owns a
table `FORMS` from device type to form and the conditions under which a form applies. Callers do not
ask for the device, the dtype or the memory layout of a field.

The environment variable PDEOPS_KERNELS, read when the operation is imported, overrides the tables:
`reference` leaves only the twins; `triton` uses the forms in Triton for fields on a CPU too, which
needs Triton's interpreter (TRITON_INTERPRET=1) and is for tests.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, wraps
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

from .runtime.first_calls import once

COMPILED_DTYPES = (torch.float64, torch.float32)  # of the compiled loops
P = ParamSpec("P")
T = TypeVar("T")
_portable = False
VARIABLE = "PDEOPS_KERNELS"
log = logging.getLogger("pdeops")


@dataclass(frozen=True)
class Choice:
    """The name of a form's module, and why it was chosen."""

    form: str
    reason: str


class Forms:
    """The forms of one operation: device type -> module, the plain twin on every other device.

        FORMS = Forms(__name__, cpu="cpu")
        FORMS.of(u).update(u, ...)

    A module is imported at its first use, because importing numba takes half a second.

    Args:
        package: the operation's package.
        otherwise: the module that serves where no other does.
        by_device: for each device type the name of the module in that package.

    Attributes:
        only_twin: whether the operation takes its twin everywhere: PDEOPS_KERNELS=reference.

    Raises:
        ValueError: PDEOPS_KERNELS has another value than the two, or the interpreter is off.
    """

    def __init__(self, package: str, *, otherwise: str = "reference", **by_device: str) -> None:
        setting = _setting()
        self.only_twin = setting == "reference"
        if self.only_twin:
            by_device = {}
        elif setting == "triton" and "cuda" in by_device:
            by_device = {**by_device, "cpu": by_device["cuda"]}
        self.package, self.by_device, self.otherwise = package, by_device, otherwise
        # A graph that torch.compile records can import nothing: packages import the twin for it.
        twin = sys.modules.get(f"{package}.{otherwise}")
        self._modules: dict[str, ModuleType] = {} if twin is None else {otherwise: twin}

    def of(self, u: Tensor, *, fits: bool = True) -> ModuleType:
        """The form for the device of u; the twin unless the field `fits`."""
        name = self.by_device.get(u.device.type, self.otherwise)
        return self._module(
            name if fits and not _portable and not unrecorded(name) else self.otherwise
        )

    def fitting(self, u: Tensor, **unfit: str | None) -> ModuleType:
        """The form for the device of u; the twin if it cannot take the field.

        Args:
            unfit: for a form, by its name, why it cannot take the field; None: it can.
        """
        device = u.device.type
        reason = unfit.get(self.by_device.get(device, ""))
        name = self.choice(device, reason).form
        return self._module(self.otherwise if unrecorded(name) else name)

    def serve(self, u: Tensor) -> bool:
        """Whether the device of u has a form other than the twin."""
        name = self.by_device.get(u.device.type)
        return name is not None and not _portable and not unrecorded(name)

    @contextmanager
    def twin(self) -> Iterator[None]:
        """A context in which the operation takes its twin, for comparisons; not for threads."""
        before = self.by_device, self.only_twin
        self.by_device, self.only_twin = {}, True
        try:
            yield
        finally:
            self.by_device, self.only_twin = before

    def choice(self, device: str, unfit: str | None = None) -> Choice:
        """The form for a field on a device of this type. Where a form in Triton exists and cannot
        run, one message in the log says so.

        Args:
            unfit: why the form of the device cannot take the field; None: it can.
        """
        name = self.by_device.get(device)
        if _portable:
            return Choice(self.otherwise, "a program that is exported")
        if self.only_twin:
            return Choice("reference", f"{VARIABLE}=reference")
        if name is None:
            return Choice(self.otherwise, f"no form for {device}")
        if name == "gpu" and unfit is None and not _has_triton():
            unfit = "Triton is not installed (pip install triton)"
        if unfit is None:
            return Choice(name, f"form for {device}")
        if name == "gpu":
            warn_once(self.package.rpartition(".")[2], self.otherwise, unfit)
        return Choice(self.otherwise, unfit)

    def _module(self, name: str) -> ModuleType:
        if name not in self._modules:
            with once():
                self._modules[name] = import_module(f"{self.package}.{name}")
        return self._modules[name]


def unrecorded(form: str) -> bool:
    """Whether torch.compile or torch.export is recording a graph, of which the form cannot be a
    part: loops in numba cannot, operations in Triton are registered (`runtime/registration.py`)."""
    return form == "cpu" and torch.compiler.is_compiling()


def twin_in_graphs(twin: Callable[P, T]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """A decorator for loops that were bound before a graph is recorded, which holds the twin."""

    def decorate(loops: Callable[P, T]) -> Callable[P, T]:
        @wraps(loops)
        def chosen(*args: P.args, **kwargs: P.kwargs) -> T:
            return (twin if torch.compiler.is_compiling() else loops)(*args, **kwargs)

        return chosen

    return decorate


class ArrayForms(Forms):
    """The forms of an operation on numpy's arrays: compiled loops on the CPU, and the twin.

    FORMS = ArrayForms(__name__)

    @FORMS.or_twin
    def solve(...): the call of the loops
    """

    def __init__(self, package: str) -> None:
        super().__init__(package, cpu="cpu")

    def choice(self, device: str, unfit: str | None = None) -> Choice:
        """The form; arrays lie in the memory of the CPU, so it is the same for every device."""
        found = super().choice("cpu", unfit)
        return Choice("cpu", "arrays of the CPU") if found.form == "cpu" else found

    def or_twin(self, loops: Callable[P, T]) -> Callable[P, T]:
        """The function, or where the operation takes its twin everywhere, the function of the same
        name in `reference.py`."""

        @wraps(loops)
        def chosen(*args: P.args, **kwargs: P.kwargs) -> T:
            if not self.only_twin:
                return loops(*args, **kwargs)
            twin: Callable[P, T] = getattr(self._module("reference"), loops.__name__)
            return twin(*args, **kwargs)

        return chosen


@contextmanager
def portable() -> Iterator[None]:
    """A context in which every operation takes the form `otherwise`, which consists of torch's
    operators alone, so that a program traced in it runs without pdeops; not for threads."""
    global _portable
    before, _portable = _portable, True
    try:
        yield
    finally:
        _portable = before


def is_portable() -> bool:
    """Whether operations are traced for a program that runs without pdeops."""
    return _portable


def _setting() -> str:
    """The value of PDEOPS_KERNELS, '' if it is not set."""
    setting = os.environ.get(VARIABLE, "")
    if setting not in ("", "reference", "triton"):
        raise ValueError(f"{VARIABLE} is 'reference', 'triton' or not set; got {setting!r}.")
    if setting == "triton" and not is_interpreted():
        raise ValueError(
            f"{VARIABLE}=triton runs Triton's forms on the CPU, in its interpreter; set "
            f"TRITON_INTERPRET=1 as well. GPUs use them without {VARIABLE}."
        )
    return setting


def is_interpreted() -> bool:
    """Whether Triton's kernels run in its interpreter, on the CPU."""
    return os.environ.get("TRITON_INTERPRET") == "1"


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


@cache
def warn_once(operation: str, form: str, reason: str) -> None:
    log.warning("%s: %s; the form `%s` is used instead", operation, reason, form)


def is_compiled(u: Tensor) -> bool:
    """Whether u has a dtype of the compiled loops and no gradient is recorded for it."""
    return u.dtype in COMPILED_DTYPES and not (u.requires_grad and torch.is_grad_enabled())


def is_asynchronous(u: Tensor) -> bool:
    """Whether operations on u are queued, so that reading a number waits for the queue to empty."""
    return u.device.type != "cpu"


def has_graphs(u: Tensor) -> bool:
    """Whether the device of u can record launches of kernels and replay them by one call."""
    return u.device.type == "cuda"


def unfit_for_loops(u: Tensor, factor: Tensor) -> str | None:
    """Why compiled loops cannot multiply the real and imaginary parts of u by real factors; None:
    they can.

    u is complex and contiguous, and the factors, real, have the shape of its last axes. torch would
    convert them to complex ones.
    """
    if not (u.is_complex() and u.is_contiguous()):
        return "the loops need contiguous complex fields"
    if factor.is_complex() or factor.shape != u.shape[u.ndim - factor.ndim :]:
        return "the loops need one real factor per wave"
    return None
