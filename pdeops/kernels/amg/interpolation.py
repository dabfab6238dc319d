"""Interpolation from coarse to fine unknowns (numba).

The plain twin is `amg/setup_reference.py`.
"""

import numpy as np

from ..runtime.jit import jit
from .coarsening import DEPENDS
from .layout import LARGEST, SMALL


@jit
def interpolation(
    starts, columns, values, strong, coarse, place, found, weights, hits, shares,
    p_starts, p_columns, p_values,
):  # fmt: skip
    """P by extended classical interpolation; returns the number of its entries.

    A coarse unknown keeps its value. A fine one i has the weights

        w_k = -(a_ik + Σ_j a_ij a_jk / σ_j) / d_i,    σ_j = a_ji + Σ_{k in C_ij} a_jk

        d_i = a_ii + Σ_j a_ij a_ji / σ_j + Σ a_im (other m)

    where j runs over the fine unknowns on which i depends strongly, and C_ij are the coarse ones on
    which i depends strongly and that are coupled to j. If j depends strongly on none of them, C_ij
    is the coarse unknown on which j depends most (the interpolation FF1 of De Sterck, Falgout,
    Nolting & Yang 2008, Numer. Linear Algebra Appl. 15, with the term a_ji of their "extended+i").
    Only a_jk < 0 count. Then small weights are dropped, the others scaled to the same sum.

    Args:
        strong: the flags of `coarsening.strong_couplings`.
        coarse: the number of each coarse unknown among these; -1 for a fine one.
        place: work memory, -1 for each row.
        found, weights, hits, shares: work memory, twice the entries of the longest row.
    """
    n, end = len(starts) - 1, 0
    for i in range(n):
        p_starts[i] = end
        if coarse[i] >= 0:
            p_columns[end], p_values[end] = coarse[i], 1.0
            end += 1
            continue
        m = 0
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            if strong[s] & DEPENDS and coarse[j] >= 0:
                place[j], found[m], weights[m] = m, j, 0.0
                m += 1
        near, d = m, 0.0
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            if not strong[s] & DEPENDS or coarse[j] >= 0:
                continue
            total, back, num_hits, common = 0.0, 0.0, 0, 0
            for t in range(starts[j], starts[j + 1]):
                k, a = columns[t], values[t]
                p = place[k]
                if p >= 0:
                    if p < near and a < 0:
                        hits[num_hits], shares[num_hits] = p, a
                        num_hits += 1
                        total += a
                        common |= strong[t]
                elif k == i and a < 0:
                    back = a
            if not common & DEPENDS:
                total, num_hits, least = 0.0, 0, 0.0
                for t in range(starts[j], starts[j + 1]):
                    k = columns[t]
                    if values[t] < least and strong[t] & DEPENDS and coarse[k] >= 0:
                        least, num_hits, hits[0] = values[t], 1, k
                if num_hits:
                    strongest = np.uint32(hits[0])
                    if place[strongest] < 0:
                        place[strongest], found[m], weights[m] = m, strongest, 0.0
                        m += 1
                    total, hits[0], shares[0] = least, place[strongest], least
            total += back
            factor = values[s] / total if total < 0 else 0.0
            d += factor * back if total < 0 else values[s]
            for h in range(num_hits):
                weights[hits[h]] += factor * shares[h]
        centre = 0.0
        for s in range(starts[i], starts[i + 1]):
            j, a = columns[s], values[s]
            if place[j] >= 0:
                weights[place[j]] += a
            elif j == i:
                centre = a
            elif not strong[s] & DEPENDS:
                d += a
        d += centre
        if not d > 0:  # large couplings of both signs
            d = centre
        size, whole, kept = 0.0, 0.0, 0
        for k in range(m):
            place[found[k]] = -1
            whole += weights[k]
            size = max(size, abs(weights[k]))
        for k in range(m):
            if abs(weights[k]) >= SMALL * size:
                found[kept], weights[kept] = found[k], weights[k]
                kept += 1
        while kept > LARGEST:
            low = 0
            for k in range(1, kept):
                if abs(weights[k]) < abs(weights[low]):
                    low = k
            kept -= 1
            found[low], weights[low] = found[kept], weights[kept]
        part = 0.0
        for k in range(kept):
            part += weights[k]
        scale = -whole / (part * d) if part != 0 else -1 / d
        for k in range(kept):
            p_columns[end], p_values[end] = coarse[found[k]], scale * weights[k]
            end += 1
    p_starts[n] = end
    return end
