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


def assert_interpreted_tests_pass(*selection):
    """Tests of this folder in Triton's interpreter."""
    done = run(
        *("-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider", "--durations=5"),
        *selection,
        TRITON_INTERPRET="1",
        PDEOPS_KERNELS="triton",
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


@needs_triton
def test_kernels_equal_their_twins_in_the_interpreter():
    files = ("interpreted.py", "interpreted_steps.py", "interpreted_cycle.py", "test_contract.py")
    steps = "test_forward and (etdrk4 or low_st or vorticity)"
    chosen = f"interpreted or few_modes or few_nodes or ({steps})"
    assert_interpreted_tests_pass(*(HERE / f for f in files), "-k", chosen)


@needs_triton
@pytest.mark.slow
def test_cycles_equal_their_twins_in_the_interpreter():
    files = ("interpreted_cycle.py", "test_contract.py")
    chosen = ("-m", "slow or not slow", "-k", "interpreted_cycle or few_levels")
    assert_interpreted_tests_pass(*(HERE / f for f in files), *chosen)


@needs_triton
@pytest.mark.slow
def test_tiled_multigrid_equals_its_twin_in_the_interpreter():
    """Boxes, coarse levels, semicoarsening, lines, tiles that do not cover the grid."""
    files = ("interpreted_multigrid.py", "test_contract.py")
    assert_interpreted_tests_pass(*(HERE / f for f in files), "-k", "interpreted or more_nodes")


@needs_triton
@pytest.mark.slow
def test_compile_and_export_keep_a_cycle_whole():
    done = run("-m", "tests.kernels.traced_cycle", TRITON_INTERPRET="1", PDEOPS_KERNELS="triton")
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.slow
def test_kernels_of_multigrid_compile_for_hopper(tmp_path):
    done = run(HERE / "compile_tiled.py", TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "solve fp64" in done.stdout


@needs_triton
@pytest.mark.slow
def test_cycles_compile_for_hopper(tmp_path):
    done = run("-m", "tests.kernels.compiled_cycle", TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr


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


TRACED_STEPS = """
import torch
from pdeops.kernels import etdrk4, low_storage, vorticity
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.backends.debugging import boxed_nop

generator = torch.Generator().manual_seed(0)
fields = torch.randn(2, 2, 3, 5, generator=generator, dtype=torch.complex64).unbind()
f = torch.randn(3, 5, generator=generator)
sums, stage = etdrk4.bind(fields[0], f), low_storage.bind(fields[0], f)
flow = vorticity.bind(fields[0], (8, 8)).loops

class Step(torch.nn.Module):
    def forward(self, u, v):
        u, a, z = u.clone(), torch.empty_like(u), u.new_zeros(2, 5, 9)
        sums.pair(f, u, f, v, a)
        sums.last_stage(f, u, f, v, a, a)
        sums.update(u, (f, f, f, f), (v, v, a, v))
        stage(u, a, v, -0.7, f, f)
        flow.velocity(u, f, f, z)
        flow.products(z)
        flow.tendency(z, f, f, a)
        return u, a, z

OPERATIONS = [
    "etdrk4_pair", "etdrk4_last_stage", "etdrk4_update", "low_storage_update",
    "vorticity_velocity", "vorticity_products", "vorticity_tendency",
]
graphs = []
def compiler(module, inputs):
    graphs.append(sum("auto_functionalized" in str(node.target) for node in module.graph.nodes))
    return boxed_nop(module, inputs)

step = Step()
with torch.no_grad():
    expected = step(*fields)
    compiled = torch.compile(step, fullgraph=True, backend=aot_autograd(fw_compiler=compiler))
    torch.testing.assert_close(compiled(*fields), expected)
    assert graphs == [len(OPERATIONS)], graphs
    exported = torch.export.export(step, fields)
    names = [str(n.target) for n in exported.graph.nodes if "pdeops." in str(n.target)]
    assert names == [f"pdeops.{name}.default" for name in OPERATIONS], names
    torch.testing.assert_close(exported.module()(*fields), expected)
"""


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("program", [TRACED, TRACED_STEPS], ids=["convolution", "steps"])
def test_compile_and_export_keep_the_operations_whole(program):
    done = run("-c", program, TRITON_INTERPRET="1", PDEOPS_KERNELS="triton")
    assert done.returncode == 0, done.stderr


COMPILER = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

def compile(kernel, kind, **constants):
    names = kernel.arg_names
    source = ASTSource(
        kernel,
        {name: "constexpr" if name in constants else kind(name) for name in names},
        {(names.index(name),): value for name, value in constants.items()},
    )
    options = {"num_warps": 4, "num_stages": 3, "enable_fp_fusion": True}
    code = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)
    assert "cubin" in code.asm
    return code.asm["ptx"]
"""

CONVOLUTION = """
from pdeops.kernels.spectral_conv import triton_kernels as kernels

FIELDS = {"u", "v"}
ARRAYS = FIELDS | {"A_x", "A_y", "out", "h", "v_hat", "u_hat", "W", "c", "g", "dW"}

def convolution(kernel, dtype, **constants):
    def kind(name):
        if name in ARRAYS:
            return "*" + (dtype if name in FIELDS else "fp32")
        return "fp32" if name == "sign" else "i32"

    compile(kernel, kind, **constants)

for dtype, precision in (("fp32", "ieee"), ("fp32", "tf32x3"), ("fp32", "tf32"), ("bf16", "tf32")):
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
"""

# Triton passes numbers as float32; β must reach kernels of float64 with all digits.
STEPS = """
import struct

from pdeops.kernels.etdrk4 import triton_kernels as etdrk4
from pdeops.kernels.low_storage import triton_kernels as low_storage
from pdeops.kernels.vorticity import triton_kernels as vorticity

BETA = -567301805773 / 1357537059087
SIZES = {"size", "num_l", "num_k", "stride_b", "stride_m"}

def step(kernel, dtype, **constants):
    return compile(kernel, lambda name: "i32" if name in SIZES else "*" + dtype, **constants)

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
"""


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("kernels", [CONVOLUTION, STEPS], ids=["convolution", "steps"])
def test_kernels_compile_for_hopper(kernels, tmp_path):
    """Triton brings the compiler and the assembler of CUDA; a GPU is not needed. The interpreter
    accepts a variable whose shape changes within a loop, the compiler does not."""
    script = tmp_path / "compile.py"
    script.write_text(COMPILER + kernels)
    done = run(script, TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
