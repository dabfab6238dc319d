"""The ways to run a multigrid cycle: fused loops for three kinds of problems, and the twin."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from ..grid import Boundary, Grid, Placement
from ..kernels import bands
from ..kernels import blackbox_layout as layout
from ..kernels.collapse import Shares
from .diffusion import Diffusion
from .faces import KERNEL_DTYPES

SMALLEST = 31  # unknowns of an axis that `ConstantCycle` still halves


@dataclass(frozen=True)
class GaussSeidel:
    """Node by node, by colours; red and black on five and seven points."""

    lengths: ClassVar[tuple[float, ...]] = ()


@dataclass(frozen=True)
class Jacobi:
    """u += ω D⁻¹ (b - A u), damped by ω in (0, 1); 0.8 is good in a plane, 0.86 in a box.

    The eigenvalues of D⁻¹ A lie in (0, 2) on the finest level, so that it converges.
    """

    damping: float | int = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.damping < 1:
            raise ValueError(f"Jacobi's damping lies between 0 and 1; got {self.damping}. Use 0.8.")

    @property
    def lengths(self) -> tuple[float, ...]:
        """Of its one step."""
        return (float(self.damping),)


@dataclass(frozen=True)
class Chebyshev:
    """The polynomial in D⁻¹ A that is smallest on the upper three quarters of (0, 2).

    Degree k costs k products with A and is a sweep like k - 1 of Gauss-Seidel; it knows no colours.
    """

    degree: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.degree <= 8:
            raise ValueError(f"Chebyshev smoothing uses a degree of 1 to 8; got {self.degree}.")

    @property
    def lengths(self) -> tuple[float, ...]:
        """The inverse roots of the Chebyshev polynomial on [½, 2]."""
        angles = [math.pi * (2 * i + 1) / (2 * self.degree) for i in range(self.degree)]
        return tuple(1 / (1.25 + 0.75 * math.cos(angle)) for angle in angles)


Smoother = GaussSeidel | Jacobi | Chebyshev


@dataclass(frozen=True)
class CycleSpec:
    """Which cycle: the order in which levels are visited, and sweeps before and after the
    correction.

    Attributes:
        kind: "V", "W", "F", or "full" (full multigrid: a V-cycle on each level from the coarsest
        up). pre, post: Gauss-Seidel sweeps.
        mirrored: the colours are reversed after the correction.
    """

    kind: str = "V"
    pre: int = 1
    post: int = 1
    mirrored: bool = True
    smoother: Smoother = GaussSeidel()

    @property
    def symmetric(self) -> bool:
        """The cycle is a symmetric operator."""
        ordered = self.mirrored or not isinstance(self.smoother, GaussSeidel)
        return self.kind in ("V", "W") and self.pre == self.post and ordered


class NotPositiveError(Exception):
    """A level is not positive definite."""


class Cycle(ABC):
    """One way to run a cycle on the levels of an operator."""

    shapes: list[tuple[int, ...]]

    @abstractmethod
    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        """out = M b for a batch of fields, contiguous, in the dtype of the levels."""

    def bind(self, b: Tensor, out: Tensor, spec: CycleSpec) -> Callable[[], object]:
        """The same for one field, to be called again and again."""
        return partial(self, b[None], out[None], spec)

    @staticmethod
    @abstractmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        """Whether it can run this cycle for this operator."""


class ConstantCycle(Cycle):
    """V(1,1) on re-discretised operators by `kernels/constant.py`; `BoxCycle` from where a number
    of unknowns is even or small."""

    def __init__(self, A: Diffusion) -> None:
        assert A.constant is not None
        a, c = A.constant
        shape, self.shapes = A.grid.shape, [A.grid.shape]
        while all(n % 2 and n >= SMALLEST for n in shape):
            shape = tuple(n // 2 for n in shape)
            self.shapes.append(shape)
        self.num_halved = len(self.shapes) - 1
        weights = []
        for level in self.shapes:
            w = [a * ((n + 1) / L) ** 2 for n, L in zip(level, A.grid.extent, strict=True)]
            middle = w[1:-1] or [0.0]
            weights.append([w[0], *middle, w[-1], 1 / (2 * sum(w) + c)])
        table, size = self._kernels.layout(self.shapes)
        store = zeros(size, A.dtype)
        last = table[-1]
        inner = (slice(1, -1), slice(1, -1) if A.ndim == 3 else slice(None), slice(1, -1))
        l, n, m = (int(k) for k in last[:3])
        rows = n + 2 * (A.ndim == 3)
        u = store[int(last[3]) : int(last[4])].view(l + 2, rows, m + 2)
        self._coarse_u = u[inner]
        self._coarse_b = store[int(last[4]) :].view(1, *shape)
        coarse = Grid(shape, A.grid.extent, A.grid.boundary, "interior")
        self._coarse = BoxCycle(Diffusion(torch.full(shape, a, dtype=A.dtype), coarse, reaction=c))
        self.shapes += self._coarse.shapes[1:]
        self._coarse_out = torch.empty_like(self._coarse_b)
        self._middle = A.ndim == 2
        deep = A.ndim == 3
        self._arguments = (store.numpy(), table, torch.tensor(weights, dtype=A.dtype).numpy(), deep)

    @property
    def _kernels(self) -> Any:
        from ..kernels import constant

        return constant  # looked up each time: a cycle is pickled, a module is not

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        if self._middle:
            b, out = b.unsqueeze(2), out.unsqueeze(2)
        wide = divided(self.shapes[: self.num_halved], bands.WIDE)
        for field, result in zip(b.numpy(), out.numpy(), strict=True):
            for level, parts in enumerate(wide):
                restrict = partial(self._kernels.restrict, field, *self._arguments, level)
                bands.split(restrict, self.shapes[level + 1][0], parts)
            self._kernels.down(field, *self._arguments, len(wide))
            self._coarse(self._coarse_b, self._coarse_out, spec)
            self._coarse_u.copy_(self._coarse_out.view(self._coarse_u.shape))
            self._kernels.up(field, *self._arguments, len(wide), result)
            for level, parts in reversed(list(enumerate(wide))):
                correct = partial(self._kernels.correct, field, *self._arguments, level, result)
                bands.chain(correct, self.shapes[level][0], 3, parts)

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        """Constant coefficient, zero sides at nodes, spacings alike, at least one odd halving."""
        return (
            A.constant is not None
            and spec == CycleSpec()
            and A.ndim in (2, 3)
            and all(
                b is Boundary.DIRICHLET and p is Placement.INTERIOR
                for b, p in zip(A.grid.boundary, A.grid.placement, strict=True)
            )
            and all(n % 2 and n >= SMALLEST for n in A.grid.shape)
            and min(A.grid.spacing) ** 2 >= layout.STRONG * max(A.grid.spacing) ** 2
        )


class PlaneCycle(Cycle):
    """V(1,1) by `kernels/blackbox_plane.py`."""

    def __init__(self, A: Diffusion, shares: Shares | None = None) -> None:
        kernels = self._kernels
        thin = int(shares is not None)
        table, size = kernels.layout(*A.grid.shape, thin, layout.DIRECT)
        self.shapes = [(n, m) for n, m in table[:, :2].tolist()]
        store = np.zeros(size, dtype=torch.empty(0, dtype=A.dtype).numpy().dtype)
        setup: Any = kernels.setup
        if shares is not None:
            from ..kernels.blackbox_thin import setup_plane

            setup = partial(setup_plane, shares=shares)
        faces = [f.detach().contiguous().numpy() for f in A.faces]
        if not setup(*faces, store, table, not A.positive_definite):
            raise NotPositiveError
        store.resize(kernels.kept(table), refcheck=False)  # gives back two fields
        self._thin = thin
        self._arrays = (*faces, store, table, thin)

    @property
    def _kernels(self) -> Any:
        from ..kernels import blackbox_plane

        return blackbox_plane  # looked up each time: a cycle is pickled, a module is not

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        for field, result in zip(b.numpy(), out.numpy(), strict=True):
            self._run(field, result)()

    def bind(self, b: Tensor, out: Tensor, spec: CycleSpec) -> Callable[[], object]:
        return self._run(b.numpy(), out.numpy())

    def _run(self, b: Any, out: Any) -> Callable[[], object]:
        wide = divided(self.shapes[:-1], bands.WIDE)
        if not wide:
            return partial(self._kernels.cycle, b, *self._arrays, 0, out)
        return partial(self._run_wide, b, out, wide)

    def _run_wide(self, b: Any, out: Any, wide: list[int]) -> None:
        """Threads share the levels that are wide."""
        kernels, thin = self._kernels, self._thin
        for level, parts in enumerate(wide):
            arguments = (b, *self._arrays, level)
            if level > thin:
                bands.chain(partial(kernels.relax, *arguments), self.shapes[level][0], 5, parts)
            bands.split(partial(kernels.restrict, *arguments), self.shapes[level + 1][0], parts)
        kernels.cycle(b, *self._arrays, len(wide), out)
        for level, parts in reversed(list(enumerate(wide))):
            correct = partial(kernels.correct, b, *self._arrays, level, out)
            stages = 5 if level > thin else 3
            bands.chain(correct, self.shapes[level][0], stages, parts)

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        """A plane without ghosts and excess, coarsened along both axes, in V(1,1)."""
        return (
            A.ndim == 2
            and spec == CycleSpec()
            and not any(A.periodic)
            and A.excess is None
            and min(strengths := strength(A)) >= layout.STRONG * max(strengths)
        )


class BoxCycle(Cycle):
    """Any cycle in one to three dimensions by `kernels/blackbox.py`."""

    def __init__(self, A: Diffusion, shares: Shares | None = None) -> None:
        from ..kernels import blackbox_setup

        box = Box.of(A)
        missing = 3 - A.ndim
        lead = (1,) * missing
        faces = [f.contiguous().reshape(lead + tuple(f.shape)).numpy() for f in box.faces]
        excess = faces[0][:0]
        if box.excess is not None:
            excess = box.excess.contiguous().reshape(lead + tuple(box.excess.shape)).numpy()
        table, number, size = box.hierarchy(thin=int(shares is not None))
        self.shapes = box.shapes(table)
        self._order, self._missing = box.order, missing
        store = zeros(size, A.dtype).numpy()
        present = [False] * missing + [True] * A.ndim
        offsets, colours = layout.half_stencil(present), layout.colours(present)
        wrap = torch.tensor([False] * missing + box.periodic).numpy()
        levels = (store, table, offsets)
        where = (number, wrap, A.excess is not None)
        three = [faces[0]] * missing + faces
        arguments = (excess, *levels, *where, not A.positive_definite)
        setup: Any = blackbox_setup.setup
        if shares is not None:
            from ..kernels.blackbox_thin import setup_box

            positive = setup_box(three, *arguments, shares)
        else:
            positive = setup(*three, *arguments)
        if not positive:
            raise NotPositiveError
        self._arguments = (*levels, colours, *where)
        self._divisible = A.ndim > 1 and not any(box.periodic)

    @property
    def _kernels(self) -> Any:
        from ..kernels import blackbox

        return blackbox  # looked up each time: a cycle is pickled, a module is not

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        axes = (0, *(1 + a for a in self._order))
        fields = b.permute(axes).contiguous()
        results = out.permute(axes)
        mine = results if results.is_contiguous() else torch.empty_like(fields)
        shape = (-1, *(1,) * self._missing, *fields.shape[1:])
        steps = layout.schedule(len(self.shapes), spec.kind)
        sweeps = (spec.pre, spec.post, spec.mirrored)
        lengths = torch.tensor(spec.smoother.lengths, dtype=b.dtype).numpy()
        divisible = self._divisible and len(lengths) == 0
        # VAST, since each colour is handed over alone.
        wide = divided(self.shapes[:-1], bands.VAST) if divisible else []
        for field, result in zip(fields.view(shape).numpy(), mine.view(shape).numpy(), strict=True):
            if wide:
                self._run_wide(field, result, steps, spec, lengths, wide)
            else:
                self._kernels.cycle(field, *self._arguments, steps, sweeps, lengths, result)
        if mine is not results:
            results.copy_(mine)

    def _run_wide(
        self, b: Any, out: Any, steps: Any, spec: CycleSpec, lengths: Any, wide: list[int]
    ) -> None:
        """Threads share the levels that are wide."""
        store, table, *_ = self._arguments
        self._kernels.load(b, store, table)
        for what, level in steps.tolist():
            if level < len(wide) and what in (layout.START, layout.DESCEND, layout.ASCEND):
                self._visit(what, level, spec, wide[level])
            else:
                step, sweeps = np.array([(what, level)]), (spec.pre, spec.post, spec.mirrored)
                self._kernels.visit(*self._arguments, step, sweeps, lengths)
        self._kernels.unload(store, table, out)

    def _visit(self, what: int, level: int, spec: CycleSpec, parts: int) -> None:
        """`visit` of the kernels for one step, one colour after the other."""
        kernels = self._kernels
        store, table, offsets, colours, *_, has_e = self._arguments
        rows, coarse_rows = (kernels.rows(t) for t in table[level : level + 2])
        up = what == layout.ASCEND

        def share(kernel: Any, rows: int, *arguments: Any) -> None:
            bands.split(partial(kernel, store, table, *arguments), rows, parts)

        if up:
            share(kernels.prolong_rows, coarse_rows + 1, level)
        elif what == layout.START:
            share(kernels.clear, int(table[level, layout.S_]), level)
        for sweep in range(spec.post if up else spec.pre):
            for k in range(len(colours)):
                colour = colours[len(colours) - 1 - k if up and spec.mirrored else k]
                alone = what == layout.START and sweep == k == 0
                share(kernels.relax_rows, rows, offsets, level, colour, alone)
        if not up:
            share(kernels.residual_rows, rows, offsets, level, has_e)
            share(kernels.restrict_rows, coarse_rows, level)

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        return A.ndim <= 3


class TwinCycle(Cycle):
    """Any cycle by the plain twin, `kernels/blackbox_reference.py`, on any device."""

    def __init__(self, A: Diffusion, shares: Shares | None = None) -> None:
        from ..kernels import blackbox_reference as reference

        box = Box.of(A)
        table, _, _ = box.hierarchy()
        coarsened = layout.coarsened(table, A.ndim)
        self.shapes = box.shapes(table)
        self._order = box.order
        try:
            self._levels = reference.setup(
                box.faces,
                box.excess,
                box.periodic,
                coarsened,
                not A.positive_definite,
                shares,
            )
        except torch.linalg.LinAlgError:
            raise NotPositiveError from None

    def __call__(self, b: Tensor, out: Tensor, spec: CycleSpec) -> None:
        from ..kernels import blackbox_reference as reference

        axes = (0, *(1 + a for a in self._order))
        steps = layout.schedule(len(self.shapes), spec.kind).tolist()
        sweeps = (spec.pre, spec.post, spec.mirrored, spec.smoother.lengths)
        out.permute(axes).copy_(reference.cycle(b.permute(axes), self._levels, steps, *sweeps))

    @staticmethod
    def fits(A: Diffusion, spec: CycleSpec) -> bool:
        return True


@dataclass(frozen=True)
class Box:
    """An operator as the cycles for any box take it: no gradients, axes in a good order.

    Where axes are coupled unlike, the strongest comes first: it is coarsened alone, and rows of the
    other, which the loops run along, stay long.
    """

    order: tuple[int, ...]
    n: list[int]
    periodic: list[bool]
    strength: list[float]
    faces: list[Tensor]
    excess: Tensor | None

    @classmethod
    def of(cls, A: Diffusion) -> "Box":
        own = strength(A)
        order = tuple(range(A.ndim))
        if min(own) < layout.STRONG * max(own):
            order = tuple(sorted(order, key=lambda a: -own[a]))
        return cls(
            order,
            [A.grid.shape[a] for a in order],
            [A.periodic[a] and A.grid.shape[a] > 1 for a in order],  # one node has no neighbour
            [own[a] for a in order],
            [A.faces[a].detach().permute(order) for a in order],
            None if A.excess is None else A.excess.detach().permute(order),
        )

    def hierarchy(self, thin: int = 0):
        """The table of levels, the numbers of the coarsest unknowns, and the store's length."""
        missing = 3 - len(self.n)
        return layout.layout(
            [0] * missing + self.n,
            [False] * missing + self.periodic,
            [0.0] * missing + self.strength,
            self.excess is not None,
            thin,
        )

    def shapes(self, table) -> list[tuple[int, ...]]:
        """Unknowns per axis on each level, axes in the order of the grid."""
        missing = 3 - len(self.n)
        back = sorted(range(len(self.n)), key=lambda a: self.order[a])
        return [tuple(int(row[missing + a]) for a in back) for row in table]


def choose(A: Diffusion, spec: CycleSpec, shares: Shares | None = None) -> Cycle:
    """The fastest way to run the cycle; `PlaneCycle` runs no other."""
    if A.device.type != "cpu" or A.dtype not in KERNEL_DTYPES:
        return TwinCycle(A, shares)
    if shares is None and ConstantCycle.fits(A, spec):
        return ConstantCycle(A)
    return (PlaneCycle if PlaneCycle.fits(A, spec) else BoxCycle)(A, shares)


def divided(shapes: list[tuple[int, ...]], least: int) -> list[int]:
    """Among how many threads each level is divided, up to the first that is too small."""
    counts = (bands.count(math.prod(shape), least) for shape in shapes)
    return list(takewhile(lambda parts: parts > 1, counts))


def strength(A: Diffusion) -> list[float]:
    """The mean coupling along each axis."""
    return [f.detach().sum().item() / A.grid.num_nodes for f in A.faces]


def zeros(size: int, dtype: torch.dtype) -> Tensor:
    """By numpy, which asks for huge pages where torch does not (`kernels/memory.py`)."""
    like = torch.empty(0, dtype=dtype).numpy()
    return torch.from_numpy(np.zeros(size, dtype=like.dtype))
