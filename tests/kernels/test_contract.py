"""The contract of every operation: it equals its plain twin, forward and backward, in each dtype
and memory layout, at odd sizes. A new operation is a row."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
import scipy.sparse
import torch
import torch.nn.functional as F

from pdeops.kernels import (
    conjugate,
    convolution,
    etdrk4,
    fno,
    low_storage,
    regions,
    sparse,
    spectral_conv,
    sweeps,
    vorticity,
)
from pdeops.kernels.conjugate import reference as conjugate_reference
from pdeops.kernels.etdrk4 import reference as etdrk4_reference
from pdeops.kernels.fno import reference as fno_reference
from pdeops.kernels.low_storage import reference as low_storage_reference
from pdeops.kernels.regions import reference as regions_reference
from pdeops.kernels.sparse import reference as sparse_reference
from pdeops.kernels.spectral_conv import reference as spectral_conv_reference
from pdeops.kernels.sweeps import reference as sweeps_reference
from pdeops.kernels.vorticity import reference as vorticity_reference

TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}  # relative, of the Euclidean norm
COMPLEX = "complex"


@dataclass(frozen=True)
class Row:
    """An operation, its twin, and fields to compare them on.

    Attributes:
        operation, twin: functions of the fields that return one tensor or several; those that work
            in place do so on clones.
        fields: for a size, the shapes of the fields; (COMPLEX, shape) for a complex one.
        sizes: of the grid, odd ones among them.
        exempt: test -> why it does not apply.
    """

    operation: Callable
    twin: Callable
    fields: Callable[[tuple[int, ...]], list]
    sizes: tuple[tuple[int, ...], ...]
    dtypes: tuple[torch.dtype, ...] = (torch.float64, torch.float32)
    exempt: Mapping[str, str] = field(default_factory=dict)


# ----------------------------------------------------------------- fields and functions of the rows


def channels_first(function):
    """A twin with channels first as a function of fields with channels last."""

    def wrapped(u, *rest):
        return function(u.movedim(-1, 1), *rest).movedim(1, -1)

    return wrapped


def spectral_fields(n):
    modes = (*(4 for _ in n[1:]), 3)
    return [(2, *n, 3), (*modes, 3, 2, 2)]


def layer_fields(n):
    modes = (*(4 for _ in n[1:]), 3)
    return [(2, *n, 3), (*modes, 3, 2, 5), (4, 5), (4,), (2, 4), (2, 3), (2,)]


def plain_layer(u, K, M1, m1, M2, W, w):
    zero = torch.zeros_like(w)
    layer = channels_first(fno_reference.fourier_layer)
    return F.gelu(layer(u, K, M1, m1, M2, zero, W, w))


def enlarged(n):
    """One axis cropped, the others padded."""
    return (n[0] - 2, *(k + 3 for k in n[1:]))


def plain_mlp(u, *maps):
    mlp = channels_first(
        lambda u, *maps: fno_reference.pointwise_mlp(u, enlarged(u.shape[2:]), *maps)
    )
    return mlp(u, *maps)


def without_gradient(function):
    def wrapped(*fields):
        with torch.no_grad():
            return function(*fields)

    return wrapped


def convolve(form):
    window = ((2, 1, 1), (1, 0, 2), (1, 1, 2), 2)
    return without_gradient(lambda u, W, b: form(u, W, b, *window))


def exponential_step(bind):
    def step(u, Nu, Na, Nb, Nc, *factors):
        E, E2, Q, f1, f2, f3 = factors
        form, u = bind(u, E), u.clone()
        a, b = torch.empty_like(u), torch.empty_like(u)
        form.pair(E2, u, Q, Nu, a)
        form.last_stage(E2, a, Q, Nb, Nu, b)
        form.update(u, (E, f1, f2, f3), (Nu, Na, Nb, Nc))
        return a, b, u

    return step


def low_storage_step(bind):
    def step(u, h, N, decay, gain):
        update, u, h = bind(u, decay), u.clone(), h.clone()
        update(u, h, N, 0.0, decay, gain)
        update(u, h, N, -0.7, decay, gain)
        return u, h

    return step


def waves(n):
    return [(COMPLEX, (3, *n)) for _ in range(5)] + [n] * 6


def vorticity_steps(loops):
    """One after the other, with rows of K waves y and 2K + 1 waves x."""

    def steps(w, per_x, per_y, a, c):
        form = loops(w)
        K, num_l = w.shape[2] // 2, w.shape[1]
        nx, ny = 3 * K + 1, 3 * num_l
        rows = w.new_zeros(len(w), 2 * num_l - 1, nx)
        form.velocity(w, per_x, per_y, rows)
        wide = w.new_zeros(len(w), nx, ny)
        form.turn(rows, 0, nx, wide)
        z = wide.clone()
        form.products(z)
        back = w.new_zeros(len(w), 2 * K + 1, nx)
        form.turn(z.mT.contiguous()[:, : 2 * num_l - 1], K, 2 * K + 1, back.mT.contiguous().mT)
        square = torch.cat([rows, rows], 2)[..., : 3 * K + 1].contiguous()
        out = torch.empty_like(w)
        form.tendency(square, a, c, out)
        return rows, wide, z, out

    return steps


def conjugate_step(bind):
    """Two steps, the second with a β."""

    def step(p, Ap, x, r, z):
        p, Ap, x, r, z = (u.clone(memory_format=torch.preserve_format) for u in (p, Ap, x, r, z))
        z.add_(r, alpha=3)  # so that ⟨r, z⟩ and ⟨p, A p⟩ are positive
        form = bind(p, Ap, x, r, z)
        Ap.copy_(p)
        rz = form.direction(math.inf)
        Ap.copy_(2 * p)
        pAp, rr = form.descend(rz)
        again = form.direction(rz)
        return p, x, r, torch.tensor([rz, pAp, rr, again])

    return step


def labelled(n):
    """Two floating regions, one that does not float, and solid nodes."""
    labels = torch.zeros(n, dtype=torch.int64)
    labels[0], labels[1, ..., : n[-1] // 2], labels[2, ..., n[-1] // 2 :] = 1, 2, -1
    return labels


def project(u):
    return regions.Projection(labelled(u.shape[1:]), 2)(u)


def plain_project(u):
    """By masks."""
    labels = labelled(u.shape[1:])
    v = u * (labels >= 0)
    for region in (1, 2):
        inside = (labels == region).to(u)
        v = v - inside * (u * inside).flatten(1).sum(1).view(-1, *[1] * labels.ndim) / inside.sum()
    return v


def csr(n, symmetric=True):
    size = math.prod(n)
    T = scipy.sparse.diags_array(
        [-1.0, -0.3, 3.0, -0.3, -1.0], offsets=[-7, -1, 0, 1, 7], shape=(size,) * 2
    )
    return (
        scipy.sparse.csr_array(T) if symmetric else scipy.sparse.csr_array(scipy.sparse.tril(T, 1))
    )


def multiply(u):
    return sparse.Product(csr(u.shape[1:], symmetric=False))(u.flatten(1)).reshape(u.shape)


def dense(n, dtype, symmetric=True):
    return torch.from_numpy(csr(n, symmetric).toarray()).to(dtype)


def plain_multiply(u):
    return (u.flatten(1) @ dense(u.shape[1:], u.dtype, symmetric=False).T).reshape(u.shape)


def triangular_solves(u):
    """(Uᵀ U)⁻¹ u with IC(0), by the loops."""
    A = scipy.sparse.triu(csr(u.shape[1:])).tocsr()
    A.sort_indices()
    assert sweeps.factor(A.indptr, A.indices, A.data, 0.0) == -1
    A.data[A.indptr[:-1]] = 1 / A.data[A.indptr[:-1]]
    b = u.flatten(1).contiguous()
    x = torch.empty_like(b)
    sweeps.solve(
        A.indptr, A.indices, torch.from_numpy(A.data).to(u.dtype).numpy(), b.numpy(), x.numpy()
    )
    return x.reshape(u.shape)


def plain_triangular_solves(u):
    U = sweeps_reference.incomplete_cholesky(dense(u.shape[1:], torch.float64), 0.0)
    x = torch.cholesky_solve(u.flatten(1).T.double(), U, upper=True).T
    return x.to(u.dtype).reshape(u.shape)


def symmetric_sweep(u):
    A = csr(u.shape[1:])
    b = u.flatten(1).contiguous()
    x = torch.empty_like(b)
    scale = 1.3 / A.diagonal()
    sweeps.sweep_from_zero(A.indptr, A.indices, A.data, scale, True, b.numpy(), x.numpy())
    return x.reshape(u.shape)


def plain_symmetric_sweep(u):
    A = dense(u.shape[1:], torch.float64)
    fields = []
    for b in u.flatten(1).double():
        x = sweeps_reference.sweep(A, 1.3, b, torch.zeros_like(b))
        fields.append(sweeps_reference.sweep_back(A, 1.3, b, x))
    return torch.stack(fields).to(u.dtype).reshape(u.shape)


IN_PLACE = {"test_backward": "it works in place; solvers record no gradient"}
SIZES = ((16, 18), (17, 15), (9, 8, 7))
ROWS = {
    "spectral_conv": Row(
        spectral_conv.convolve,
        channels_first(spectral_conv_reference.convolve),
        spectral_fields,
        ((16,), (13,), *SIZES),
    ),
    "fno.fourier_layer": Row(
        lambda *fields: fno.fourier_layer(*fields, activate=True),
        plain_layer,
        layer_fields,
        ((16,), (13,), *SIZES),
    ),
    "fno.pointwise_mlp": Row(
        lambda u, *maps: fno.pointwise_mlp(u, enlarged(u.shape[1:-1]), *maps),
        plain_mlp,
        lambda n: [(2, *n, 3), (7, 3), (7,), (2, 7), (2,)],
        ((16,), (13,), *SIZES),
    ),
    "convolution.conv3d": Row(
        convolve(convolution.conv3d),
        convolve(F.conv3d),
        lambda n: [(1, 4, *n), (6, 2, 3, 2, 3), (6,)],
        ((9, 8, 7), (16, 16, 16)),
        exempt={"test_backward": "the form by oneDNN is for inference"},
    ),
    "etdrk4": Row(
        exponential_step(etdrk4.bind),
        exponential_step(lambda u, E: etdrk4_reference),
        waves,
        SIZES,
        exempt=IN_PLACE,
    ),
    "low_storage": Row(
        low_storage_step(low_storage.bind),
        low_storage_step(lambda u, decay: low_storage_reference.update),
        lambda n: [(COMPLEX, (3, *n)) for _ in range(3)] + [n] * 2,
        SIZES,
        exempt=IN_PLACE,
    ),
    "vorticity": Row(
        vorticity_steps(lambda w: vorticity.bind(w, (8, 8)).loops),
        vorticity_steps(lambda w: vorticity_reference),
        lambda n: [(COMPLEX, (2, *n)), n, n, n, n],
        ((4, 7), (5, 9)),
        exempt=IN_PLACE | {"test_strided": "its buffers are contiguous by construction"},
    ),
    "conjugate": Row(
        conjugate_step(conjugate.bind),
        conjugate_step(conjugate_reference.Step),
        lambda n: [n] * 5,
        (*SIZES, (401, 403)),  # several blocks, the last one not full
        exempt=IN_PLACE,
    ),
    "conjugate.dot_columns": Row(
        conjugate.dot_columns,
        lambda u, v: (u * v).flatten(1).sum(1),
        lambda n: [(3, *n)] * 2,
        (*SIZES, (401, 403)),
    ),
    "regions": Row(project, plain_project, lambda n: [(2, *n)], SIZES),
    "regions.reference": Row(
        lambda u: regions_reference.project(
            u, labelled(u.shape[1:]), regions.Projection(labelled(u.shape[1:]), 2).weights
        ),
        plain_project,
        lambda n: [(2, *n)],
        SIZES,
    ),
    "sparse": Row(multiply, plain_multiply, lambda n: [(2, *n)], ((1, 16), *SIZES)),
    "sparse, one field": Row(multiply, plain_multiply, lambda n: [(1, *n)], SIZES),
    "sparse.reference": Row(
        lambda u: sparse_reference.multiply(
            sparse_reference.tensor(csr(u.shape[1:], symmetric=False), u.device, u.dtype),
            u.flatten(1),
        ).reshape(u.shape),
        plain_multiply,
        lambda n: [(2, *n)],
        SIZES,
    ),
    "sweeps, IC(0)": Row(
        triangular_solves,
        plain_triangular_solves,
        lambda n: [(2, *n)],
        SIZES,
        exempt={"test_backward": "the loops record no gradient"},
    ),
    "sweeps, SSOR": Row(
        symmetric_sweep,
        plain_symmetric_sweep,
        lambda n: [(2, *n)],
        SIZES,
        dtypes=(torch.float64,),
        exempt={"test_backward": "the loops record no gradient"},
    ),
}

# ------------------------------------------------------------------------------------ the contract


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
    for factor in (1 + 1e-4, -1):
        wrong = tuple(factor * v for v in tensors(row.operation(*fields)))
        assert error(wrong, expected) > TOLERANCE[dtype]
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
    assert fno._form(x) is fno.cpu
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert fno._form(x) is fno.composed
