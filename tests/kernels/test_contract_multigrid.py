"""The contract of the multigrid kernels: each equals its plain twin in each dtype and memory
layout, at odd and even sizes. A new operation or form is a row."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import pytest
import torch

from pdeops.kernels import blackbox, constant, diffusion, stencil, stencil_multigrid
from pdeops.kernels.blackbox import Cycle, System, layout, plane_layout
from pdeops.kernels.blackbox import reference as blackbox_reference
from pdeops.kernels.blackbox.sparsify import equal_shares
from pdeops.kernels.constant import problem as constant_problem
from pdeops.kernels.constant import reference as constant_reference
from pdeops.kernels.diffusion import reference as diffusion_reference
from pdeops.kernels.stencil import reference as stencil_reference
from pdeops.kernels.stencil_multigrid import cpu as stencil_cpu
from pdeops.kernels.stencil_multigrid import reference as stencil_multigrid_reference

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}  # relative, of the Euclidean norm


@dataclass(frozen=True)
class Row:
    """An operation, its twin, and fields to compare them on.

    Attributes:
        operation, twin: functions of the fields that return a tensor.
        fields: for a size, the shapes of the fields.
        sizes: numbers of unknowns per axis, odd ones among them.
        exempt: test -> why it does not apply.
        unused: the fields that the row does not use.
    """

    operation: Callable
    twin: Callable
    fields: Callable[[tuple[int, ...]], list[tuple[int, ...]]]
    sizes: tuple[tuple[int, ...], ...]
    exempt: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[int, ...] = ()


# ----------------------------------------------------------------- fields and functions of the rows


def couplings(n):
    """b, a field for the excess, and one for the couplings of each axis."""
    return [
        (2, *n),
        n,
        *(tuple(k + (a == axis) for a, k in enumerate(n)) for axis in range(len(n))),
    ]


def system(excess, faces, *, has_excess, periodic):
    """Positive couplings of contrast 20; on a periodic axis the two ends are one face."""
    faces = [(f / 2).exp() for f in faces]
    for axis, f in enumerate(faces):
        if periodic[axis]:
            f.select(axis, -1).copy_(f.select(axis, 0))
    e = excess.exp() if has_excess else None
    return System(faces, e, periodic, [1.0] * len(faces))


def hierarchy(set_up, *, ndim, cycle=Cycle(), has_excess=False, periodic=(), **how):  # noqa: B008
    """A cycle on the levels of random couplings."""
    periodic = periodic or (False,) * ndim

    def run(b, excess, *faces):
        levels = set_up(system(excess, faces, has_excess=has_excess, periodic=periodic), cycle, how)
        out = torch.full_like(b, torch.nan, memory_format=torch.contiguous_format)
        levels.run(b, out, cycle)
        return out

    return run


def chosen(system, cycle, how):
    return blackbox.set_up(system, cycle, **how)


def plain(system, cycle, how):
    return blackbox_reference.ReferenceHierarchy(system, **how)


class PlaneTwin:
    """The twin on as many levels as `PlaneHierarchy` has."""

    def __init__(self, system, cycle, how):
        levels, _ = plane_layout.layout(*system.shape, 0, layout.DIRECT)
        both = [(True, True)] * (len(levels) - 1)
        shares, count = how.get("shares"), how.get("num_sparsified", 1)
        self.levels = blackbox_reference.build_levels(
            system.faces, None, (False, False), both, False, shares, (), count
        )

    def run(self, b, out, cycle):
        steps = layout.schedule(len(self.levels), "V").tolist()
        out.copy_(blackbox_reference.apply_cycle(b, self.levels, steps))


def multigrid(ndim, sizes, twin=plain, **how):
    return Row(
        hierarchy(chosen, ndim=ndim, **how),
        hierarchy(twin, ndim=ndim, **how),
        couplings,
        sizes,
        exempt={"test_backward": "compiled cycles record no gradient; train with the twin"},
        unused=() if how.get("has_excess") else (1,),
    )


def geometric(set_up):
    def run(b):
        shape = tuple(b.shape[1:])
        problem = constant.Constant(2.0, 3.0, shape, tuple((n + 1) / 50 for n in shape))
        out = torch.full_like(b, torch.nan, memory_format=torch.contiguous_format)
        set_up(problem, b).run(b, out, Cycle())
        return out

    return run


def product(u, excess, *faces):
    return diffusion.apply(diffusion.Couplings(faces, excess, (True,) * len(faces)), u)


def plain_product(u, excess, *faces):
    return diffusion_reference.apply(u, faces, excess, (True,) * len(faces))


def bound_product(u, *faces):
    """Two fields, by the loop that conjugate gradients call."""
    A = diffusion.Couplings([f.detach() for f in faces], None, (False,) * len(faces))
    out = torch.full_like(u, torch.nan, memory_format=torch.contiguous_format)
    for v, w in zip(u.contiguous(), out, strict=True):
        diffusion.bind(A, v, w)()
    return out


def constant_product(u, *profiles):
    """Couplings and fractions of a cell per axis."""
    ndim = len(profiles) // 2
    A = diffusion.Profiles(profiles[:ndim], profiles[ndim:], 0.7, (False,) * ndim)
    return diffusion.apply(A, u)


def plain_constant_product(u, *profiles):
    ndim = len(profiles) // 2
    t, s = profiles[:ndim], profiles[ndim:]
    outer = diffusion_reference.outer
    faces = [outer([t[a] if a == b else s[a] for a in range(ndim)]) for b in range(ndim)]
    return diffusion_reference.apply(u, faces, 0.7 * outer(s), (False,) * ndim)


def inside(a):
    """Couplings, zero where the neighbour lies outside the box."""
    masks = torch.zeros_like(a)
    for mask, offset in zip(masks, stencil.stencil_offsets(a.ndim - 1), strict=True):
        mask[stencil.paired(offset, a.shape[1:])[0]] = 1
    return a * masks


def stencil_fields(n):
    """A field, the excess of the diagonal, and the couplings."""
    return [(2, *n), n, (3 ** len(n) // 2, *n)]


def stencil_cycle(set_up, *, cycle=Cycle(), strength=(1.0, 1.0, 1.0), lines=()):  # noqa: B008
    """A cycle for random couplings of either sign, most of them negative."""

    def run(b, excess, couplings):
        a = inside(couplings - 1)
        size = stencil_reference.apply(torch.ones_like(excess), 0 * excess, a.abs())
        few = strength[: excess.ndim]
        problem = stencil_multigrid.StencilSystem(size + excess.exp(), a, few, lines)
        out = torch.full_like(b, torch.nan, memory_format=torch.contiguous_format)
        set_up(problem).run(b, out, cycle)
        return out

    return run


def wide(sizes, **how):
    return Row(
        stencil_cycle(stencil_multigrid.set_up, **how),
        stencil_cycle(stencil_multigrid_reference.set_up, **how),
        stencil_fields,
        sizes,
        exempt={"test_backward": "compiled cycles record no gradient"},
    )


def stencil_product(u, d, a):
    return stencil.apply(stencil.Entries(d, inside(a)), u)


def bound_stencil_product(u, d, a):
    out = torch.full_like(u, torch.nan, memory_format=torch.contiguous_format)
    for v, w in zip(u.contiguous(), out, strict=True):
        stencil.bind(stencil.Entries(d, inside(a)), v, w)()
    return out


def plain_stencil_product(u, d, a):
    return stencil_reference.apply(u, d, inside(a))


PLANES = ((19, 19), (20, 27), (39, 24), (11, 52))
PRODUCTS = ((17,), (17, 15), (16, 18), (9, 8, 7))
BOXES = ((9, 11, 13), (10, 9, 12))
ROWS = {
    "blackbox, plane": multigrid(2, PLANES, PlaneTwin),
    "blackbox, sparsified plane": multigrid(2, PLANES, PlaneTwin, shares=equal_shares),
    "blackbox, all levels sparsified": multigrid(
        2, PLANES, PlaneTwin, shares=equal_shares, num_sparsified=9
    ),
    "blackbox, line": multigrid(1, ((140,), (97,)), has_excess=True),
    "blackbox, plane with excess": multigrid(2, PLANES, has_excess=True),
    "blackbox, periodic plane": multigrid(
        2, ((20, 28), (24, 17)), has_excess=True, periodic=(True, False)
    ),
    "blackbox, box": multigrid(3, BOXES),
    "blackbox, box, W(2,1)": multigrid(3, BOXES, cycle=Cycle("W", 2, 1, mirrored=False)),
    "blackbox, box, Chebyshev": multigrid(3, BOXES, cycle=Cycle("F", 1, 1, lengths=(0.6, 0.9))),
    "blackbox, sparsified box": multigrid(3, BOXES, shares=equal_shares, num_sparsified=9),
    "blackbox, lines in a plane": multigrid(2, PLANES, lines=(1, 0)),
    "blackbox, lines in a box": multigrid(3, BOXES, has_excess=True, lines=(2,)),
    "constant": Row(
        geometric(constant.set_up),
        geometric(constant_reference.set_up),
        lambda n: [(2, *n)],
        ((15, 31), (41, 25), (15, 15, 15), (31, 21, 17)),
        exempt={"test_backward": "compiled cycles record no gradient"},
    ),
    "stencil multigrid, line": wide(((90,),)),
    "stencil multigrid, plane": wide((*PLANES, (1, 500), (3, 200))),
    "stencil multigrid, semicoarsening": wide(PLANES, strength=(0.1, 1.0)),
    "stencil multigrid, W(1,2)": wide(PLANES, cycle=Cycle("W", 1, 2)),
    "stencil multigrid, full": wide(PLANES, cycle=Cycle("full", 2, 1, mirrored=False)),
    "stencil multigrid, lines": wide(PLANES, lines=((0, 1),)),
    "stencil multigrid, diagonals": wide(PLANES, cycle=Cycle("W"), lines=((1, 1), (1, 0))),
    "stencil multigrid, other diagonals": wide(PLANES, lines=((1, -1),)),
    "stencil multigrid, box": wide(BOXES),
    "stencil multigrid, semicoarsened box": wide(BOXES, strength=(0.2, 1.0, 0.01)),
    "stencil.apply": Row(
        stencil_product, plain_stencil_product, stencil_fields, (*PRODUCTS, (1, 9), (5, 1, 4))
    ),
    "stencil.bind": Row(
        bound_stencil_product,
        plain_stencil_product,
        stencil_fields,
        (*PRODUCTS, (40, 50)),
        exempt={"test_backward": "bound loops record no gradient"},
    ),
    "diffusion.apply": Row(
        product, plain_product, lambda n: [(2, *n), *couplings(n)[1:]], PRODUCTS
    ),
    "diffusion.bind": Row(
        bound_product,
        lambda u, *faces: diffusion_reference.apply(u, faces, None, (False,) * len(faces)),
        lambda n: [(2, *n), *couplings(n)[2:]],
        PRODUCTS,
        exempt={"test_backward": "bound loops record no gradient"},
    ),
    "diffusion.apply, constant": Row(
        constant_product,
        plain_constant_product,
        lambda n: [(2, *n), *((k + 1,) for k in n), *((k,) for k in n)],
        PRODUCTS,
        exempt={"test_backward": "profiles carry no gradient; Diffusion stores faces instead"},
    ),
}

# ------------------------------------------------------------------------------------ the contract


@pytest.fixture(autouse=True)
def several_levels(monkeypatch):
    monkeypatch.setattr(layout, "DIRECT", 100)
    monkeypatch.setattr(constant_problem, "SMALLEST", 5)


def cases(test):
    """A case for each row, size and dtype that the test applies to."""
    return pytest.mark.parametrize(
        ("row", "size", "dtype"),
        [
            pytest.param(row, size, dtype, id=f"{name}-{'x'.join(map(str, size))}-{dtype}")
            for name, row in ROWS.items()
            if test not in row.exempt
            for size in row.sizes
            for dtype in TOLERANCE
        ],
    )


arranged = pytest.mark.parametrize(
    "arrange",
    [torch.clone, lambda u: torch.stack([u, u], -1)[..., 0]],
    ids=["contiguous", "strided"],
)


def draw(row, size, dtype):
    """Independent normal fields, rounded to the dtype, so that the twin sees the same numbers."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
        for shape in row.fields(size)
    ]


