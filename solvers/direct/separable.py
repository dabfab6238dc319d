"""Direct solution of separable stencils on a box by fast diagonalisation."""
# Axes: b batch, x y z space; an axis of n unknowns has n waves.

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ...kernels.runtime.threads import num_threads
from ...linop import LinearOperator, Preconditioner
from ..operators.diffusion import Diffusion

# Numbers up to which numpy's sine transform is as fast as scipy's. scipy.fft imports scipy.special,
# which takes as long as a hundred transforms of this size.
SMALL = 1 << 17
EQUAL = 1e-12  # couplings that differ by less, relative to the largest of their axis, are equal


class End(StrEnum):
    """What lies beyond the outermost unknown of an axis with the coupling c inside."""

    NODE = "u = 0 one spacing beyond"  #        the diagonal contains c
    HALF = "u = 0 half a spacing beyond"  #     it contains 2c
    WALL = "no flux half a spacing beyond"  #   it contains 0
    MIRROR = "no flux at the unknown"  #        it contains 0, and the unknown has half a cell
    PERIODIC = "periodic"


@dataclass(frozen=True)
class Axis:
    """The second difference T of an axis, c (2u_i - u_(i-1) - u_(i+1)) inside, and its waves.

    T v_k = λ_k S v_k with S = 1, but ½ at a MIRROR end. A field is extended beyond an end by
    reflection: odd at u = 0, even where there is no flux, about a node or about the middle between
    two. The extended field is periodic, and its waves are sines or cosines. Where both ends are of
    the same kind of point, scipy has the transform of n numbers; where a node meets a middle, the
    field is first reflected about the middle (2n numbers), and half of the waves vanish.

    Attributes:
        n: number of unknowns.
        coupling: c > 0; without meaning for n = 1.
        ends: what lies beyond the first and the last unknown.
    """

    n: int
    coupling: float
    ends: tuple[End, End]

    def eigenvalues(self) -> Float[ndarray, " n"]:
        """λ_k = 4 c sin²(θ_k / 2), with the angle θ_k from node to node of wave k."""
        if self.ends[0] is End.PERIODIC:
            angle = 2 * np.pi * np.fft.fftfreq(self.n)
        else:
            # Number of spacings between the points of reflection.
            beyond = {End.NODE: 1.0, End.HALF: 0.5, End.WALL: 0.5, End.MIRROR: 0.0}
            length = self.n - 1 + sum(beyond[end] for end in self.ends)
            odd = [end in (End.NODE, End.HALF) for end in self.ends]
            first = 1.0 if all(odd) else 0.5 if any(odd) else 0.0
            angle = np.pi * (first + np.arange(self.n)) / length if length else np.zeros(self.n)
        return 4 * self.coupling * np.sin(angle / 2) ** 2

    def fractions(self) -> Float[ndarray, " n"]:
        """The diagonal of S."""
        s = np.ones(self.n)
        for where, end in zip((0, -1), self.ends, strict=True):
            if end is End.MIRROR:
                s[where] /= 2
        return s

    def forward(self, u: ndarray, axis: int, workers: int) -> ndarray:
        """Coefficients of S⁻¹ u in the waves, up to a factor per wave that `backward` undoes."""
        if self.ends == (End.NODE, End.NODE) and u.size <= SMALL:
            return _sine_transform(u, axis)
        from scipy import fft

        if self.ends[0] is End.PERIODIC:
            return fft.fft(u, axis=axis, workers=workers)
        kind, flip = _TRANSFORMS[self.ends]
        if flip:
            u = np.flip(u, axis)
        if not isinstance(kind, _Doubled):
            name, number = kind
            u = getattr(fft, name)(u, number, axis=axis, workers=workers)
            return np.ascontiguousarray(u)
        name, number = kind.transform
        both = np.concatenate([u, kind.sign * np.flip(u, axis)], axis)
        waves = getattr(fft, name)(both, number, axis=axis, workers=workers)
        return _every_second(waves, axis, kind.first)

    def backward(self, waves: ndarray, axis: int, workers: int) -> ndarray:
        """The inverse of `forward`."""
        if self.ends == (End.NODE, End.NODE) and waves.size <= SMALL:
            return _sine_transform(waves, axis) / (2 * (self.n + 1))
        from scipy import fft

        if self.ends[0] is End.PERIODIC:
            return fft.ifft(waves, axis=axis, workers=workers)
        kind, flip = _TRANSFORMS[self.ends]
        if isinstance(kind, _Doubled):
            shape = list(waves.shape)
            shape[axis] *= 2
            full = np.zeros(shape)
            _every_second(full, axis, kind.first)[...] = waves
            name, number = kind.transform
            u = getattr(fft, "i" + name)(full, number, axis=axis, workers=workers)
            u = u[_along(axis, slice(0, self.n), u.ndim)]
        else:
            name, number = kind
            u = getattr(fft, "i" + name)(waves, number, axis=axis, workers=workers)
        return np.flip(u, axis) if flip else u


