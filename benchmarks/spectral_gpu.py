"""python -m benchmarks.spectral_gpu: spectral convolution on a GPU against torch's FFT and einsum.

64 channels, batch 16, two axes; forward and backward, in the field and in the weights. A row for
each size, method and way to launch (one operation after another, or one CUDA graph): median time,
how many times faster than FFT and einsum launched alike, share of the measured copy bandwidth
that the compulsory bytes reach (u, v and their gradients, each once), and the errors of v and of
both gradients against float64. TF32 and bfloat16 are rows of their own.

Needs a GPU, torch, triton and numpy. Without a GPU, `--interpret` checks the errors of all rows at
tiny sizes in Triton's interpreter and times nothing. Writes results/spectral_gpu.csv.
"""

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pdeops.compare.tables import write_csv

from .gpu import add_options, begin, copy_bandwidth, gpu_machine, launches, seconds

SIZES, CHANNELS, BATCH = (128, 256, 512, 1024), 64, 16
FFT = "FFT and einsum"
Step = Callable[[], tuple[Tensor, Tensor, Tensor]]


@dataclass(frozen=True)
class Method:
    """A way to compute the convolution.

    Attributes:
        convolve: (u, weight) -> v, channels first.
        channels_last: layout of u in memory.
        tf32: whether torch allows TF32 in products of float32.
        tolerance: largest accepted relative error of v and of the gradients.
    """

    convolve: Callable[[Tensor, Tensor], Tensor]
    dtype: torch.dtype = torch.float32
    channels_last: bool = False
    tf32: bool = False
    tolerance: float = 1e-5