def gradients(function, fields):
    """Those of a weighted sum of the result, in every field."""
    fields = [u.detach().requires_grad_() for u in fields]
    result = function(*fields)
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(result.shape, generator=generator, dtype=torch.float64).to(result)
    return torch.autograd.grad((result * weights).sum(), fields)


def error(found, expected):
    """The relative error; infinite for NaN."""
    gap = ((found.double() - expected).norm() / expected.norm()).item()
    return math.inf if math.isnan(gap) else gap


@cases("test_forward")
@arranged
def test_forward(row, size, dtype, arrange):
    fields = draw(row, size, dtype)
    found = row.operation(*map(arrange, fields))
    expected = row.twin(*(u.double() for u in fields))
    assert found.dtype == dtype
    assert found.shape == expected.shape
    assert error(found, expected) <= TOLERANCE[dtype]


@cases("test_backward")
@arranged
def test_backward(row, size, dtype, arrange):
    fields = draw(row, size, dtype)
    found = gradients(row.operation, [arrange(u) for u in fields])
    expected = gradients(row.twin, [u.double() for u in fields])
    for u, v in zip(found, expected, strict=True):
        assert error(u, v) <= TOLERANCE[dtype]


@pytest.mark.parametrize("name", ROWS)
def test_a_small_change_of_any_field_is_seen(name):
    """Negative control: twin and operation differ by more than the tolerance if a field does."""
    row = ROWS[name]
    fields = draw(row, row.sizes[0], torch.float64)
    expected = row.twin(*fields)
    for k, u in enumerate(fields):
        if k not in row.unused:
            changed = [*fields[:k], u * 1.0001, *fields[k + 1 :]]
            assert error(row.operation(*changed), expected) > 1000 * TOLERANCE[torch.float64]