@dataclass(frozen=True)
class _Doubled:
    """A transform of the field and its reflection, with this sign; the waves with the parity of
    `first` remain."""

    transform: tuple[str, int]
    sign: int
    first: int


_SAME: dict[tuple[End, End], Any] = {
    (End.NODE, End.NODE): ("dst", 1),
    (End.HALF, End.HALF): ("dst", 2),
    (End.MIRROR, End.MIRROR): ("dct", 1),
    (End.WALL, End.WALL): ("dct", 2),
    (End.NODE, End.MIRROR): ("dst", 3),
    (End.MIRROR, End.NODE): ("dct", 3),
    (End.HALF, End.WALL): ("dst", 4),
    (End.WALL, End.HALF): ("dct", 4),
    # DST-I of 2n numbers has waves 1 .. 2n, at indices 0 .. 2n - 1: even ones about the middle are
    # the odd waves. DCT-I of 2n numbers has waves 0 .. 2n - 1; the even ones are even.
    (End.NODE, End.WALL): _Doubled(("dst", 1), 1, 0),
    (End.NODE, End.HALF): _Doubled(("dst", 1), -1, 1),
    (End.MIRROR, End.WALL): _Doubled(("dct", 1), 1, 0),
    (End.MIRROR, End.HALF): _Doubled(("dct", 1), -1, 1),
}
# (transform, whether the axis is taken in reversed order)
_TRANSFORMS = {
    **{(b, a): (kind, True) for (a, b), kind in _SAME.items()},
    **{ends: (kind, False) for ends, kind in _SAME.items()},
}


