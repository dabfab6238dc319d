"""Triton kernels equal their twins: in Triton's interpreter, in a process of its own, because
Triton reads TRITON_INTERPRET when it is imported."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is for Linux only")


def run(*arguments, **environment):
    """A Python process in the root of the checkout."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.getcwd(), "JAXTYPING_DISABLE": "1", **environment},
        capture_output=True,
        text=True,
    )


@needs_triton
def test_kernels_equal_their_twins_in_the_interpreter():
    done = run(
        *("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--durations=5"),
        *(HERE / "interpreted.py", HERE / "test_contract.py"),
        *("-k", "interpreted or few_modes or few_nodes"),
        TRITON_INTERPRET="1",
        PDEOPS_KERNELS="triton",
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


@needs_triton
@pytest.mark.slow
def test_tiled_multigrid_equals_its_twin_in_the_interpreter():
    """Boxes, coarse levels, semicoarsening, lines, tiles that do not cover the grid."""
    done = run(
        *("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--durations=5"),
        *(HERE / "interpreted_multigrid.py", HERE / "test_contract.py"),
        *("-k", "interpreted or more_nodes"),
        TRITON_INTERPRET="1",
        PDEOPS_KERNELS="triton",
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


TRACED = """
import torch
from pdeops.kernels.spectral_conv import convolve
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.backends.debugging import boxed_nop

generator = torch.Generator().manual_seed(0)
weight = torch.randn(2, 2, 3, 2, 4, generator=generator)
u = torch.randn(1, 5, 6, 3, generator=generator)

def operations(graph):
    names = [str(node.target) for node in graph.nodes if node.op == "call_function"]
    return [n.split("spectral_")[1].split(".")[0] for n in names if "pdeops.spectral_" in n]

graphs = []
def compiler(module, inputs):
    graphs.append(operations(module.graph))
    return boxed_nop(module, inputs)

results = []
compiled = torch.compile(convolve, fullgraph=True, backend=aot_autograd(fw_compiler=compiler))
for f in (convolve, compiled):
    x, W = u.clone().requires_grad_(), weight.clone().requires_grad_()
    v = f(x, W)
    results.append([v, *torch.autograd.grad(v.square().sum(), (x, W))])
torch.testing.assert_close(*results)
assert graphs == [
    ["analysis", "mix", "synthesis"], ["analysis", "mix_gradients", "synthesis"]
], graphs

class Layer(torch.nn.Module):
    def forward(self, u):
        return convolve(u, weight)

with torch.no_grad():
    exported = torch.export.export(Layer(), (u,))
    assert operations(exported.graph) == ["analysis", "mix", "synthesis"]
    torch.testing.assert_close(exported.module()(u), convolve(u, weight))
"""


@needs_triton
@pytest.mark.slow
def test_compile_and_export_keep_the_operations_whole():
    done = run("-c", TRACED, TRITON_INTERPRET="1", PDEOPS_KERNELS="triton")
    assert done.returncode == 0, done.stderr


COMPILED = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from pdeops.kernels.spectral_conv import triton_kernels as kernels

FIELDS = {"u", "v"}
ARRAYS = FIELDS | {"A_x", "A_y", "out", "h", "v_hat", "u_hat", "W", "c", "g", "dW"}

def compile(kernel, dtype, **constants):
    def kind(name):
        if name in constants:
            return "constexpr"
        if name in ARRAYS:
            return "*" + (dtype if name in FIELDS else "fp32")
        return "fp32" if name == "sign" else "i32"

    names = kernel.arg_names
    source = ASTSource(
        kernel,
        {name: kind(name) for name in names},
        {(names.index(name),): value for name, value in constants.items()},
    )
    options = {"num_warps": 4, "num_stages": 3, "enable_fp_fusion": True}
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert "cubin" in code.asm

for dtype, precision in (("fp32", "ieee"), ("fp32", "tf32x3"), ("fp32", "tf32"), ("bf16", "tf32")):
    tile = {"BX": 16, "BC": 4, "BY": 32, "PY": 16, "PRECISION": precision}
    for fastest in ("stride_y", "stride_c"):
        for kernel in (kernels.analyse_lines, kernels.synthesise_lines):
            compile(kernel, dtype, **tile, **{fastest: 1})
        for kernel in (kernels.analyse_planes, kernels.synthesise_planes):
            compile(kernel, dtype, **tile, PX=16, **{fastest: 1})
# Triton takes arguments of 1 as constants.
ones = dict.fromkeys(("Z", "X", "Y", "C", "KY", "stride_c"), 1)
tile["BC"] = 16
for kernel in (kernels.analyse_lines, kernels.synthesise_lines):
    compile(kernel, "fp32", **tile, **ones)
for kernel in (kernels.analyse_planes, kernels.synthesise_planes):
    compile(kernel, "fp32", **tile, **ones, PX=16, KX=1)
for precision in ("ieee", "tf32"):
    for kernel in (kernels.mix_modes, kernels.weight_gradient):
        for sizes in ({}, dict.fromkeys("BIOK", 1)):
            compile(kernel, "fp32", BB=16, BI=32, BO=32, PRECISION=precision, **sizes)
"""


@needs_triton
@pytest.mark.slow
def test_kernels_of_multigrid_compile_for_hopper(tmp_path):
    done = run(HERE / "compile_tiled.py", TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "solve fp64" in done.stdout


@needs_triton
@pytest.mark.slow
def test_kernels_compile_for_hopper(tmp_path):
    """Triton brings the compiler and the assembler of CUDA; a GPU is not needed. The interpreter
    accepts a variable whose shape changes within a loop, the compiler does not."""
    script = tmp_path / "compile.py"
    script.write_text(COMPILED)
    done = run(script, TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
