"""Compile the kernels of `multichannel_cycle` (`hopper.py`)."""

from pdeops.kernels.multichannel_cycle import triton_kernels as kernels
from pdeops.kernels.multichannel_cycle.triton_table import run_table

from .hopper import compiled

ARRAYS = {"u", "term", "term_2", "out", "r", "base", "e", "g", "fields", "W", "V", "P", "weights"}
SUMS = {"stencil_weight"}  # their result is float32


def compile(kernel, dtype, **constants):
    def kind(name):
        if name == "table":
            return "*i32"
        if name == "out" and kernel.fn.__name__ in SUMS:
            return "*fp32"
        return "*" + dtype if name in ARRAYS else "i32"

    return compiled(kernel, kind, num_warps=8, num_stages=2, **constants)


def main():
    for dtype, precision in (("fp32", "tf32"), ("fp32", "ieee"), ("bf16", "short")):
        axes = {"MODE_X": 0, "MODE_Y": 1}
        sizes = {"PI": 32, "PO": 32, "PRECISION": precision, **axes}
        tile = {"PX": 16, "PY": 16, **sizes}
        compile(kernels.one_stencil, dtype, TERMS=2, REVERSED=True, **tile)
        two = {"TERM": True, "KEEP": True, "BASE": True, "PM": 32, "REVERSED_V": True, **tile}
        for kind, step in ((0, 1), (0, 2), (2, 1)):
            compile(kernels.two_stencils, dtype, REVERSED_W=step == 2, KIND=kind, STEP=step, **two)
        compile(kernels.correct, dtype, **tile)
        compile(kernels.stencil_weight, dtype, BN=64, **sizes)
        table = {"COLUMNS": 16, "ROWS": 64, "PC": 32, "PRECISION": precision, **axes}
        ptx = compile(run_table, dtype, **table)
        assert "bar.sync" in ptx  # between steps, whose fields must not be read from
        assert "ld.global.nc" not in ptx  # a cache that stores do not change
    # Triton takes arguments of 1 as constants.
    tile = {"PX": 8, "PY": 16, "PI": 16, "PO": 16, "PRECISION": "tf32", "MODE_X": 2, "MODE_Y": 3}
    ones = {"X": 1, "Y": 1, "I": 1, "O": 1}
    compile(kernels.one_stencil, "fp32", TERMS=0, REVERSED=False, **tile, **ones)
    compile(kernels.correct, "fp32", EX=1, EY=1, KX=1, KY=1, **tile, **ones)
    few = {"TERM": False, "KEEP": False, "BASE": False, "REVERSED_V": False, "REVERSED_W": False}
    nodes = {"UX": 1, "UY": 1, "OX": 1, "OY": 1, "KX": 1, "KY": 1, "M": 1, "PM": 16}
    compile(kernels.two_stencils, "fp32", KIND=0, STEP=2, **few, **nodes, **tile, **ones)


if __name__ == "__main__":
    main()
