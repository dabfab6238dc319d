"""Exact solutions of plane strain, by the complex potentials of Kolosov and Muskhelishvili:

2μ (u + i v) = κ φ(z) - z conj(φ'(z)) - conj(ψ(z)),          κ = 3 - 4ν in plane strain,
σ_xx + σ_yy = 4 Re φ',   σ_yy - σ_xx + 2i σ_xy = 2 (conj(z) φ'' + ψ').
"""

from dataclasses import dataclass

import numpy as np
import torch

from pdeops.domain.cells import node_weights

CENTRE = 0.5 + 0.5j


@dataclass(frozen=True)
class Potentials:
    """φ, φ', φ'', ψ, ψ' as functions of z - CENTRE."""

    phi: object
    dphi: object
    ddphi: object
    psi: object
    dpsi: object

    def displacement(self, x, material, kappa=None):
        z = x[0] + 1j * x[1] - CENTRE
        kappa = 3 - 4 * material.poisson if kappa is None else kappa
        mu = material.young / (2 * (1 + material.poisson))
        w = kappa * self.phi(z) - z * np.conj(self.dphi(z)) - np.conj(self.psi(z))
        return np.stack([w.real, w.imag]) / (2 * mu)

    def stress(self, x):
        z = x[0] + 1j * x[1] - CENTRE
        total, other = 4 * self.dphi(z).real, 2 * (np.conj(z) * self.ddphi(z) + self.dpsi(z))
        return np.stack([(total - other.real) / 2, (total + other.real) / 2, other.imag / 2])

    def traction(self, x, normal):
        return on(self.stress(x), normal)


def on(stress, normal):
    """σ n."""
    xx, yy, xy = stress
    return np.stack([xx * normal[0] + xy * normal[1], xy * normal[0] + yy * normal[1]])


def kirsch(a):
    """An infinite plate with a hole of radius a and tension 1 in y at infinity (Kirsch 1898)."""
    return Potentials(
        phi=lambda z: (z - 2 * a**2 / z) / 4,
        dphi=lambda z: (1 + 2 * a**2 / z**2) / 4,
        ddphi=lambda z: -(a**2) / z**3,
        psi=lambda z: (z - a**2 / z - a**4 / z**3) / 2,
        dpsi=lambda z: (1 + a**2 / z**2 + 3 * a**4 / z**4) / 2,
    )


def lame(a, b):
    """A cylinder a < r < b with pressure 1 inside: σ_r = (1 - b²/r²) a² / (b² - a²) (Lamé 1852)."""
    c = a**2 / (b**2 - a**2)
    return Potentials(
        phi=lambda z: c * z / 2,
        dphi=lambda z: c / 2 + 0 * z,
        ddphi=lambda z: 0 * z,
        psi=lambda z: -c * b**2 / z,
        dpsi=lambda z: c * b**2 / z**2,
    )


def manufactured():
    """An entire solution with stresses everywhere: φ = eᶻ, ψ = sin 2z."""
    return Potentials(
        phi=np.exp, dphi=np.exp, ddphi=np.exp,
        psi=lambda z: np.sin(2 * z), dpsi=lambda z: 2 * np.cos(2 * z),
    )  # fmt: skip


def areas(mesh):
    """Quadrature weights of the nodes of a mesh of order 1."""
    return node_weights(torch.from_numpy(mesh.nodes), torch.from_numpy(mesh.cells)).numpy()
