"""Compile the kernels of time steps (`hopper.py`).

Triton passes numbers as float32; β must reach kernels of float64 with all digits.
"""

import struct

from pdeops.kernels.etdrk4 import triton_kernels as etdrk4
from pdeops.kernels.low_storage import triton_kernels as low_storage
from pdeops.kernels.vorticity import triton_kernels as vorticity

from .hopper import compiled

BETA = -567301805773 / 1357537059087
SIZES = {"size", "num_l", "num_k", "stride_b", "stride_m"}


def step(kernel, dtype, **constants):
    return compiled(kernel, lambda name: "i32" if name in SIZES else "*" + dtype, **constants)


def main():
    for dtype in ("fp32", "fp64"):
        for ones in ({}, {"size": 1}):
            for parts, factors in ((1, False), (2, False), (2, True)):
                tile = {"BLOCK": 1024, "PARTS": parts, "COMPLEX": factors, **ones}
                for kernel in (etdrk4.pair, etdrk4.last_stage, etdrk4.update):
                    step(kernel, dtype, **tile)
                step(low_storage.update, dtype, **tile, BETA=0.0)
                text = step(low_storage.update, dtype, **tile, BETA=BETA)
                assert (struct.pack(">d", BETA).hex().upper() in text.upper()) == (dtype == "fp64")
        step(vorticity.products, dtype, BLOCK=128)
        for kernel in (vorticity.velocity, vorticity.tendency):
            for ones in ({}, {"num_l": 1}, {"num_k": 1}, {"num_l": 1, "num_k": 1, "stride_m": 1}):
                step(kernel, dtype, BLOCK=256, **ones)


if __name__ == "__main__":
    main()
