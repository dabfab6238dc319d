"""Stress of a unit cell with a random void; see cards/elasticity.md."""
# Axes: d coordinates, n points, a angles.

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor

from ...domain import Domain, Points
from ...domain.cells import node_weights
from ...solvers.elements.plane_strain import Material, PlaneStrain
from ...solvers.elements.recovery import recovered_stress
from ...solvers.elements.ring_mesh import Curve, RingMesh
from ...solvers.result import SolveResult
from ..layouts.points_file import PointSample
from ..ragged import RaggedSizes
from ..spec import DatasetSpec, Field
from .problem import Generated, Solved
from .random_fields import sample_generator

NUM_RADII = 42  # of the code of a void, as in the files of Geo-FNO


@dataclass(frozen=True)
class Void:
    """A void whose radius is a smooth function of the angle between two bounds:

        r(θ) = min_radius + (max_radius - min_radius) / (1 + exp(g(θ))),
        g ~ N(0, scale² (-d²/dθ² + τ²)^(-α)) on the circle, waves 0 .. num_waves.

    The material has Poisson's ratio `poisson`. The points are the nodes of a mesh of `around` by
    `across` cells; the solver's mesh has `refinement` times as many along each.
    """

    min_radius: float = 0.2
    max_radius: float = 0.4
    tau: float = 3.0
    alpha: float = 2.0
    scale: float = 17.0
    num_waves: int = 8
    poisson: float = 0.3
    around: int = 108
    across: int = 8
    refinement: int = 2

    isometric: ClassVar[bool] = False  # it is clamped below and pulled above

    def __post_init__(self) -> None:
        if not (0 < self.min_radius < self.max_radius < 0.5):
            raise ValueError(
                f"The void lies in the unit cell: 0 < min_radius < max_radius < 0.5; got "
                f"{self.min_radius} and {self.max_radius}."
            )
        if not (0 <= self.poisson <= 0.45):
            raise ValueError(
                f"poisson must be in [0, 0.45], where the elements do not lock; got {self.poisson}."
            )
        if self.refinement < 1 or self.num_waves < 0 or not self.tau > 0:
            raise ValueError(
                f"refinement must be at least 1, num_waves at least 0 and tau positive; got "
                f"{self.refinement}, {self.num_waves} and {self.tau}."
            )

    def draw(self, random: np.random.Generator) -> Curve:
        """The radius r(θ) of one void, a function of arrays of angles."""
        k = np.arange(self.num_waves + 1)
        # The functions cos kθ / √π, sin kθ / √π (1 / √2π for k = 0) are orthonormal on the circle.
        std = self.scale / math.sqrt(math.pi) * (k**2 + self.tau**2) ** (-self.alpha / 2)
        std[0] /= math.sqrt(2)
        a, b = std * random.standard_normal((2, self.num_waves + 1))

        def radius(angle: ndarray) -> ndarray:
            waves = k * angle[..., None]
            g = np.cos(waves) @ a + np.sin(waves) @ b
            return self.min_radius + (self.max_radius - self.min_radius) / (1 + np.exp(g))

        return radius

    def sample(self, grid: Any, random: np.random.Generator) -> Float[Tensor, "2 n"]:
        """The coordinates of the points of one sample, in float64."""
        return torch.from_numpy(self.mesh(self.draw(random)).nodes)

    def mesh(self, radius: Curve) -> RingMesh:
        """The mesh whose nodes are the points of a sample."""
        return RingMesh(radius, shape=(self.around, self.across), order=1)


