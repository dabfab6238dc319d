"""Separable equations on a rectangle by a Gaussian process with a product kernel."""
# Axes: n m nodes per axis, r s basis functions per axis, c conditions.

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from .features import Features
from .mixtures import Mixture
from .second_order import (
    SecondOrder,
    Term,
    check_order,
    checked_points,
    evaluate,
    noise,
    relative_size,
    sensitivity_of,
    uniform_nodes,
    verdict,
)

_INDEPENDENT = 1e-12  # smallest singular value, of the largest, that makes a basis function

Interval = tuple[float | int, float | int]


class AxisBasis:
    """Functions of one variable that are orthonormal at nodes, from the features of a kernel.

    With φ(X) = U S Wᵀ at the nodes X, they are φ(x) W S⁻¹.

    Attributes:
        nodes: X.
        values: the basis at the nodes, U.
        image: L applied to the basis, at the nodes.
        ends: indices of the nodes where a value is given: both for an operator of second order,
            the inflow for one of first order, which is the first node where b > 0.
    """

    def __init__(
        self, name: str, operator: SecondOrder, kernel: Mixture, nodes: Float[Tensor, " n"]
    ) -> None:
        self.operator, self.nodes = operator, nodes
        self._features: Features = kernel.features(nodes)
        U, S, Wh = torch.linalg.svd(self._features.at(nodes), full_matrices=False)
        kept = S / S[0] > _INDEPENDENT
        self.values, self._coefficients = U[:, kept], (Wh[kept] / S[kept, None]).mT
        self.image = sum(self.terms(nodes), start=torch.zeros(()))
        self.ends = _ends(name, operator, nodes)

    def at(self, x: Float[Tensor, " n"], order: int = 0) -> Float[Tensor, "n r"]:
        """A derivative of the basis at points x."""
        return self._features.at(x, order) @ self._coefficients

    def terms(self, x: Float[Tensor, " n"]) -> list[Float[Tensor, "n r"]]:
        """Each term of L applied to the basis, at points x."""
        return [term @ self._coefficients for term in self.operator.terms(self._features, x)]


def _ends(name: str, operator: SecondOrder, nodes: Float[Tensor, " n"]) -> list[int]:
    if operator.order == 2:
        return [0, -1]
    b = evaluate("coefficient b", operator.b, nodes)
    if not ((b > 0).all() or (b < 0).all()):
        raise ValueError(
            f"An operator of first order in {name} needs b(x) of one sign, which determines the "
            f"inflow; got b from {b.min().item():.6g} to {b.max().item():.6g}."
        )
    return [0] if b[0] > 0 else [-1]


@dataclass(frozen=True)
class RectangleSolution:
    """A solution, the function (x, y) ↦ u.

    Attributes:
        residual: root mean square of L₁ u + L₂ u - f in the middle between the nodes, relative to
            that of the sum of the sizes of its terms.
        sensitivity: relative change of u by a random perturbation of f of the size of the residual;
            large near a singular problem, where the residual does not show the error.
        converged: the residual is at most `rtol`, and the sensitivity at most 1e-3.
        reason: what the residual says, in words.
        axes: the bases in x and y.
        coefficients: Z of u(x, y) = Σ_rs Z_rs p_r(x) q_s(y).
    """

    residual: float
    sensitivity: float
    converged: bool
    reason: str
    axes: tuple[AxisBasis, AxisBasis] = field(repr=False)
    coefficients: Float[Tensor, "r s"] = field(repr=False)

    def __call__(
        self, x: Float[Tensor, " n"], y: Float[Tensor, " n"], order: tuple[int, int] = (0, 0)
    ) -> Float[Tensor, " n"]:
        """u, or its derivative of these orders (0, 1, 2), at points (x_i, y_i)."""
        p, q = self._bases(x, y, order)
        return ((p @ self.coefficients) * q).sum(1)

    def on(
        self, x: Float[Tensor, " n"], y: Float[Tensor, " m"], order: tuple[int, int] = (0, 0)
    ) -> Float[Tensor, "n m"]:
        """u, or its derivative of these orders, at the points (x_i, y_j) of a grid."""
        p, q = self._bases(x, y, order)
        return p @ self.coefficients @ q.mT

    def _bases(
        self, x: Tensor, y: Tensor, order: tuple[int, int]
    ) -> tuple[Float[Tensor, "n r"], Float[Tensor, "m s"]]:
        check_order(*order)
        p, q = (
            axis.at(checked_points(name, axis.nodes, points), k)
            for name, axis, points, k in zip("xy", self.axes, (x, y), order, strict=True)
        )
        return p, q