def fft_and_einsum(u: Tensor, weight: Tensor) -> Tensor:
    """The usual code with torch.fft: the low modes of both signs in two blocks, the rest zero."""
    n, W = u.shape[-1], torch.view_as_complex(weight.movedim(-2, -1).contiguous())
    half, last = len(W) // 2, W.shape[1]
    u_hat = torch.fft.rfft2(u, norm="forward")
    v_hat = u_hat.new_zeros(len(u), W.shape[-1], n, n // 2 + 1)
    for rows, block in ((slice(None, half), W[half:]), (slice(-half, None), W[:half])):
        v_hat[:, :, rows, :last] = torch.einsum("bixy,xyio->boxy", u_hat[:, :, rows, :last], block)
    return torch.fft.irfft2(v_hat, s=(n, n), norm="forward")


def ours(u: Tensor, weight: Tensor) -> Tensor:
    from pdeops.kernels.spectral_conv import convolve

    return convolve(u.movedim(1, -1), weight).movedim(-1, 1)


def products(u: Tensor, weight: Tensor) -> Tensor:
    """The form by matrix products (cuBLAS), which serves where Triton does not."""
    from pdeops.kernels.spectral_conv import cpu
    from pdeops.kernels.spectral_conv.matrices import constants, modes_of

    u = u.movedim(1, -1)
    A, c = constants(tuple(u.shape[1:-1]), modes_of(weight), u.dtype, u.device)
    u_hat = cpu.analysis(u, A)
    v_hat = cpu.mix(u_hat.flatten(2, -2), weight.flatten(0, -4), c)
    first = cpu.channels_first_in_memory(u)
    v = cpu.synthesis(v_hat.view(*u_hat.shape[:-1], -1), A, first, u.dtype)
    return v.movedim(-1, 1)


METHODS = {
    FFT: Method(fft_and_einsum),
    "matrix products": Method(products),
    "Triton": Method(ours),
    "Triton, channels last": Method(ours, channels_last=True),
    "Triton, TF32": Method(ours, tf32=True, tolerance=2e-3),
    "Triton, bfloat16": Method(ours, dtype=torch.bfloat16, tolerance=2**-7),
    "Triton, bfloat16, channels last": Method(
        ours, dtype=torch.bfloat16, channels_last=True, tolerance=2**-7
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spectral_gpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="nodes per axis")
    parser.add_argument("--modes", type=int, default=16, help="n_modes per axis: 16 is 16 x 9")
    parser.add_argument("--interpret", action="store_true", help="errors at tiny sizes, on a CPU")
    add_options(parser, repeats=20)
    arguments = parser.parse_args()
    if arguments.interpret:
        os.environ.update(TRITON_INTERPRET="1", PDEOPS_KERNELS="triton")
        check(torch.device("cpu"), (17, 24), modes=2, channels=3, batch=2)
        return
    device = torch.device("cuda")
    begin(parser, device, "`--interpret` checks the errors on the CPU.")
    check(device, arguments.sizes, arguments.modes, CHANNELS, batch=2)
    measure(device, arguments)


def measure(device: torch.device, arguments: argparse.Namespace) -> None:
    """Time every row and write the table."""
    bandwidth = copy_bandwidth(device)
    print(f"copy bandwidth {bandwidth / 1e12:.2f} TB/s")
    rows: list[dict[str, Any]] = []
    for n in arguments.sizes:
        fft: dict[str, float] = {}
        for name, method in METHODS.items():
            u, weight, g = draw(device, n, arguments.modes, CHANNELS, BATCH, method)
            size = 4 * u.numel() * u.element_size()
            found = relative_errors(method, *draw(device, n, arguments.modes, CHANNELS, 1, method))
            errors = {
                f"error_{x}": f"{e:.1e}" for x, e in zip(("v", "du", "dW"), found, strict=True)
            }
            with precision(method):
                step = differentiated(method, u, weight, g)
                for launch, call in launches(step, device):
                    times = seconds(call, device, arguments.repeats)
                    fft.setdefault(launch, times.median)
                    rows.append(
                        {
                            "n": n,
                            "modes": arguments.modes,
                            "channels": CHANNELS,
                            "batch": BATCH,
                            "method": name,
                            "launch": launch,
                            "q1_s": f"{times.q1:.3e}",
                            "median_s": f"{times.median:.3e}",
                            "times_faster": f"{fft[launch] / times.median:.2f}",
                            "share_of_copy": f"{size / times.median / bandwidth:.2f}",
                            "copy_TB_s": f"{bandwidth / 1e12:.2f}",
                            **errors,
                            **gpu_machine(),
                        }
                    )
                    shown = ("n", "method", "launch", "median_s", "times_faster", "share_of_copy")
                    print(*(rows[-1][key] for key in shown), sep=" | ", flush=True)
                    write_csv(arguments.out / "spectral_gpu.csv", rows)
            del step, call, u, weight, g
            torch.cuda.empty_cache()


def draw(
    device: torch.device, n: int, modes: int, channels: int, batch: int, method: Method
) -> tuple[Tensor, Tensor, Tensor]:
    """u, the weights, and the gradient of a loss in v."""
    generator = torch.Generator(device).manual_seed(0)
    fields = torch.randn(2, batch, channels, n, n, generator=generator, device=device)
    u, g = fields.to(method.dtype).unbind()
    if method.channels_last:
        u, g = (x.to(memory_format=torch.channels_last) for x in (u, g))
    weight = torch.randn(
        modes, modes // 2 + 1, channels, 2, channels, generator=generator, device=device
    )
    weight[0, 0] = 0  # a mode without its opposite, of which the usual code halves the weight
    return u, weight, g


def differentiated(method: Method, u: Tensor, weight: Tensor, g: Tensor) -> Step:
    """Forward and backward: v and its gradients in u and the weights."""
    u, weight = u.detach().requires_grad_(), weight.detach().requires_grad_()

    def step() -> tuple[Tensor, Tensor, Tensor]:
        v = method.convolve(u, weight)
        du, dW = torch.autograd.grad(v, (u, weight), g)
        return v.detach(), du, dW

    return step


@contextmanager
def precision(method: Method) -> Iterator[None]:
    matmul = torch.backends.cuda.matmul
    before, matmul.fp32_precision = matmul.fp32_precision, "tf32" if method.tf32 else "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = before


def relative_errors(method: Method, u: Tensor, weight: Tensor, g: Tensor) -> list[float]:
    """Of v, du and dW, against FFTs in float64 of the same numbers."""
    exact = differentiated(METHODS[FFT], u.double(), weight.double(), g.double())()
    with precision(method):
        found = differentiated(method, u, weight, g)()
    for gradient in (found[2], exact[2]):
        gradient[0, 0] = 0  # see `draw`
    return [((x.double() - y).norm() / y.norm()).item() for x, y in zip(found, exact, strict=True)]


def check(
    device: torch.device, sizes: tuple[int, ...], modes: int, channels: int, batch: int
) -> None:
    """Print the errors of every row.

    Raises:
        RuntimeError: an error exceeds the tolerance of its row.
    """
    for n in sizes:
        for name, method in METHODS.items():
            drawn = draw(device, n, modes, channels, batch, method)
            found = relative_errors(method, *drawn)
            print(f"{n}² {name}: errors of v, du, dW", *(f"{e:.1e}" for e in found), flush=True)
            if not max(found) <= method.tolerance:
                raise RuntimeError(
                    f"{name} at {n}²: errors {found} against float64 exceed {method.tolerance:.1e}."
                )


if __name__ == "__main__":
    main()
