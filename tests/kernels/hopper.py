"""Compilation of Triton kernels for a GPU of compute capability 9.0, to machine code.

Triton brings the compiler and the assembler of CUDA; a GPU is not needed. The interpreter accepts a
variable whose shape or type changes within a loop, the compiler does not. `test_triton.py` runs the
scripts `compiled_*.py`.
"""

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource


def compiled(kernel, kind, *, num_warps=4, num_stages=3, **constants):
    """The PTX of a kernel.

    Args:
        kind: the name of an argument -> its type in Triton's words.
        constants: values of arguments; Triton takes arguments of 1 as constants, too.
    """
    names = kernel.arg_names
    source = ASTSource(
        kernel,
        {name: "constexpr" if name in constants else kind(name) for name in names},
        {(names.index(name),): value for name, value in constants.items()},
    )
    options = {"num_warps": num_warps, "num_stages": num_stages, "enable_fp_fusion": True}
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert "cubin" in code.asm
    return code.asm["ptx"]
