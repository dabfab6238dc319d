"""The contract of every operation: it equals its plain twin, forward and backward, in each dtype
and memory layout, at odd sizes. A new operation is a row of `contract_rows.py`."""

import math

import pytest
import torch

from pdeops.kernels import conjugate, etdrk4, fno, low_storage, tanh_entries, vorticity

from .contract_row import COMPLEX
from .contract_rows import ROWS

# Relative, of the Euclidean norm. Rounding to bfloat16 changes a number by up to 2⁻⁹, and by 2⁻⁸ in
# Triton's interpreter, which truncates; a gradient contains two rounded fields.
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 2**-7}


def cases(test):
    """A case for each row, size and dtype that the test applies to."""
    return pytest.mark.parametrize(
        ("row", "size", "dtype"),
        [
            pytest.param(row, size, dtype, id=f"{name}-{'x'.join(map(str, size))}-{dtype}"[:60])
            for name, row in ROWS.items()
            if test not in row.exempt
            for size in row.sizes
            for dtype in row.dtypes
        ],
    )


def draw(row, size, dtype):
    """Independent normal fields; rounded to the dtype, so that the twin sees the same numbers."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for shape in row.fields(size):
        kind = dtype
        if shape[0] == COMPLEX:
            kind, shape = dtype.to_complex(), shape[1]
        wide = torch.complex128 if kind.is_complex else torch.float64
        made.append(torch.randn(shape, generator=generator, dtype=wide).to(kind))
    return made


def widened(u):
    return u.to(torch.complex128 if u.is_complex() else torch.float64)


def strided(u):
    """The same numbers with the axes in another order in memory, or every second place of it."""
    if u.ndim > 1:
        v = u.transpose(0, -1).contiguous().transpose(0, -1)
        if v.stride() != u.stride():
            return v
    return torch.stack([u, u], -1)[..., 0]


def tensors(result):
    return result if isinstance(result, tuple) else (result,)


def error(found, expected):
    """The largest relative error of several tensors; NaN counts as infinite."""
    pairs = zip(tensors(found), tensors(expected), strict=True)
    errors = [((widened(u) - widened(v)).norm() / v.norm()).item() for u, v in pairs]
    return max(math.inf if math.isnan(e) else e for e in errors)


def gradients(function, fields):
    """Those of a weighted sum of the results, in every field."""
    fields = [
        u.detach().clone(memory_format=torch.preserve_format).requires_grad_() for u in fields
    ]
    results = tensors(function(*fields))
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(v.shape, generator=generator, dtype=torch.float64) for v in results]
    total = sum((v * g.to(v)).sum() for v, g in zip(results, weights, strict=True))
    return torch.autograd.grad(total, fields)


@cases("test_forward")
def test_forward(row, size, dtype):
    fields = draw(row, size, dtype)
    found = row.operation(*fields)
    expected = row.twin(*map(widened, fields))
    for u, v in zip(tensors(found), tensors(expected), strict=True):
        assert u.shape == v.shape
        assert u.dtype.is_complex == v.dtype.is_complex
    assert error(found, expected) <= TOLERANCE[dtype]


@cases("test_strided")
def test_strided(row, size, dtype):
    fields = draw(row, size, dtype)
    apart = [strided(u) for u in fields]
    assert not any(u.is_contiguous() for u in apart if u.numel() > 1)
    assert error(row.operation(*apart), row.twin(*map(widened, fields))) <= TOLERANCE[dtype]


@cases("test_backward")
@pytest.mark.parametrize("layout", [lambda u: u, strided], ids=["contiguous", "strided"])
def test_backward(row, size, dtype, layout):
    fields = [layout(u) for u in draw(row, size, dtype)]
    found = gradients(row.operation, fields)
    expected = gradients(row.twin, [widened(u) for u in fields])
    assert [u.dtype for u in found] == [u.dtype for u in fields]
    assert error(found, expected) <= TOLERANCE[dtype]


@pytest.mark.parametrize("name", ROWS)
def test_a_wrong_scale_or_sign_is_seen(name):
    """Negative control: errors in the last digits of float32 that matter, forward and backward."""
    row = ROWS[name]
    dtype, size = row.dtypes[-1], row.sizes[-1]
    fields = draw(row, size, dtype)
    expected = row.twin(*map(widened, fields))
    found = tensors(row.operation(*fields))
    for factor in (1 + 1e-4, -1):
        assert error(tuple(factor * v for v in found), expected) > TOLERANCE[dtype]
    if "test_backward" in row.exempt:
        return
    expected = gradients(row.twin, [widened(u) for u in fields])
    for factor in (1 + 1e-4, -1):

        def scaled(u, s=factor):
            """u, with s times its gradient."""
            return s * u + (1 - s) * u.detach()

        found = gradients(lambda *f, w=scaled: row.operation(*map(w, f)), fields)
        assert error(found, expected) > TOLERANCE[dtype]


def test_compiled_forms_are_those_compared():
    """The rows compare loops with twins, not a twin with itself."""
    u, factor = torch.ones(2, 3, 5, dtype=torch.complex64), torch.ones(3, 5)
    assert etdrk4.bind(u, factor).__name__.endswith("etdrk4.cpu")
    assert low_storage.bind(u, factor).__module__.endswith("low_storage.cpu")
    assert vorticity.bind(u, (8, 8)).loops.__name__.endswith("vorticity.cpu")
    x = torch.ones(3, 5)
    assert type(conjugate.bind(x, x, x, x, x)).__module__.endswith("conjugate.cpu")
    assert type(conjugate.bind(x, x, x, x.T, x)).__module__.endswith("conjugate.reference")
    assert tanh_entries._form(x, x).__name__.endswith("tanh_entries.cpu")
    assert tanh_entries._form(x, x.T).__name__.endswith("tanh_entries.reference")
    assert fno._form(x) is fno.cpu
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fno._form(x) is fno.composed