def test_the_form_follows_device_dtype_and_problem():
    faces = [torch.ones(10, 9), torch.ones(9, 10)]

    def form(dtype=torch.float64, cycle=Cycle(), device="cpu", excess=None, **how):  # noqa: B008
        moved = [f.to(device, dtype) for f in faces]
        system = System(moved, excess, (False, False), (1.0, 1.0))
        return type(blackbox.set_up(system, cycle, **how)).__name__

    assert form() == form(torch.float32) == "PlaneHierarchy"
    assert form(excess=torch.ones(9, 9).double()) == "BoxHierarchy"
    assert form(cycle=Cycle("W")) == form(lines=(0,)) == "BoxHierarchy"
    like = torch.empty(0, dtype=torch.float64)
    problem = constant.Constant(1.0, 0.0, (31, 31), (1.0, 1.0))
    assert type(constant.set_up(problem, like)).__name__ == "ConstantHierarchy"
    problem = stencil_multigrid.StencilSystem(torch.ones(9, 9), torch.zeros(4, 9, 9), (1.0, 1.0))
    assert type(stencil_multigrid.set_up(problem)) is stencil_cpu.CpuHierarchy
    for operation in (blackbox, constant, diffusion, stencil, stencil_multigrid):
        form = operation.FORMS.of(torch.empty(0, device="meta"))
        assert form.__name__.endswith(".reference")
    assert not blackbox.line_smoothing_pays(torch.device("meta"))
    assert not constant.serves(torch.device("meta"), torch.float64)
