"""Compile the kernels of tiled multigrid (`hopper.py`)."""

from pdeops.kernels.tiled_multigrid import triton_kernels, triton_lines, triton_setup
from pdeops.kernels.tiled_multigrid.triton_launch import CELLS, FLAT, TILES, parities, triples

from .hopper import compiled

ARRAYS = {"u", "b", "c", "e", "U", "w", "d", "p", "f", "out", "lengths", "lower", "upper"}
TABLES = {"starts", "terms"}


def compile(kernel, dtype, **constants):
    def kind(name):
        if name in ARRAYS:
            return "*" + dtype
        if name in TABLES:
            return "*i64"
        return "fp32" if name == "small" else "i32"

    compiled(kernel, kind, **constants)


def tile(tiles):
    t = tiles[0]
    return {"num_warps": t.warps, "BZ": t.z, "BX": t.x, "BY": t.y}


# Triton takes arguments of 1 as constants: a plane has one node along z; a small one has one tile,
# one unknown along x, and one right-hand side.
PLANE = {"n_z": 0, "S_z": 1, "C_z": 1, "N_z": 0, "c_z": 0, "e_z": 0, "c_y": 1, "e_y": 1}
SMALL = PLANE | dict.fromkeys(("num", "X_TILES", "Y_TILES", "n_x", "N_x"), 1)
LINE = SMALL | {"c_k": 1, "n_x": 0, "S_x": 1, "C_x": 1, "N_x": 0, "c_x": 0, "e_x": 0}
CASES = (
    ("fp32", 1, LINE),
    ("fp32", 2, SMALL),
    ("fp64", 2, PLANE),
    ("fp32", 3, {}),
)


def main():
    for dtype, ndim, flat in CASES:
        whole = {"GZ": int(ndim > 2), "GX": int(ndim > 1), "GY": 1}
        for count in sorted({ndim, 3**ndim // 2}):
            given = {"D": ndim, "OFFSETS": triples(ndim, count)}

            def present(kernel, flat=flat, **more):
                return {k: v for k, v in {**flat, **more}.items() if k in kernel.arg_names}

            kernel = triton_kernels.residual
            compile(
                kernel,
                dtype,
                **tile(FLAT[ndim]),
                EXCESS=True,
                HAS_B=True,
                **given,
                **present(kernel),
            )
            kernel = triton_kernels.smooth
            for first in (
                {"FROM_ZERO": True, "CORRECT": False},
                {"FROM_ZERO": False, "CORRECT": True},
            ):
                halo = 1 if first["FROM_ZERO"] else 2
                compile(
                    kernel, dtype, **tile(TILES[ndim]), EXCESS=False, STEPS=2, H=halo, **first,
                    **whole, **given, **present(kernel),
                )  # fmt: skip
            kernel = triton_kernels.restrict
            compile(
                kernel, dtype, **tile(CELLS[ndim]), EXCESS=False, HAS_U=True, **whole,
                PARITIES=parities(tuple(whole.values())), **given,
                **present(kernel),
            )  # fmt: skip
            kernel = triton_setup.weights
            for odd in (
                {"OZ": 0, "OX": 0, "OY": 1},
                {"OZ": whole["GZ"], "OX": whole["GX"], "OY": 1},
            ):
                compile(
                    kernel, dtype, BLOCK=256, BY_LINES=sum(odd.values()) == 1, **odd,
                    **whole, **given, **present(kernel),
                )  # fmt: skip
        kernel = triton_setup.coarse_couplings
        compile(kernel, dtype, BLOCK=256, WIDTH=11, D=ndim, **whole, **present(kernel))
    for dtype in ("fp32", "fp64"):
        compile(triton_lines.pivots, dtype, num_warps=1, LINES=32)
        ones = dict.fromkeys(("n_i", "num", "num_a", "num_b", "first_a", "s_b", "c_b"), 1)
        for nodes in ({"s_i": 1, "c_i": 1}, {"s_b": 1, "c_b": 1}, ones):
            compile(triton_lines.solve, dtype, STEP=2, LINES=16, CHUNK=64, **nodes)


if __name__ == "__main__":
    main()
