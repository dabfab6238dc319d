"""2D incompressible Navier-Stokes equations on a periodic box, in vorticity form, pseudo-
spectral."""
# Axes: b batch, x y nodes, l k stored waves of y (0..K) and x (-K..K), 3K < n.

import math
from collections.abc import Hashable
from functools import partial

import torch
from jaxtyping import Complex, Float
from torch import Tensor

from ....calculus.fourier import check_zero_mean, wavenumbers
from ....domain import Boundary, Grid
from ....kernels import vorticity
from ....kernels.runtime import tuning
from ....kernels.runtime.threads import one_thread, side_by_side
from ..evolution import Evolution
from ..pseudospectral import PseudoSpectral
from .padded_navier_stokes import Force, PaddedNavierStokes

SPACES = 2  # batches whose buffers are kept: a full one, and the last one of a data set


class NavierStokes(Evolution):
    """Vorticity ω of 2D incompressible flow on a periodic box of any side lengths,

        ω_t + u·∇ω = ν Δω - μ ω + f,   u = (ψ_y, -ψ_x),   -Δψ = ω.

    The state holds the waves with 3|k| < n per axis (the 2/3 rule, symmetric under k -> -k). Their
    products do not alias onto them, so for ν = μ = f = 0 energy ½∫|u|² and enstrophy ½∫ω² are
    constant up to the error of the steps. Other waves of an initial field or of f are dropped. The
    velocity has zero mean. Good values: ν 1e-5 .. 1e-2 on the unit box; n such that the spectrum
    falls by four decades up to k = n/3; steps by `courant=0.5`.

    Args:
        grid: two periodic axes.
        viscosity, drag: ν, μ >= 0.
        forcing: f as a field (x, y), or (b, x, y) for one per sample; or a function of the nodes
            (2, x, y) and the time that returns such a field, called in each stage.

    Raises:
        ValueError: the grid is not of this kind, a coefficient is negative, or the forcing has
            another shape.
    """

    def __init__(
        self,
        grid: Grid,
        viscosity: float | int,
        *,
        drag: float | int = 0.0,
        forcing: Tensor | Force | None = None,
    ) -> None:
        if grid.ndim != 2 or set(grid.boundary) != {Boundary.PERIODIC} or min(grid.shape) < 4:
            raise ValueError(
                f"Navier-Stokes by vorticity needs two periodic axes of at least 4 nodes; got "
                f"{grid}. Use Grid((64, 64), boundary='periodic')."
            )
        if not (viscosity >= 0 and drag >= 0 and math.isfinite(viscosity + drag)):
            raise ValueError(
                f"viscosity and drag must be finite and >= 0; got {viscosity} and {drag}."
            )
        nx, ny = self.box = (grid.shape[0], grid.shape[1])
        self.K = ((nx - 1) // 3, (ny - 1) // 3)  # the highest wave kept per axis
        wx, wy = wavenumbers(grid)
        wx = torch.cat([wx[len(wx) - self.K[0] :], wx[: self.K[0] + 1]])[None]
        wy = wy[: self.K[1] + 1, None]
        squared = wx**2 + wy**2
        symbol = -viscosity * squared - drag
        symbol[0, self.K[0]] = 0.0  # the mean of a curl is zero at all times
        super().__init__(grid, symbol)
        inverse = 1 / squared.masked_fill(squared == 0, math.inf)
        self.per_x, self.per_y = wx * inverse, wy * inverse
        self.a, self.c = wx**2 - wy**2, wx * wy
        self.viscosity, self.drag = float(viscosity), float(drag)
        self.nodes = grid.nodes()
        self.forcing = forcing
        self._f = forcing if callable(forcing) else None
        self._f_hat = None if forcing is None else self._force(forcing, self.nodes, 0.0)
        self.autonomous = self._f is None and (self._f_hat is None or self._f_hat.ndim == 2)
        self._spaces: dict[tuple[Hashable, ...], list[_Workspace]] = {}

    @property
    def depends_on_time(self) -> bool:
        """Whether the forcing is a function."""
        return self._f is not None

    def on(self, grid: Grid) -> "NavierStokes":
        """The same equation on another grid of the box.

        Raises:
            ValueError: the forcing is a field at nodes.
        """
        if isinstance(self.forcing, Tensor):
            raise ValueError(
                "A forcing at the nodes of one grid does not define one on another. Give a "
                "function of nodes and time."
            )
        return NavierStokes(grid, self.viscosity, drag=self.drag, forcing=self.forcing)

    def padded(self) -> PseudoSpectral:
        """The same equation with all waves of a field of `grid` and of its products."""
        f = self.forcing
        return PaddedNavierStokes(self.grid, self.viscosity, drag=self.drag, forcing=f).padded()

    def check(self, u: Float[Tensor, "b c *space"]) -> None:
        """`Evolution.check`; also a ValueError unless u has zero mean and as many samples as a
        forcing per sample."""
        super().check(u)
        check_zero_mean(u, self.grid, purpose="The vorticity of a periodic flow")
        if self._f_hat is not None and self._f_hat.ndim == 3 and len(self._f_hat) != len(u):
            raise ValueError(
                f"The forcing is of {len(self._f_hat)} samples, the initial field of {len(u)}."
            )

    def encode(self, u: Float[Tensor, "b 1 x y"]) -> Complex[Tensor, "b l k"]:
        """Coefficients of the waves that are kept."""
        return self._forward(u[:, 0]).contiguous()

    def decode(self, u_hat: Complex[Tensor, "b l k"]) -> Float[Tensor, "b 1 x y"]:
        """The vorticity at the nodes."""
        return self._inverse(u_hat)[:, None]

    def velocity(self, u_hat: Complex[Tensor, "b l k"]) -> Float[Tensor, "b 2 x y"]:
        """u and v at the nodes."""
        per_x, per_y = self.cast(self.per_x, u_hat), self.cast(self.per_y, u_hat)
        return self._inverse(torch.stack([u_hat * (1j * per_y), u_hat * (-1j * per_x)], 1))

    def rate(self, u_hat: Complex[Tensor, "b l k"], t: float = 0.0) -> Float[Tensor, ""]:
        """max (|u|/h_x + |v|/h_y)."""
        hx, hy = self.grid.spacing
        u, v = self.velocity(u_hat).unbind(1)
        return (u.abs() / hx + v.abs() / hy).amax()

    def nonlinear(self, u_hat: Complex[Tensor, "b l k"], t: float) -> Complex[Tensor, "b l k"]:
        """(-u·∇ω + f)^ at the stored waves by plain torch, differentiable."""
        u, v = self.velocity(u_hat).unbind(1)
        p, q = self._forward(torch.stack([u * v, (v - u) * (v + u)]))
        return p * self.cast(self.a, p) + q * self.cast(self.c, q) + self._forcing_at(t, u_hat)

    def nonlinear_into(
        self, u_hat: Complex[Tensor, "b l k"], t: float, out: Complex[Tensor, "b l k"]
    ) -> Complex[Tensor, "b l k"]:
        """`nonlinear` by the loops of `kernels/vorticity`, with reused buffers."""
        parts = vorticity.num_parts(u_hat, self.box)
        key = (parts, len(u_hat), u_hat.dtype, u_hat.device)
        if key not in self._spaces:
            for oldest in list(self._spaces)[: len(self._spaces) - SPACES + 1]:
                del self._spaces[oldest]
            self._spaces[key] = [_Workspace(self, w) for w in u_hat.tensor_split(parts)]
        spaces = self._spaces[key]
        if parts == 1:  # the overhead of calls dominates a small step
            spaces[0].convect(u_hat, out)
        else:
            pairs = zip(u_hat.tensor_split(parts), out.tensor_split(parts), strict=True)
            side_by_side([partial(s.convect, *p) for s, p in zip(spaces, pairs, strict=True)])
        if self._f_hat is not None:
            out.add_(self._forcing_at(t, u_hat))
        return out

    def _forward(self, u: Float[Tensor, "*batch x y"]) -> Complex[Tensor, "*batch l k"]:
        """Stored coefficients of fields at the nodes."""
        hat = torch.fft.rfft(u, norm="forward")[..., : self.K[1] + 1].transpose(-1, -2)
        hat = torch.fft.fft(hat, norm="forward")
        return torch.cat([hat[..., hat.shape[-1] - self.K[0] :], hat[..., : self.K[0] + 1]], -1)

    def _inverse(self, u_hat: Complex[Tensor, "*batch l k"]) -> Float[Tensor, "*batch x y"]:
        """Fields at the nodes from their stored coefficients."""
        nx, ny = self.grid.shape
        gap = u_hat.new_zeros(*u_hat.shape[:-1], nx - u_hat.shape[-1])
        hat = torch.cat([u_hat[..., self.K[0] :], gap, u_hat[..., : self.K[0]]], -1)
        hat = torch.fft.ifft(hat, norm="forward").transpose(-1, -2)
        return torch.fft.irfft(hat, n=ny, norm="forward")

    def _force(self, forcing: Tensor | Force, nodes: Tensor, t: float) -> Tensor:
        """Stored coefficients of f at a time."""
        f = forcing(nodes, t) if callable(forcing) else forcing.to(torch.float64)
        self.grid.check(f, "forcing")
        if f.ndim > 3:
            raise ValueError(
                f"A forcing is of shape (x, y), or (b, x, y) for one per sample; got "
                f"{tuple(f.shape)}."
            )
        return self._forward(f)

    def _forcing_at(self, t: float, like: Tensor) -> Tensor | float:
        """f̂ at a time."""
        if self._f_hat is None:
            return 0.0
        if self._f is None:
            return self.cast(self._f_hat, like)
        return self._force(self._f, self.cast(self.nodes, like), t)


class _Workspace:
    """Padded buffers, cast constants and kernels for the nonlinear term of one batch.

    One complex transform replaces two real ones in each direction. On a CPU, transforms along x act
    on the kept waves of y only, and a few samples are transformed at a time: their fields stay in
    the cache, and the results of the FFTs in memory that the allocator reuses (fresh pages for a
    whole batch took ten times the time of the FFTs). On a GPU both axes are transformed in one call
    (`kernels/vorticity/gpu.py`), and the number of samples at a time is measured.
    """

    def __init__(self, flow: NavierStokes, u_hat: Tensor) -> None:
        self.shape, self.K = flow.box, flow.K[1]
        self.form = vorticity.bind(u_hat, flow.box)
        # An FFT over both axes is not scaled, which would take a pass over all nodes.
        scale = 1 / math.prod(flow.box) if self.form.both_axes else 1.0
        self.per_x, self.per_y = flow.cast(flow.per_x, u_hat), flow.cast(flow.per_y, u_hat)
        self.a, self.c = flow.cast(flow.a, u_hat) * scale, flow.cast(flow.c, u_hat) * scale
        self.like = u_hat.new_empty(0)
        self._fields: dict[int, tuple[Tensor, ...]] = {}

    def convect(self, u_hat: Tensor, out: Tensor) -> None:
        """out = (-u·∇ω)^."""
        if self.form.one_thread:
            with one_thread():
                self._by_axes(u_hat, out)
            return
        key = "vorticity", u_hat.dtype, *self.shape, len(u_hat)
        chunk = tuning.best(
            key, self.form.chunks, partial(self._in_parts, u_hat, out), u_hat.device
        )
        self._in_parts(u_hat, out, chunk)

    def _in_parts(self, u_hat: Tensor, out: Tensor, chunk: int) -> None:
        part = self._both_axes if self.form.both_axes else self._by_axes
        for w, N in zip(u_hat.split(chunk), out.split(chunk), strict=True):
            part(w, N)

    def _both_axes(self, u_hat: Tensor, out: Tensor) -> None:
        loops, K = self.form.loops, self.K
        (rows,) = self._buffers(len(u_hat))
        loops.velocity(u_hat, self.per_x, self.per_y, rows[:, : 2 * K + 1])
        z = torch.fft.ifft2(rows, norm="forward")
        loops.products(z)
        square = torch.fft.fft2(z, norm="backward")
        loops.tendency(square[:, K : 3 * K + 1], self.a, self.c, out)

    def _by_axes(self, u_hat: Tensor, out: Tensor) -> None:
        rows, wide, back = self._buffers(len(u_hat))
        loops, K, nx = self.form.loops, self.K, self.shape[0]
        loops.velocity(u_hat, self.per_x, self.per_y, rows)
        loops.turn(torch.fft.ifft(rows, norm="forward"), 0, nx, wide)
        z = torch.fft.ifft(wide, norm="forward")
        loops.products(z)
        loops.turn(torch.fft.fft(z, norm="forward"), K, 2 * K + 1, back)
        loops.tendency(torch.fft.fft(back, norm="forward"), self.a, self.c, out)

    def _buffers(self, b: int) -> tuple[Tensor, ...]:
        """Of b samples: (waves of y, waves of x), zero but for 2K + 1 waves of each axis; or, one
        axis after the other, (waves of y, x), (nodes of x, y) of which 2K + 1 entries of y are not
        zero, and a second buffer like the first for the inverse direction."""
        if b not in self._fields:  # b is the chunk, or the remainder of the batch
            nx, ny = self.shape
            if self.form.both_axes:
                self._fields[b] = (self.like.new_zeros(b, ny, nx),)
            else:
                rows, back = (self.like.new_zeros(b, 2 * self.K + 1, nx) for _ in range(2))
                self._fields[b] = (rows, self.like.new_zeros(b, nx, ny), back)
        return self._fields[b]