class Elasticity(Generated):
    """Von Mises stress of a unit cell with a void, clamped below and pulled above, in plane strain.

    Linear isotropic elasticity, solved by quadratic elements on a mesh that follows the void; the
    stress is recovered from its Barlow points (`solvers.elements`). The tractions are given, so
    that Young's modulus only scales the displacement.
    """

    name = "elasticity"
    equation = (
        "div sigma = 0, sigma = 2 mu strain + lambda tr(strain) I in plane strain, displacement "
        "= 0 at y = 0, traction (0, 1) at y = 1, traction 0 on the other sides and on the void"
    )
    fields = (
        Field("stress", "target", "von Mises stress, in units of the traction above"),
        *(
            Field(f"radius_{i}", "parameter", f"radius of the void at the angle 2 pi {i} / 42")
            for i in range(NUM_RADII)
        ),
    )
    ndim = 0  # its points differ from sample to sample
    KINDS = {"void": Void}  # noqa: RUF012 - a ClassVar of Generated
    inputs: Void
    remedy = "The void may be too rough for the mesh: choose more cells around, or fewer waves."

    def grid(self, shape: Sequence[int] = ()) -> Points:
        """The domain: points in the unit square that differ from sample to sample."""
        if shape:
            raise ValueError(
                f"The points of {self.name} have no resolution; got {tuple(shape)}. Set the cells "
                f"of their mesh: around={self.inputs.around}, across={self.inputs.across}."
            )
        return Points(2, box=[[0.0, 0.0], [1.0, 1.0]])

    def check_grid(self, grid: Domain) -> None:
        """Raise a ValueError unless the domain is that of the problem."""
        if grid != self.grid():
            raise ValueError(f"{self.name} is solved on {self.name}'s grid(); got {grid}.")

    def spec(self, grid: Domain, seed: int, num_samples: int) -> DatasetSpec:
        """The spec of a data set of this problem."""
        return self._steady_spec(self.fields, grid, seed, num_samples)

    def sizes(self, spec: DatasetSpec) -> RaggedSizes:
        """The same numbers of points and cells for all samples."""
        around, across = self.inputs.around, self.inputs.across
        points, cells = (np.full(spec.num_samples, around * n) for n in (across + 1, across))
        return RaggedSizes(points, cells, corners=4, weights=True)

    def void(self, seed: int, index: int) -> Curve:
        """The radius of the void of a sample, a function of the angle."""
        return self.inputs.draw(sample_generator(seed, index))

    def code(self, radius: Curve) -> Float[ndarray, " p"]:
        """The radii of a void at equal angles, from 0 on, counter-clockwise."""
        return radius(2 * math.pi * np.arange(NUM_RADII) / NUM_RADII)

    @property
    def solver_cells(self) -> tuple[int, int]:
        """Cells around and across of the solver's mesh."""
        inputs = self.inputs
        return inputs.refinement * inputs.around, inputs.refinement * inputs.across

    def points(self, radius: Curve) -> Points:
        """The points of a sample, with their weights and the cells of their mesh.

        The exact stress is infinite at both clamped corners, where no quadrature evaluates it: they
        have weight 0, and the other nodes of their cells share what they would have.
        """
        mesh = self.inputs.mesh(radius)
        positions, cells = torch.from_numpy(mesh.nodes), torch.from_numpy(mesh.cells)
        weights = node_weights(positions, cells)
        for corner in mesh.side("bottom")[[0, -1]]:
            near = cells[(cells == corner).any(1)].unique()
            weights[near] += weights[corner] / (len(near) - 1)
            weights[corner] = 0.0
        return Points(2, positions, weights=weights, cells=cells)

    def solve(
        self, radius: Curve, cells: tuple[int, int], order: int = 2, rtol: float = 1e-10
    ) -> SolveResult:
        """The von Mises stress (n,) at the points of a sample, by elements of this order on a mesh
        of this many cells around and across."""
        inputs, mesh = self.inputs, RingMesh(radius, shape=cells, order=order)
        problem = PlaneStrain(mesh, Material(poisson=inputs.poisson))
        problem.add_traction(mesh.side("top"), _pull)
        result = problem.solve(mesh.side("bottom"), rtol=rtol)
        stress = recovered_stress(problem, result.x.numpy(), (inputs.around, inputs.across))
        result.x = torch.from_numpy(problem.material.von_mises(stress))
        return result

    def solved_sample(self, spec: DatasetSpec, index: int) -> Solved:
        """Draw and solve sample `index`."""
        assert spec.seed is not None
        radius = self.void(spec.seed, index)
        result = self.solve(radius, self.solver_cells, rtol=spec.tolerance)
        points = self.points(radius)
        code = {f"radius_{i}": torch.tensor(r) for i, r in enumerate(self.code(radius))}
        sample = PointSample(
            {"stress": result.x, **code},
            points.nodes(),
            weights=points.weights,
            cells=points.cells,
            residual=result.residuals[-1],
        )
        return Solved(sample.rows(spec, index), result.residuals[-1], result.reason)


def _pull(x: Float[ndarray, "d m"], normal: Float[ndarray, "d m"]) -> Float[ndarray, "d m"]:
    """The traction (0, 1)."""
    return np.stack([np.zeros_like(x[0]), np.ones_like(x[0])])
