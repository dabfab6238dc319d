"""The choice of a form, its reason, and the environment variable PDEOPS_KERNELS."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from pdeops.cli.kernels import operations
from pdeops.kernels import etdrk4, fno, forms, low_storage, spectral_conv, vorticity
from pdeops.kernels.forms import VARIABLE, ArrayForms, Forms
from pdeops.kernels.spectral_conv import gpu


def made(monkeypatch, setting="", interpreted=""):
    monkeypatch.setenv(VARIABLE, setting)
    monkeypatch.setenv("TRITON_INTERPRET", interpreted)
    return Forms("pdeops.kernels.example", cpu="cpu", cuda="gpu")


def test_each_device_has_its_form(monkeypatch, caplog):
    monkeypatch.setattr(forms, "_has_triton", lambda: True)
    table = made(monkeypatch)
    assert [table.choice(device).form for device in ("cpu", "cuda", "mps")] == [
        "cpu",
        "gpu",
        "reference",
    ]
    assert not caplog.text


def test_reference_forces_the_twin(monkeypatch):
    table = made(monkeypatch, "reference")
    assert table.only_twin
    assert not table.serve(torch.ones(1))
    for device in ("cpu", "cuda"):
        assert table.choice(device) == forms.Choice("reference", f"{VARIABLE}=reference")


def test_portable_programs_take_no_other_form(monkeypatch):
    """Not even Triton's on the CPU, whose operators only pdeops defines; and no FFT."""
    monkeypatch.setattr(forms, "_has_triton", lambda: True)
    table = made(monkeypatch, "triton", "1")
    with forms.portable():
        assert table.choice("cpu").form == table.choice("cuda").form == "reference"
        assert not table.serve(torch.ones(1))
    assert table.choice("cpu").form == "gpu"
    u, weight = torch.ones(1, 1024, 2), torch.ones(40, 2, 2, 2)
    assert spectral_conv.fft_is_faster((1024,), weight)
    monkeypatch.setattr(spectral_conv.reference, "convolve", None)  # the form with FFTs
    with forms.portable():
        spectral_conv.convolve(u, weight)
    with pytest.raises(TypeError):
        spectral_conv.convolve(u, weight)


def test_triton_serves_the_cpu_in_its_interpreter(monkeypatch):
    monkeypatch.setattr(forms, "_has_triton", lambda: True)
    assert made(monkeypatch, "triton", "1").choice("cpu").form == "gpu"
    with pytest.raises(ValueError, match="TRITON_INTERPRET=1"):
        made(monkeypatch, "triton")


def test_another_value_is_an_error(monkeypatch):
    with pytest.raises(ValueError, match="'reference', 'triton' or not set; got 'fast'"):
        made(monkeypatch, "fast")


def test_a_missing_triton_is_reported_once(monkeypatch, caplog, fresh_messages):
    monkeypatch.setattr(forms, "_has_triton", lambda: False)
    table = made(monkeypatch)
    choices = {table.choice("cuda") for _ in range(3)}
    assert {c.form for c in choices} == {"reference"}
    assert len(caplog.records) == 1
    assert "example: Triton is not installed" in caplog.text
    assert table.choice("cpu").form == "cpu"
    assert len(caplog.records) == 1


def test_an_unsupported_dtype_or_dimension_is_reported_once(monkeypatch, caplog, fresh_messages):
    monkeypatch.setattr(forms, "_has_triton", lambda: True)
    for _ in range(2):
        for dtype, num_axes in ((torch.float64, 2), (torch.float32, 4)):
            unfit = gpu.unfit(dtype, num_axes)
            assert spectral_conv.FORMS.choice("cuda", unfit).form == "cpu"
    assert [("float64" in r.message, "4 axes" in r.message) for r in caplog.records] == [
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize("operation", [etdrk4, low_storage, vorticity])
def test_the_sums_of_a_step_fall_back_with_one_message(
    operation, monkeypatch, caplog, fresh_messages
):
    """Without Triton, or for a field that its kernels cannot take; no message where the loops of a
    CPU cannot."""
    monkeypatch.setenv(VARIABLE, "triton")
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    on_gpu = Forms(operation.__name__, cpu="cpu", cuda="gpu")
    u, name = torch.ones(2, 3), operation.__name__.rpartition(".")[2]
    for installed, reason in ((False, None), (True, "float16 has no Triton kernel")):
        monkeypatch.setattr(forms, "_has_triton", lambda installed=installed: installed)
        chosen = {on_gpu.fitting(u, cpu="unused", gpu=reason).__name__ for _ in range(3)}
        assert chosen == {f"pdeops.kernels.{name}.reference"}
    assert [r.message.split(";")[0] for r in caplog.records] == [
        f"{name}: Triton is not installed (pip install triton)",
        f"{name}: float16 has no Triton kernel",
    ]
    assert on_gpu.fitting(u).__name__.endswith(f"{name}.gpu")
    on_cpu = made(monkeypatch)
    on_cpu.package = operation.__name__
    assert on_cpu.fitting(u, cpu="no reals", gpu="unused").__name__.endswith(f"{name}.reference")
    assert on_cpu.fitting(u, gpu="unused").__name__.endswith(f"{name}.cpu")
    assert len(caplog.records) == 2


def test_the_twin_replaces_every_form_of_a_convolution(monkeypatch):
    """`twin` sets what PDEOPS_KERNELS=reference sets."""
    called, plain = [], spectral_conv.reference.convolve
    monkeypatch.setattr(
        spectral_conv.reference, "convolve", lambda *f: called.append(f) or plain(*f)
    )
    u, weight = torch.ones(1, 6, 8, 2), torch.ones(2, 2, 2, 2, 2)
    spectral_conv.convolve(u, weight)
    assert not called
    with spectral_conv.FORMS.twin(), fno.FORMS.twin():
        spectral_conv.convolve(u, weight)
        assert fno._form(u) is fno.composed
    assert len(called) == 1
    assert fno._form(u) is fno.cpu


def test_operations_on_arrays_are_chosen_for_the_cpu(monkeypatch):
    """On a machine with a GPU, too; and every folder has a table of forms."""
    monkeypatch.setenv(VARIABLE, "")
    table = ArrayForms("pdeops.kernels.sweeps")
    assert table.choice("cuda") == table.choice("cpu") == forms.Choice("cpu", "arrays of the CPU")

    @table.or_twin
    def relax(*arguments):
        return "loops"

    assert relax() == "loops"
    arrays = (np.array([0, 1]), np.array([0]), np.ones(1), np.ones(1), np.ones(1), np.zeros(1))
    with table.twin():
        assert relax(*arrays, 0.0, np.empty(4)) == 1  # sweeps
    assert all(isinstance(found, Forms) for found in operations().values())


@pytest.mark.slow
def test_reference_reaches_every_operation():
    done = subprocess.run(
        [sys.executable, "-m", "tests.kernels.plain_twins"],
        env={**os.environ, "JAXTYPING_DISABLE": "1", VARIABLE: "reference"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