def solve_on_rectangle(
    operators: tuple[SecondOrder, SecondOrder],
    f: Term,
    kernels: tuple[Mixture, Mixture],
    box: tuple[Interval, Interval],
    boundary: Term,
    *,
    nodes: tuple[int, int] | None = None,
    rtol: float = 1e-6,
) -> RectangleSolution:
    """u with L₁ u + L₂ u = f, L₁ in x and L₂ in y, and u given on the boundary.

    Poisson's and Helmholtz' equation, advection u_x + c u_y = f (y may be the time), and the heat
    equation are of this form. Values are given where the operators need them: on both sides of an
    axis with a second derivative, on the inflow side of an axis with first derivatives only.

    The kernel is a product, so that u = Σ Z_rs p_r(x) q_s(y) in one basis per axis, and only
    matrices of one axis are formed. The boundary values hold exactly. The equation is projected on
    the functions p_r q_s that vanish there, which gives Sylvester's equation M₁ C + C M₂ᵀ = R
    (Bartels & Stewart 1972), in O(n³) operations on n x n nodes.

    Args:
        operators: L₁ and L₂, of which c₁ + c₂ is the coefficient of u.
        f: right-hand side, a number or a function of x and y (n, m).
        kernels: one per axis.
        box: ((x low, x high), (y low, y high)).
        boundary: u on the boundary, a number or a function of x and y (n, m).
        nodes: number of nodes per axis; by default twice as many as the highest frequency needs.
        rtol: the largest residual of a solution that counts as converged.

    Raises:
        ValueError: the nodes alias a frequency, the sign of a first-order operator changes, or a
            function returns another shape or a value that is not finite.
    """
    counts: Sequence[int | None] = nodes or (None, None)
    one, two = (
        AxisBasis(name, operator, kernel, uniform_nodes(name, interval, kernel.highest, count))
        for name, operator, kernel, interval, count in zip(
            "xy", operators, kernels, box, counts, strict=True
        )
    )
    Z = _boundary_part(one, two, boundary)
    right = evaluate("right-hand side f", f, *_mesh(one.nodes, two.nodes))
    right = right - one.image @ Z @ two.values.mT - one.values @ Z @ two.image.mT
    (P, S, M), (Q, T, N) = _vanishing(one), _vanishing(two)
    rights = [P.mT @ F @ Q for F in (right, noise(*right.shape))]
    part, response = (S @ C @ T.mT for C in _sylvester(M, N, rights))
    Z = Z + part
    residual, sensitivity = _residual(one, two, f, Z, response)
    converged, reason = verdict(residual, sensitivity, rtol)
    return RectangleSolution(residual, sensitivity, converged, reason, (one, two), Z)


def _mesh(x: Float[Tensor, " n"], y: Float[Tensor, " m"]) -> tuple[Tensor, Tensor]:
    X, Y = torch.meshgrid(x, y, indexing="ij")
    return X, Y


def _boundary_part(one: AxisBasis, two: AxisBasis, boundary: Term) -> Float[Tensor, "r s"]:
    """Z of a function with the boundary values.

    With B₁ the first basis at the ends of x, B₁ Z = G₁, the values there in the second basis, and
    Z B₂ᵀ = G₂ likewise: Z = B₁⁺ G₁ + (I - B₁⁺ B₁) G₂ B₂⁺ᵀ.
    """
    B1, B2 = one.values[one.ends], two.values[two.ends]
    I1, I2 = torch.linalg.pinv(B1), torch.linalg.pinv(B2)
    name = "boundary value"
    G1 = evaluate(name, boundary, *_mesh(one.nodes[one.ends], two.nodes)) @ two.values
    G2 = one.values.mT @ evaluate(name, boundary, *_mesh(one.nodes, two.nodes[two.ends]))
    return I1 @ G1 + (G2 - I1 @ (B1 @ G2)) @ I2.mT


def _vanishing(
    axis: AxisBasis,
) -> tuple[Float[Tensor, "n q"], Float[Tensor, "r q"], Float[Tensor, "q q"]]:
    """The functions of a basis that vanish at its ends: their values P, orthonormal, their
    coefficients S, and M = Pᵀ L P."""
    ends = axis.values[axis.ends]
    null = torch.linalg.qr(ends.mT, mode="complete").Q[:, len(ends) :]
    P, R = torch.linalg.qr(axis.values @ null)
    S = torch.linalg.solve_triangular(R, null, upper=True, left=False)
    return P, S, P.mT @ axis.image @ S


def _sylvester(
    M: Float[Tensor, "r r"], N: Float[Tensor, "s s"], rights: Sequence[Float[Tensor, "r s"]]
) -> list[Float[Tensor, "r s"]]:
    """C of M C + C Nᵀ = R for each R, by one Schur form of M and of N."""
    from scipy.linalg import schur
    from scipy.linalg.lapack import dtrsyl

    (A, U), (B, V) = schur(M.numpy()), schur(N.numpy())
    solutions = []
    for R in rights:
        C, scale, _ = dtrsyl(A, B, U.T @ R.numpy() @ V, tranb="T")
        solutions.append(torch.from_numpy(U @ (C / scale) @ V.T))
    return solutions


def _residual(
    one: AxisBasis,
    two: AxisBasis,
    f: Term,
    Z: Float[Tensor, "r s"],
    response: Float[Tensor, "r s"],
) -> tuple[float, float]:
    """The relative residual in the middle between the nodes, and the sensitivity."""
    x, y = ((axis.nodes[1:] + axis.nodes[:-1]) / 2 for axis in (one, two))
    right = evaluate("right-hand side f", f, *_mesh(x, y))
    values, others = one.at(x), two.at(y)
    p, q = values @ Z, Z @ others.mT
    terms = [a @ q for a in one.terms(x)] + [p @ b.mT for b in two.terms(y)]
    residual = sum(terms, start=-right)
    change = values @ response @ others.mT
    return (
        relative_size(residual, [*terms, right]),
        sensitivity_of(p @ others.mT, change, residual),
    )
