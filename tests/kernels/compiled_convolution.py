"""Compile the kernels of `spectral_conv` (`hopper.py`)."""

from pdeops.kernels.spectral_conv import triton_kernels as kernels

from .hopper import compiled

FIELDS = {"u", "v"}
ARRAYS = FIELDS | {"A_x", "A_y", "out", "h", "v_hat", "u_hat", "W", "c", "g", "dW"}


def convolution(kernel, dtype, **constants):
    def kind(name):
        if name in ARRAYS:
            return "*" + (dtype if name in FIELDS else "fp32")
        return "fp32" if name == "sign" else "i32"

    compiled(kernel, kind, **constants)


def main():
    for dtype, precision in (
        ("fp32", "ieee"),
        ("fp32", "tf32x3"),
        ("fp32", "tf32"),
        ("bf16", "tf32"),
    ):
        tile = {"BX": 16, "BC": 4, "BY": 32, "PY": 16, "PRECISION": precision}
        for fastest in ("stride_y", "stride_c"):
            for kernel in (kernels.analyse_lines, kernels.synthesise_lines):
                convolution(kernel, dtype, **tile, **{fastest: 1})
            for kernel in (kernels.analyse_planes, kernels.synthesise_planes):
                convolution(kernel, dtype, **tile, PX=16, **{fastest: 1})
    # Triton takes arguments of 1 as constants.
    ones = dict.fromkeys(("Z", "X", "Y", "C", "KY", "stride_c"), 1)
    tile["BC"] = 16
    for kernel in (kernels.analyse_lines, kernels.synthesise_lines):
        convolution(kernel, "fp32", **tile, **ones)
    for kernel in (kernels.analyse_planes, kernels.synthesise_planes):
        convolution(kernel, "fp32", **tile, **ones, PX=16, KX=1)
    for precision in ("ieee", "tf32"):
        for kernel in (kernels.mix_modes, kernels.weight_gradient):
            for sizes in ({}, dict.fromkeys("BIOK", 1)):
                convolution(kernel, "fp32", BB=16, BI=32, BO=32, PRECISION=precision, **sizes)


if __name__ == "__main__":
    main()
