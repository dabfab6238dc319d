"""The operator -div(a grad u) + c u on a uniform grid, finite volumes around the nodes."""

import math
from collections.abc import Callable, Sequence
from copy import copy
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ...domain import Boundary, Grid
from ...kernels import diffusion
from ...kernels.diffusion import reference
from ...kernels.runtime.threads import ours_alone
from ...linop import LinearOperator
from .boundary import without_boundary
from .faces import cell_fractions, constant_faces, couplings, known_ends, variable_faces
from .regions import Regions

if TYPE_CHECKING:
    import scipy.sparse


class Diffusion(LinearOperator):
    """A u = -div(a grad u) + c u, integrated over the cell of each node, per volume of a whole
    cell.

    (A u)_i = Σ s_face a_face (u_i - u_neighbour) / h²  +  s_i c_i u_i    over the faces of node i

    a at a face is the harmonic mean of the two nodes' values: the flux is exact where a jumps
    midway between nodes (Patankar 1980, sec. 4.2). The cell fractions s are 1, but ½ per axis at a
    stored Neumann end, whose node has half a cell; they make A symmetric in the plain inner
    product. Per axis:

    - Dirichlet, ends stored: u = 0 at the ends, which are not unknowns; a is given there.
    - Dirichlet, ends not stored: the same; a at the end is that of the outermost unknown.
    - Dirichlet, cell centres: u = 0 half a cell beyond the outermost unknown.
    - Neumann, ends stored or cell centres: no flux through the ends.
    - Periodic.

    Second order for smooth a, in any dimension. A is an M-matrix. It is positive definite unless
    there is no Dirichlet end and c = 0: then constants are in its kernel, A u = b has a solution
    only if the entries of b sum to zero (`load` and `project` return such a b), and solutions
    differ by constants. Walls divide the box into regions with one constant each (`regions`).

    Differentiable in u and in the coefficient. A constant coefficient is stored as a number.

    Args:
        coefficient: a > 0, a number or the values at all nodes of `grid`, known ends included.
        grid: A acts on fields of `grid.interior`.
        reaction: c >= 0, a number or the values at all nodes of `grid`.
        fluid: False at the solid nodes of `grid`: their rows and columns are zero, and no flux
            passes through their faces.

    Raises:
        ValueError: shapes differ, no node is an unknown, a is not positive and finite, or c < 0.
    """

    symmetric = True
    semidefinite = True

    def __init__(
        self,
        coefficient: Float[Tensor, "*space"] | float | int,
        grid: Grid,
        *,
        reaction: Float[Tensor, "*space"] | float | int = 0.0,
        fluid: Bool[Tensor, "*space"] | None = None,
    ) -> None:
        if any(n < 3 for n, known in zip(grid.shape, known_ends(grid), strict=True) if known):
            raise ValueError(
                f"A grid of shape {grid.shape} has no interior node; use at least 3 nodes per axis "
                f"with stored Dirichlet ends."
            )
        with ours_alone():
            self._read(coefficient, grid, reaction, fluid)

    def _read(
        self,
        coefficient: Tensor | float | int,
        grid: Grid,
        reaction: Tensor | float | int,
        fluid: Tensor | None,
    ) -> None:
        lowest, highest = _range(coefficient, grid, "coefficient")
        if not (lowest > 0 and highest < math.inf):  # a NaN fails both
            raise ValueError(
                f"The coefficient must be positive and finite at every node; it lies in "
                f"[{lowest:g}, {highest:g}]. For walls without flux use fluid=, or a Neumann side."
            )
        least, most = _range(reaction, grid, "reaction")
        if not (least >= 0 and most < math.inf):
            raise ValueError(
                f"The reaction c must be finite and not negative; it lies in [{least:g}, "
                f"{most:g}]. With c < 0 the operator may be indefinite; use a sparse LU or MINRES."
            )
        self.grid = grid.interior
        self.coefficient, self.reaction = coefficient, reaction
        self.periodic = tuple(b is Boundary.PERIODIC for b in grid.boundary)
        self.bounds = (lowest, highest)
        self.dtype = coefficient.dtype if isinstance(coefficient, Tensor) else torch.float64
        # a and c if both are constant: the couplings are products of profiles.
        same = fluid is None and lowest == highest and least == most
        self.constant = (lowest, least) if same else None
        self._cached: diffusion.Couplings | diffusion.Profiles | None = None
        self._faces: tuple[Tensor, ...] | None = None
        self._excess: Tensor | None = None
        if not same or _has_gradient(coefficient) or _has_gradient(reaction):
            self._store(grid, fluid)
        definite = Boundary.DIRICHLET in grid.boundary or most > 0
        self.regions = Regions.whole(self.grid.shape, definite)
        if fluid is not None:
            inside = without_boundary(fluid, grid)
            self.regions = Regions.connected(inside, self.faces, self.excess, self.periodic)
        self.positive_definite = self.regions.full_rank

    def _store(self, grid: Grid, fluid: Tensor | None) -> None:
        a = self.coefficient
        if not isinstance(a, Tensor):
            device = fluid.device if fluid is not None else None
            a = torch.full(grid.shape, float(a), dtype=self.dtype, device=device)
        if fluid is not None:
            grid.check(fluid, "fluid")
        self._faces = tuple(variable_faces(a, grid, fluid, axis) for axis in range(grid.ndim))
        c = self.reaction
        if isinstance(c, Tensor):
            c = without_boundary(c, grid).to(a)
        if isinstance(c, Tensor) or c != 0:
            self._excess = self.cell_fractions().to(a) * c
            if fluid is not None:
                self._excess = self._excess * without_boundary(fluid, grid).to(a)

    @classmethod
    def from_faces(
        cls, faces: Sequence[Tensor], grid: Grid, excess: Float[Tensor, "*space"] | None = None
    ) -> "Diffusion":
        """The operator with these couplings (`kernels/diffusion/reference.py`) on the unknowns of
        `grid`; nodes without couplings are solid.

        Raises:
            ValueError: shapes differ, or a coupling or excess is negative or not finite.
        """
        inside = grid.interior
        wanted = [
            tuple(n + (a == axis) for a, n in enumerate(inside.shape)) for axis in range(grid.ndim)
        ]
        if [tuple(f.shape) for f in faces] != wanted:
            raise ValueError(
                f"Couplings at the faces of {inside.shape} unknowns have the shapes {wanted}; got "
                f"{[tuple(f.shape) for f in faces]}."
            )
        given = [*faces] if excess is None else [*faces, excess]
        ranges = [[v.item() for v in torch.aminmax(f.detach())] for f in given]
        if not all(low >= 0 and high < math.inf for low, high in ranges):  # a NaN fails both
            raise ValueError("Couplings and excess must be finite and not negative.")
        if excess is not None:
            inside.check(excess, "excess")
        lowest = [
            low if low > 0 else torch.where(f > 0, f.detach(), math.inf).min().item()
            for f, (low, high) in zip(faces, ranges, strict=False)
            if high > 0
        ]
        largest = max(high for _, high in ranges[: len(faces)])
        fluid = reference.diagonal(faces, excess) > 0
        periodic = [b is Boundary.PERIODIC for b in grid.boundary]
        regions = Regions.connected(fluid, faces, excess, periodic)
        return cls.of_checked(faces, grid, excess, (min(lowest, default=0.0), largest), regions)

    @classmethod
    def of_checked(
        cls,
        faces: Sequence[Tensor],
        grid: Grid,
        excess: Tensor | None,
        bounds: tuple[float, float],
        regions: Regions,
    ) -> "Diffusion":
        """`from_faces` for couplings that were checked and whose regions are known.

        Args:
            bounds: the smallest positive and the largest coupling.
        """
        A = cls.__new__(cls)
        A.grid = grid.interior
        A.coefficient, A.reaction = faces[0], 0.0
        A.periodic = tuple(b is Boundary.PERIODIC for b in grid.boundary)
        A.bounds = bounds
        A.dtype, A.constant, A._cached = faces[0].dtype, None, None
        A._faces, A._excess = tuple(faces), excess
        A.regions = regions
        A.positive_definite = regions.full_rank
        return A

    def to(self, dtype: torch.dtype) -> "Diffusion":
        """The operator with its couplings rounded to another precision; it carries no gradient.

        Raises:
            ValueError: a coupling becomes zero or infinite.
        """
        A = copy(self)
        A.dtype, A._cached = dtype, None
        if isinstance(self.coefficient, Tensor):
            A.coefficient = self.coefficient.detach().to(dtype)
        if self._faces is not None:
            A._faces = tuple(f.detach().to(dtype) for f in self._faces)
            for exact, f in zip(self._faces, A._faces, strict=True):
                if exact.count_nonzero() != f.count_nonzero() or f.max() == math.inf:
                    raise ValueError(
                        f"Couplings from {exact[exact > 0].min():.1e} to {exact.max():.1e} do not "
                        f"fit into {dtype}. Keep {self.dtype}."
                    )
        if self._excess is not None:
            A._excess = self._excess.detach().to(dtype)
        return A

    @property
    def faces(self) -> tuple[Tensor, ...]:
        """Per axis the couplings at its n + 1 faces (`kernels/diffusion/reference.py`)."""
        if self._faces is None:
            assert self.constant is not None
            a = self.constant[0]
            self._faces = tuple(
                (a * constant_faces(self.grid, axis)).to(self._like()) for axis in range(self.ndim)
            )
        return self._faces

    @property
    def excess(self) -> Tensor | None:
        """The contribution of c to the diagonal; None without reaction."""
        if self._excess is None and self.constant is not None and self.constant[1] > 0:
            self._excess = (self.constant[1] * self.cell_fractions()).to(self._like())
        return self._excess

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.grid.ndim

    @property
    def device(self) -> torch.device:
        """Device of the coefficient; the CPU for a number."""
        return self._like().device if self._faces is None else self._faces[0].device

    def _like(self) -> Tensor:
        if isinstance(self.coefficient, Tensor):
            return self.coefficient
        return torch.empty(0, dtype=self.dtype)

    def cell_fractions(self) -> Float[Tensor, "*space"]:
        """The fraction of a whole cell that belongs to each unknown."""
        return reference.outer(cell_fractions(self.grid))

    def load(self, f: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The right-hand side b for the source f at the unknowns: f times their cell fractions.

        The mean of f over each floating region (trapezoidal rule) is subtracted; at solid nodes b
        is zero.
        """
        self.grid.check(f, "source at the unknowns")
        s = self.cell_fractions().to(f)
        if self.regions.num_floating:
            f = f - self.regions.means(f, s)
        if self.regions.labels is not None:
            f = torch.where(self.regions.labels.to(f.device) >= 0, f, 0)
        return s * f

    def project(self, b: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """The part of b orthogonal to the kernel of A, which is its range."""
        self.grid.check(b, "right-hand side at the unknowns")
        return self.regions.project(b)

    def mean(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch"]:
        """Mean of a field over the box by the trapezoidal rule; known ends count as zero."""
        w = self.grid.quadrature().to(u) / math.prod(self.grid.extent)
        return (w * u).flatten(-self.ndim).sum(-1)

    def apply(self, u: Float[Tensor, "*batch_space"]) -> Float[Tensor, "*batch_space"]:
        """A u; any leading axes."""
        return diffusion.apply(self._kernel_operator, u)

    def apply_into(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Float[Tensor, "*batch_space"]:
        """A u written to `out`, which is returned."""
        return diffusion.apply_into(self._kernel_operator, u, out)

    def bind(
        self, u: Float[Tensor, "*batch_space"], out: Float[Tensor, "*batch_space"]
    ) -> Callable[[], object]:
        """`apply_into(u, out)` without arguments; for one field the compiled loop itself."""
        return diffusion.bind(self._kernel_operator, u, out)

    @property
    def _kernel_operator(self) -> diffusion.Couplings | diffusion.Profiles:
        """A in the form that the kernels take."""
        if self._cached is None:
            stored = [*(self._faces or ()), *([] if self._excess is None else [self._excess])]
            if self.constant is None or any(t.requires_grad for t in stored):
                self._cached = diffusion.Couplings(self.faces, self.excess, self.periodic)
            else:
                a, c = self.constant
                t = [a * x for x in couplings(self.grid)]
                dtype = self.coefficient.dtype if isinstance(self.coefficient, Tensor) else None
                self._cached = diffusion.Profiles(
                    t, cell_fractions(self.grid), c, self.periodic, dtype
                )
        return self._cached

    def diagonal(self) -> Float[Tensor, "*space"]:
        """The couplings of each node's faces, known ends included, and c."""
        return reference.diagonal(self.faces, self.excess)

    def to_csr(self) -> "scipy.sparse.csr_array":
        """A as a float64 matrix; unknowns in C order. Solid nodes have empty rows."""
        import scipy.sparse

        size = self.grid.num_nodes
        index = torch.arange(size).reshape(self.grid.shape)
        # Sum in float64: row sums must not be round-off of float32.
        faces = [c.detach().cpu().double() for c in self.faces]
        excess = None if self.excess is None else self.excess.detach().cpu().double()
        diagonal = reference.diagonal(faces, excess)
        rows, columns, entries = [index.flatten()], [index.flatten()], [diagonal.flatten()]
        for axis, c in enumerate(faces):
            n = self.grid.shape[axis]
            pairs = [(index.narrow(axis, 0, n - 1), index.narrow(axis, 1, n - 1), 1, n - 1)]
            if self.periodic[axis] and n > 1:
                pairs.append((index.narrow(axis, n - 1, 1), index.narrow(axis, 0, 1), 0, 1))
            for i, j, first, length in pairs:
                rows += [i.flatten(), j.flatten()]
                columns += [j.flatten(), i.flatten()]
                entries += [-c.narrow(axis, first, length).flatten()] * 2
        values = torch.cat(entries).numpy()
        where = (torch.cat(rows).numpy(), torch.cat(columns).numpy())
        A = scipy.sparse.coo_array((values, where), shape=(size, size)).tocsr()
        A.eliminate_zeros()
        return A

    def __repr__(self) -> str:
        low, high = self.bounds
        a = f"a = {low:g}" if low == high else f"a in [{low:g}, {high:g}]"
        shape = " x ".join(map(str, self.grid.shape))
        named = any(b is not Boundary.DIRICHLET for b in self.grid.boundary)
        sides = ", " + ", ".join(b.value for b in self.grid.boundary) if named else ""
        walls = f", {self.regions}" if self.regions.labels is not None else ""
        closed = all(b is not Boundary.DIRICHLET for b in self.grid.boundary)
        if closed and self.positive_definite:  # a matrix does not tell which of the two it is
            sides += " + diagonal (a reaction, or u = 0 at the ends)"
        return f"{type(self).__name__}({shape} unknowns, {a}{sides}{walls})"


def _range(value: Tensor | float | int, grid: Grid, name: str) -> tuple[float, float]:
    """The smallest and the largest value; both are NaN if a value is NaN."""
    if not isinstance(value, Tensor):
        return float(value), float(value)
    grid.check(value, name)
    if not value.is_floating_point():
        raise ValueError(
            f"The {name} must be of real floating-point numbers; got {value.dtype}. Convert it by "
            f"{name}.double()."
        )
    if value.ndim != grid.ndim:
        raise ValueError(
            f"{name} must have shape {grid.shape}, one field; got {tuple(value.shape)}."
        )
    low, high = (v.item() for v in torch.aminmax(value.detach()))
    return low, high


def _has_gradient(value: Tensor | float | int) -> bool:
    return isinstance(value, Tensor) and value.requires_grad and torch.is_grad_enabled()
