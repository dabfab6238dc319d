"""The form that each operation of `pdeops.kernels` takes, its time and that of its twin."""

import importlib
import math
import pkgutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..compare.timing import finished, time_calls
from ..kernels.forms import Forms

REPEATS = 7
Call = Callable[[], object]


def operations() -> dict[str, Forms]:
    """Operation -> its forms."""
    import pdeops.kernels

    found = {}
    for module in pkgutil.iter_modules(pdeops.kernels.__path__, "pdeops.kernels."):
        name = module.name.rpartition(".")[2]
        if module.ispkg and name != "runtime":
            found[name] = importlib.import_module(module.name).FORMS
    return found


def forms_on(device: str) -> dict[str, str]:
    """Operation -> its form for fields in float32 on a type of device, and the reason."""
    choices = {k: f.choice(device) for k, f in operations().items()}
    return {k: f"{c.form}: {c.reason}" for k, c in choices.items()}


def times_on(device: torch.device) -> dict[str, dict[str, float]]:
    """Operation -> milliseconds of the form and of the twin, medians, and their quotient; for the
    operations with an example below."""
    tables = operations()
    report = {}
    for name, example in EXAMPLES.items():
        forms = tables[name]
        call = example(device)
        with forms.twin():
            bound = example(device)

        def twin(forms: Forms = forms, bound: Call = bound) -> object:
            with forms.twin():
                return bound()

        calls = {"form": finished(call, device), "twin": finished(twin, device)}
        times = {k: 1e3 * t.wall.median for k, t in time_calls(calls, repeats=REPEATS).items()}
        report[name] = {
            "form_ms": round(times["form"], 3),
            "twin_ms": round(times["twin"], 3),
            "times_faster": round(times["twin"] / times["form"], 2),
        }
    return report


# ------------------------------------------- examples: the operation on drawn fields, to be called


def _draw(device: torch.device, *shape: int, complex_: bool = False) -> Tensor:
    dtype = torch.complex64 if complex_ else torch.float32
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype).to(device)


def _spectral_conv(device: torch.device) -> Call:
    """Forward and backward."""
    from ..kernels.spectral_conv import convolve

    u, weight = _draw(device, 4, 128, 128, 16), _draw(device, 16, 9, 16, 2, 16)
    return lambda: _gradients(convolve, u, weight)


def _fno(device: torch.device) -> Call:
    """The layer, forward and backward."""
    from ..kernels.fno import fourier_layer

    shapes = (4, 128, 128, 16), (16, 9, 16, 2, 16), (16, 16), (16,), (16, 16), (16, 16), (16,)
    fields = [_draw(device, *shape) for shape in shapes]
    return lambda: _gradients(lambda *f: fourier_layer(*f, activate=True), *fields)


def _gradients(function: Callable[..., Tensor], *fields: Tensor) -> tuple[Tensor, ...]:
    fields = tuple(u.detach().requires_grad_() for u in fields)
    return torch.autograd.grad(function(*fields).square().sum(), fields)


def _convolution(device: torch.device) -> Call:
    from ..kernels.convolution import conv3d

    u, weight = _draw(device, 1, 16, 32, 32, 32), _draw(device, 16, 16, 3, 3, 3)

    @torch.no_grad()
    def call() -> Tensor:
        return conv3d(u, weight, None, (1,) * 3, (1,) * 3, (1,) * 3, 1)

    return call


def _multichannel_cycle(device: torch.device) -> Call:
    """A cycle of MgNO, forward and backward."""
    from ..domain import Grid
    from ..nn.multigrid import MultigridCycle

    cycle = MultigridCycle(16, 16, Grid((64, 64)), levels=4).to(device)
    cycle.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    f = _draw(device, 4, 16, 64, 64).contiguous(memory_format=torch.channels_last)
    return lambda: _gradients(cycle, f)


def _etdrk4(device: torch.device) -> Call:
    from ..kernels.etdrk4 import bind

    u, *N = (_draw(device, 4, 256, 129, complex_=True) for _ in range(5))
    factors = tuple(_draw(device, 256, 129) / math.sqrt(256) for _ in range(4))
    form = bind(u, factors[0])
    return lambda: form.update(u.clone(), factors, tuple(N))


def _low_storage(device: torch.device) -> Call:
    from ..kernels.low_storage import bind

    u, h, N = (_draw(device, 4, 256, 129, complex_=True) for _ in range(3))
    decay, gain = _draw(device, 256, 129).sigmoid(), _draw(device, 256, 129)
    update: Any = bind(u, decay)
    return lambda: update(u.clone(), h.clone(), N, -0.7, decay, gain)


def _conjugate(device: torch.device) -> Call:
    from ..kernels.conjugate import bind

    p, x = _draw(device, 512, 512), _draw(device, 512, 512)
    step = bind(p, p.clone(), x, p.clone(), p.clone())

    def call() -> None:
        step.descend(step.direction(math.inf))

    return call


def _vorticity(device: torch.device) -> Call:
    """The nonlinear term with its FFTs."""
    from ..domain import Grid
    from ..solvers import NavierStokes

    flow = NavierStokes(Grid((256, 256), boundary="periodic"), 1e-3)
    u_hat = _draw(device, 4, flow.K[1] + 1, 2 * flow.K[0] + 1, complex_=True)
    out = torch.empty_like(u_hat)
    flow.nonlinear_into(u_hat, 0.0, out)  # binds the form
    return lambda: flow.nonlinear_into(u_hat, 0.0, out)


def _tiled_multigrid(device: torch.device) -> Call:
    """The parts of a cycle on the finest level."""
    from ..kernels.tiled_multigrid import from_faces, restrict, smooth, weights

    n, lengths = 255, (0.6, 0.9)
    faces = [_draw(device, n + 1, n).exp(), _draw(device, n, n + 1).exp()]
    level = from_faces(faces, None, (True, True))
    level = replace(level, w=weights(level))
    b = torch.zeros(1, *level.c.shape[1:], device=device)
    b[level.inside] = _draw(device, 1, n, n)

    def call() -> Tensor:
        u = smooth(level, None, b, lengths)
        return smooth(level, u, b, lengths, restrict(level, u, b))

    return call


EXAMPLES: dict[str, Callable[[torch.device], Call]] = {
    "spectral_conv": _spectral_conv,
    "fno": _fno,
    "convolution": _convolution,
    "multichannel_cycle": _multichannel_cycle,
    "etdrk4": _etdrk4,
    "low_storage": _low_storage,
    "vorticity": _vorticity,
    "conjugate": _conjugate,
    "tiled_multigrid": _tiled_multigrid,
}