class SeparableInverse(Preconditioner):
    """M = (Σ_a S ⊗ .. T_a .. ⊗ S + c S ⊗ .. ⊗ S)⁻¹ on a box: exact up to round-off.

    A constant coefficient per axis, any conditions at the ends of the axes (`End`) and a constant
    reaction c >= 0. In the waves of the axes the operator is diagonal, Σ λ_k + c (fast
    diagonalisation; Lynch, Rice & Thomas 1964). If it is singular, M is the pseudo-inverse up to
    constants: a wave with eigenvalue zero gets the coefficient zero, and the result is projected on
    the range of A.

    The transforms run in float64 on the CPU, on as many threads as torch; leading axes are a batch.

    Args:
        A: the operator, for its grid and its kernel.
        axes: per axis of the grid.
        reaction: c.

    Raises:
        ValueError: the axes have another shape than the grid, or c is negative.
    """

    def __init__(self, A: Diffusion, axes: tuple[Axis, ...], reaction: float = 0.0) -> None:
        if tuple(axis.n for axis in axes) != A.grid.shape or not reaction >= 0:
            raise ValueError(
                f"Axes of {[axis.n for axis in axes]} unknowns and c = {reaction} are not an "
                f"operator on {A.grid.shape}."
            )
        self.grid, self.axes, self.reaction = A.grid, axes, reaction
        values = _outer_sum([axis.eigenvalues() for axis in axes]) + reaction
        self.positive_definite, self.semidefinite = A.positive_definite, True
        self._project = None
        if not A.positive_definite:
            self._project = A.project
            values.flat[0] = math.inf
        # A real field has conjugate waves at k and -k: half of the last periodic axis suffices.
        self._periodic = [k for k, axis in enumerate(axes) if axis.ends[0] is End.PERIODIC]
        if self._periodic:
            last = self._periodic[-1]
            values = values[_along(last, slice(0, axes[last].n // 2 + 1), values.ndim)]
        self._values = np.ascontiguousarray(values)
        s = [axis.fractions() for axis in axes]
        self._fractions = None
        if any((one != 1).any() for one in s):
            self._fractions = _outer_product(s)

    @classmethod
    def of(cls, A: LinearOperator | None) -> "SeparableInverse | str":
        """The inverse of A, or why it is not separable with constant couplings."""
        if not isinstance(A, Diffusion):
            return "it is for couplings along the axes of a grid"
        labels = A.regions.labels
        if labels is not None and bool((labels != labels.view(-1)[0]).any()):
            return "the box has holes, or falls into regions"
        read = _read(A)
        if isinstance(read, str):
            return read
        axes, reaction = read
        if A.positive_definite and not sum(a.eigenvalues().min() for a in axes) + reaction > 0:
            return "its reaction is round-off of its couplings: the smallest eigenvalue is lost"
        return cls(A, axes, reaction)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """M u in u's dtype; it carries no gradient."""
        b = u.detach().cpu().double()
        b = self._project(b) if self._project else b
        waves: Any = b.numpy() if self._fractions is None else b.numpy() / self._fractions
        ndim, workers = len(self.axes), num_threads()
        real = [k for k in range(ndim) if k not in self._periodic]
        for k in real:
            waves = self.axes[k].forward(waves, k - ndim, workers)
        periodic = [k - ndim for k in self._periodic]
        if periodic:
            from scipy import fft

            waves = fft.rfftn(waves, axes=periodic, workers=workers)
        waves = waves / self._values
        if periodic:
            from scipy import fft

            sides = [self.axes[k].n for k in self._periodic]
            waves = fft.irfftn(waves, sides, axes=periodic, workers=workers)
        for k in reversed(real):
            waves = self.axes[k].backward(waves, k - ndim, workers)
        x = torch.from_numpy(np.ascontiguousarray(waves))
        return (self._project(x) if self._project else x).to(u)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.grid.shape))
        names = sorted({end.name.lower() for axis in self.axes for end in axis.ends})
        return f"SeparableInverse({shape} unknowns, ends: {', '.join(names)})"


def _read(A: Diffusion) -> tuple[tuple[Axis, ...], float] | str:
    """The axes and the reaction of an operator, or why they are not constant.

    Only the sum of the couplings to end values of a node is in the matrix, and the reaction is part
    of it: the sides are read in the middle, and all diagonal entries are compared at the end.
    """
    shape = A.grid.shape
    if min(shape) < 3:
        return "an axis has less than 3 unknowns"
    faces = [f.detach().double().numpy() for f in A.faces]
    fractions = [np.ones(n) for n in shape]
    for axis in range(A.ndim):
        for end in (0, -1):
            if not A.periodic[axis] and _is_half(faces, shape, axis, end):
                fractions[axis][end] /= 2
    couplings = []
    for axis, f in enumerate(faces):
        others = [s for k, s in enumerate(fractions) if k != axis]
        inner = f if A.periodic[axis] else f[_along(axis, slice(1, -1), f.ndim)]
        weights = np.expand_dims(_outer_product(others), axis)
        largest = float(inner.max())
        c = float(inner[tuple(n // 2 for n in inner.shape)])
        if not c > 0 or np.abs(inner - c * weights).max() > EQUAL * largest:
            return f"the couplings along axis {axis} are not constant"
        couplings.append(c)
    diagonal = A.diagonal().detach().double().numpy()
    middle = tuple(n // 2 for n in shape)
    round_off = EQUAL * float(diagonal[middle])
    reaction = float(diagonal[middle]) - 2 * sum(couplings)
    reaction = reaction if reaction > round_off else 0.0
    axes = []
    for axis, (n, c) in enumerate(zip(shape, couplings, strict=True)):
        if A.periodic[axis]:
            axes.append(Axis(n, c, (End.PERIODIC, End.PERIODIC)))
            continue
        ends = []
        for end in (0, n - 1):
            node = tuple(end if k == axis else m for k, m in enumerate(middle))
            s = fractions[axis][end]
            beyond = float(diagonal[node]) / s - reaction - 2 * (sum(couplings) - c) - c / s
            kinds = {0.0: End.MIRROR if s < 1 else End.WALL, c: End.NODE, 2 * c: End.HALF}
            kind = next((k for value, k in kinds.items() if abs(beyond - value) <= round_off), None)
            if kind is None:
                return f"a side of axis {axis} is coupled to its end value by {beyond / c:.6g} c"
            ends.append(kind)
        axes.append(Axis(n, c, (ends[0], ends[1])))
    if np.abs(_diagonal(axes, fractions, reaction) - diagonal).max() > round_off:
        return "the diagonal is not that of constant couplings on a box"
    return tuple(axes), reaction


def _diagonal(axes: list[Axis], fractions: list[ndarray], reaction: float) -> ndarray:
    """The diagonal of the separable operator."""
    total = reaction * _outer_product(fractions)
    for k, axis in enumerate(axes):
        d = np.full(axis.n, 2 * axis.coupling)
        beyond = {End.NODE: 2.0, End.HALF: 3.0, End.WALL: 1.0, End.MIRROR: 1.0, End.PERIODIC: 2.0}
        for where, end in zip((0, -1), axis.ends, strict=True):
            d[where] = beyond[end] * axis.coupling
        total = total + _outer_product([d if k == j else s for j, s in enumerate(fractions)])
    return total


def _is_half(faces: list[ndarray], shape: tuple[int, ...], axis: int, end: int) -> bool:
    """Whether the unknowns at an end of an axis have half a cell: their couplings along the other
    axes are half of those of the next unknowns."""
    step = 1 if end == 0 else -1
    for other, f in enumerate(faces):
        if other != axis and shape[other] > 1:
            inside = f[_along(other, slice(1, -1), f.ndim)]
            here, there = (np.take(inside, end + k * step, axis) for k in (0, 1))
            return bool(np.allclose(2 * here, there, rtol=EQUAL, atol=0))
    return False


def _sine_transform(u: ndarray, axis: int) -> ndarray:
    """The DST-I, 2 Σ_j u_j sin(π (j + 1) (k + 1) / (n + 1)), by a Fourier transform of period
    2 (n + 1)."""
    n = u.shape[axis]
    shape = list(u.shape)
    shape[axis] += 1
    shifted = np.zeros(shape)
    shifted[_along(axis, slice(1, None), u.ndim)] = u
    waves = np.fft.rfft(shifted, 2 * (n + 1), axis)
    return -2 * waves.imag[_along(axis, slice(1, n + 1), u.ndim)]


def _along(axis: int, part: slice, ndim: int) -> tuple[Any, ...]:
    """The index that takes a part of one axis."""
    index: list[Any] = [slice(None)] * ndim
    index[axis] = part
    return tuple(index)


def _every_second(u: ndarray, axis: int, first: int) -> ndarray:
    return u[_along(axis, slice(first, None, 2), u.ndim)]


def _outer_sum(parts: list[ndarray]) -> ndarray:
    total = np.zeros(())
    for part in parts:
        total = total[..., None] + part
    return total


def _outer_product(parts: list[ndarray]) -> ndarray:
    product = np.ones(())
    for part in parts:
        product = product[..., None] * part
    return product
