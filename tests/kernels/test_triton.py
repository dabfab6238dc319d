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
    rows = "(few_modes or few_nodes) and not wrong_scale"  # a check of the rows, not of the kernels
    chosen = f"interpreted or ({rows}) or ({steps})"
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
@pytest.mark.parametrize("script", ["convolution", "cycle", "multigrid", "steps"])
def test_compile_and_export_keep_the_operations_whole(script):
    module = f"tests.kernels.traced_{script}"
    done = run("-m", module, TRITON_INTERPRET="1", PDEOPS_KERNELS="triton")
    assert done.returncode == 0, done.stderr


@needs_triton
@pytest.mark.slow
@pytest.mark.parametrize("operation", ["convolution", "cycle", "multigrid", "steps"])
def test_kernels_compile_for_hopper(operation, tmp_path):
    done = run("-m", f"tests.kernels.compiled_{operation}", TRITON_CACHE_DIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
