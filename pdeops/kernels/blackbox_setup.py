"""Fused loops that set up black-box multigrid: weights of P, Pᵀ A P, inverse diagonals, the factor.

The plain twin is `blackbox_reference.py`; arrays and indices are those of `blackbox.py`, whose head
says how the compiled code is cached.
"""

import numba
import numpy as np

from .blackbox_layout import (
    C_,
    COARSEN,
    E_,
    K_,
    L_,
    N_,
    PRESENT,
    R_,
    S_,
    SIZE,
    STRIDE,
    W_,
)

_jit = numba.njit(cache=True, nogil=True, error_model="numpy")


@_jit
def fold(u, t, wrap):
    """Add what was assembled at the ghosts of periodic axes to their nodes; fill the ghosts."""
    for a in range(3):
        if not wrap[a]:
            continue
        n, stride = t[N_ + a], t[STRIDE + a]
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(t[SIZE + b]):
            for j in range(t[SIZE + c]):
                x = i * t[STRIDE + b] + j * t[STRIDE + c]
                u[x + n * stride] += u[x]
                u[x + stride] += u[x + (n + 1) * stride]
    refill(u, t, wrap)


@_jit
def refill(u, t, wrap):
    """Fill the ghosts of periodic axes."""
    for a in range(3):
        if not wrap[a]:
            continue
        n, stride = t[N_ + a], t[STRIDE + a]
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(t[SIZE + b]):
            for j in range(t[SIZE + c]):
                x = i * t[STRIDE + b] + j * t[STRIDE + c]
                u[x] = u[x + n * stride]
                for g in range(n + 1, t[SIZE + a]):
                    u[x + g * stride] = u[x + (g - n) * stride]


@_jit
def code_of(d, t):
    """The number of a weight from its ternary digits (`blackbox.digits`)."""
    code = 0
    for a in range(3):
        if t[COARSEN + a]:
            code = 3 * code + d[a]
    return code


@_jit
def uniform(w, t, T):
    """Equal weights everywhere, as they stay where there is nothing to interpolate.

    Where the number n of unknowns is even, the odd nodes n + 1 are boundary nodes and take the
    value of those beyond.
    """
    d = np.empty(3, np.int64)
    S = T[S_]
    for code in range(t[W_ + 1]):
        rest, share = code, 1.0
        for a in range(2, -1, -1):
            d[a] = 0
            if t[COARSEN + a]:
                d[a] = rest % 3
                rest //= 3
                share *= 0.5 if d[a] else 1.0
        for x in range(code * S, (code + 1) * S):
            w[x] = share
        for a in range(3):
            n = t[N_ + a]
            if not (t[COARSEN + a] and d[a] and n % 2 == 0):
                continue
            b, c = (a + 1) % 3, (a + 2) % 3
            factor = 0.0 if d[a] == 1 else 2.0
            for i in range(T[SIZE + b]):
                for j in range(T[SIZE + c]):
                    at = (n // 2) * T[STRIDE + a] + i * T[STRIDE + b] + j * T[STRIDE + c]
                    w[code * S + at] *= factor


@_jit
def start_of_row(I, J, L, parity, t, T):
    """Where the fine node of this parity in the cell (I, J, L), and the cell, lie in arrays."""
    x, X = 0, 0
    for a in range(3):
        P = I if a == 0 else (J if a == 1 else L)
        x += (2 * P + parity[a] if t[COARSEN + a] else P) * t[STRIDE + a]
        X += P * T[STRIDE + a]
    return x, X


@_jit
def inward(z, odd, place, t, wrap):
    """What the equal weight of corner z is multiplied by at a node that couples with no corner:
    beside a side it takes the value of unknowns alone, for a constant must not leak through a
    closed side."""
    bit, factor = 0, 1.0
    for a in range(3):
        if not odd[a]:
            continue
        high = (z >> bit) & 1
        bit += 1
        if wrap[a]:
            continue
        if place[a] == 0:
            factor *= 2.0 if high else 0.0
        if t[N_ + a] % 2 and place[a] == t[N_ + a] // 2:
            factor *= 0.0 if high else 2.0
    return factor


@_jit
def weights(c, offsets, t, T, wrap, w):
    """The weights of P from the couplings of the finer level.

    Nodes with one odd index first, then two, then three: the stencil is summed over the axes where
    the index is even, and A u = 0 there gives the node by those before it. No weight is negative.
    """
    S, SC, K = t[S_], T[S_], t[K_]
    uniform(w, t, T)
    for x in range(SC):
        w[x] = 1
    odd = np.zeros(3, np.int64)
    first, last, place = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    d, delta = np.zeros(3, np.int64), np.zeros(3, np.int64)
    # Per direction: which coupling, where it stands from the node, whether it counts; then per
    # corner: which weight of the neighbour, and where.
    which, where = np.zeros(26, np.int64), np.zeros(26, np.int64)
    inner = np.zeros(26, np.bool_)
    code, cell = np.zeros((26, 8), np.int64), np.zeros((26, 8), np.int64)
    target = np.zeros(8, np.int64)
    longest = t[N_ + 2] + 2
    v = np.zeros((8, longest), c.dtype)
    total, every = np.zeros(longest, c.dtype), np.zeros(longest, c.dtype)
    stretch = 2 if t[COARSEN + 2] else 1
    for count in range(1, 4):
        for pattern in range(1, 8):
            for a in range(3):
                odd[a] = (pattern >> a) & 1
            if odd.sum() != count:
                continue
            fits = True
            for a in range(3):
                fits = fits and (not odd[a] or t[COARSEN + a] == 1)
            if not fits:
                continue
            corners = 1 << count
            for z in range(corners):
                bit = 0
                for a in range(3):
                    d[a] = 0
                    if odd[a]:
                        d[a] = 1 + ((z >> bit) & 1)
                        bit += 1
                target[z] = code_of(d, t)
            for k in range(K):
                for side in range(2):
                    s = 2 * k + side
                    which[s], where[s], inner[s] = k, 0, True
                    for a in range(3):
                        delta[a] = offsets[k, a] * (1 - 2 * side)
                        where[s] -= side * offsets[k, a] * t[STRIDE + a]
                        inner[s] = inner[s] and not (odd[a] and delta[a] != 0)
                    for z in range(corners):
                        bit, fits, cell[s, z] = 0, not inner[s], 0
                        for a in range(3):
                            d[a] = 0
                            if odd[a]:
                                high = (z >> bit) & 1
                                bit += 1
                                if delta[a] == 0:
                                    d[a] = 1 + high
                                else:
                                    fits = fits and high == (delta[a] > 0)
                                    cell[s, z] += (delta[a] > 0) * T[STRIDE + a]
                        code[s, z] = code_of(d, t) if fits else -1
            for a in range(3):
                n = t[N_ + a]
                if odd[a]:
                    first[a], last[a] = 0, (n - 1) // 2
                elif t[COARSEN + a]:
                    first[a], last[a] = 1, n // 2
                else:
                    first[a], last[a] = t[PRESENT + a], n if t[PRESENT + a] else 0
            M = last[2] - first[2] + 1
            for I in range(first[0], last[0] + 1):
                for J in range(first[1], last[1] + 1):
                    x, X = start_of_row(I, J, first[2], odd, t, T)
                    total[:M] = 0
                    every[:M] = 0
                    v[:, :M] = 0
                    for s in range(2 * K):
                        at = which[s] * S + x + where[s]
                        row = c[at : at + stretch * (M - 1) + 1 : stretch]
                        for q in range(M):
                            every[q] += row[q]
                        if inner[s]:
                            continue
                        for z in range(corners):
                            if code[s, z] >= 0:
                                at = code[s, z] * SC + X + cell[s, z]
                                share = w[at : at + M]
                                for q in range(M):
                                    v[z, q] += row[q] * share[q]
                    for z in range(corners):
                        for q in range(M):
                            v[z, q] = max(v[z, q], 0)
                            total[q] += v[z, q]
                    for z in range(corners):
                        at = target[z] * SC + X
                        share = w[at : at + M]
                        for q in range(M):
                            if total[q] > 0:
                                share[q] = v[z, q] / total[q]
                            elif every[q] > 0:
                                place[0], place[1], place[2] = I, J, first[2] + q
                                share[q] *= inward(z, odd, place, t, wrap)
                            else:  # solid
                                share[q] = 0
            for z in range(corners):
                fill_weights(w[target[z] * SC : (target[z] + 1) * SC], odd, t, T, wrap)


@_jit
def fill_weights(w, odd, t, T, wrap):
    """Copy the weights of one kind to the cells over the seam of periodic axes."""
    for a in range(3):
        if not wrap[a]:
            continue
        N, stride = T[N_ + a], T[STRIDE + a]
        b, c = (a + 1) % 3, (a + 2) % 3
        for i in range(T[SIZE + b]):
            for j in range(T[SIZE + c]):
                x = i * T[STRIDE + b] + j * T[STRIDE + c]
                if odd[a]:
                    w[x + N * stride] = w[x]
                else:
                    w[x] = w[x + N * stride]
                    w[x + (N + 1) * stride] = w[x + stride]


@_jit
def local(parity, delta, t, d, place):
    """Where the two ends of a coupling lie in their closed cell: 0, 1, 2 per axis, for the node of
    this parity (column 0) and its neighbour at `delta` (column 1); the cell's index is that of the
    node's half, less `place`."""
    for a in range(3):
        place[a] = 0
        if t[COARSEN + a]:
            d[a, 0] = parity[a]
            if delta[a] < 0 and parity[a] == 0:
                d[a, 0], place[a] = 2, 1
            d[a, 1] = d[a, 0] + delta[a]
        else:
            d[a, 0] = 0
            if delta[a] < 0:
                d[a, 0], place[a] = 1, 1
            d[a, 1] = d[a, 0] + delta[a]


@_jit
def corner_weight(z, d, end, t, T, shift):
    """The weight of corner z at one end of a coupling: its number, or -1; and where it stands."""
    code, shift[0] = 0, 0
    for a in range(3):
        high = (z >> a) & 1
        if t[COARSEN + a]:
            digit = 0
            if d[a, end] == 1:
                digit = 1 + high
            elif (d[a, end] == 2) != (high == 1):
                return -1
            elif high:
                shift[0] += T[STRIDE + a]
            code = 3 * code + digit
        else:
            if (d[a, end] == 1) != (high == 1):
                return -1
            if high:
                shift[0] += T[STRIDE + a]
    return code


@_jit
def galerkin(c, e, has_e, offsets, t, T, wrap, w, C, E):
    """The couplings of Pᵀ A P, one coupling of the finer level at a time, and its excess, lumped.

    A coupling c between p and q adds c g gᵀ to the coarse matrix, g the difference of the rows p
    and q of P; all its entries belong to the corners of one closed cell.
    """
    S, SC, K, KC = t[S_], T[S_], t[K_], T[K_]
    parity, place, shift = np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(1, np.int64)
    d, first, last = np.zeros((3, 2), np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    code, at = np.zeros((8, 2), np.int64), np.zeros((8, 2), np.int64)
    pair = np.zeros((8, 8), np.int64)  # where the coupling of two corners is kept
    used = np.zeros(8, np.int64)
    g = np.zeros((8, t[N_ + 2] + 2), c.dtype)
    y = np.zeros(t[N_ + 2] + 2, c.dtype)
    stretch = 2 if t[COARSEN + 2] else 1
    none = np.zeros(3, np.int64)
    for z in range(8):
        for o in range(z):
            for k in range(KC):
                same, opposite = True, True
                for a in range(3):
                    step = ((z >> a) & 1) - ((o >> a) & 1)
                    same = same and offsets[k, a] == step
                    opposite = opposite and offsets[k, a] == -step
                if same or opposite:
                    low, start = (o if same else z), k * SC
                    for a in range(3):
                        start += ((low >> a) & 1) * T[STRIDE + a]
                    pair[z, o] = pair[o, z] = start
    for k in range(K + 1 if has_e else K):
        delta = offsets[k] if k < K else none  # the last round is for the excess
        reach = 0
        for a in range(3):
            reach += delta[a] * t[STRIDE + a]
        for pattern in range(8):
            fits = True
            for a in range(3):
                parity[a] = (pattern >> a) & 1
                fits = fits and (parity[a] == 0 or t[COARSEN + a] == 1)
            if not fits:
                continue
            local(parity, delta, t, d, place)
            num = 0
            for z in range(8):
                one = corner_weight(z, d, 0, t, T, shift)
                one_at = shift[0]
                two = corner_weight(z, d, 1, t, T, shift)
                if one >= 0 or two >= 0:
                    used[num] = z
                    code[num, 0], at[num, 0] = one, one * SC + one_at
                    code[num, 1], at[num, 1] = two, two * SC + shift[0]
                    num += 1
            for a in range(3):
                low, high = t[PRESENT + a], t[N_ + a] if t[PRESENT + a] else 0
                if t[PRESENT + a] and not wrap[a]:
                    low, high = max(0, -delta[a]), t[N_ + a] + 1 - max(0, delta[a])
                if t[COARSEN + a]:
                    first[a], last[a] = (low - parity[a] + 1) // 2, (high - parity[a]) // 2
                else:
                    first[a], last[a] = low, high
            M = last[2] - first[2] + 1
            for I in range(first[0], last[0] + 1):
                for J in range(first[1], last[1] + 1):
                    x, X = start_of_row(I, J, first[2], parity, t, T)
                    for a in range(3):
                        X -= place[a] * T[STRIDE + a]
                    if k == K:
                        row = e[x : x + stretch * (M - 1) + 1 : stretch]
                        for z in range(num):
                            to = X
                            for a in range(3):
                                to += ((used[z] >> a) & 1) * T[STRIDE + a]
                            share, out = w[X + at[z, 0] : X + at[z, 0] + M], E[to : to + M]
                            for q in range(M):
                                out[q] += row[q] * share[q]
                        continue
                    row = c[k * S + x : k * S + x + stretch * (M - 1) + 1 : stretch]
                    for z in range(num):
                        own = g[z, :M]
                        own[:] = 0
                        if code[z, 0] >= 0:
                            share = w[X + at[z, 0] : X + at[z, 0] + M]
                            for q in range(M):
                                own[q] += share[q]
                        if code[z, 1] >= 0:
                            share = w[X + at[z, 1] : X + at[z, 1] + M]
                            for q in range(M):
                                own[q] -= share[q]
                    for z in range(1, num):
                        own = g[z, :M]
                        for q in range(M):
                            y[q] = -row[q] * own[q]
                        for o in range(z):
                            to = X + pair[used[z], used[o]]
                            out, other = C[to : to + M], g[o, :M]
                            for q in range(M):
                                out[q] += y[q] * other[q]
    for k in range(KC):
        fold(C[k * SC : (k + 1) * SC], T, wrap)
    if has_e:
        fold(E, T, wrap)


@_jit
def invert_diagonal(c, e, has_e, offsets, t, r):
    """r = 1 / diagonal at the unknowns; 0 at solid ones."""
    S, K, m = t[S_], t[K_], t[N_ + 2]
    for i in range(t[PRESENT], t[N_] + 1 if t[PRESENT] else 1):
        for j in range(t[PRESENT + 1], t[N_ + 1] + 1 if t[PRESENT + 1] else 1):
            x = i * t[STRIDE] + j * t[STRIDE + 1] + 1
            out = r[x : x + m]
            out[:] = 0
            if has_e:
                own = e[x : x + m]
                for q in range(m):
                    out[q] += own[q]
            for k in range(K):
                at = k * S + x
                there = at
                for a in range(3):
                    there -= offsets[k, a] * t[STRIDE + a]
                one, two = c[at : at + m], c[there : there + m]
                for q in range(m):
                    out[q] += one[q] + two[q]
            for q in range(m):
                out[q] = 1 / out[q] if out[q] > 0 else 0.0


@_jit
def factor_band(c, e, has_e, offsets, t, number, singular, L):
    """Cholesky factor of the coarsest level; L[k, i] = entry (k, k - i), the diagonal inverted.

    False where A is not positive definite. A `singular` A may be semidefinite: a pivot of round-off
    is left out, and its unknown becomes zero.
    """
    S, K = t[S_], t[K_]
    size, width = L.shape
    small = 1e-12 if L.itemsize == 8 else 1e-5  # pivots of round-off, against the diagonal
    L[:] = 0
    for x in range(len(number)):
        i = number[x]
        if i < 0:
            continue
        if has_e:
            L[i, 0] += e[x]
        for k in range(K):
            o = 0
            for a in range(3):
                o += offsets[k, a] * t[STRIDE + a]
            for side in range(2):
                there = number[x + o] if side == 0 else number[x - o]
                coupling = c[k * S + x] if side == 0 else c[k * S + x - o]
                j = there if there >= -1 else -2 - there
                if j != i:
                    L[i, 0] += coupling
                if side == 0 and j >= 0 and j != i:
                    L[max(i, j), abs(i - j)] -= coupling
    for k in range(size):
        own = L[k, 0]
        for i in range(min(width - 1, k), -1, -1):
            value = L[k, i]
            for j in range(i + 1, min(width - 1, k) + 1):
                if j - i < width:
                    value -= L[k, j] * L[k - i, j - i]
            if i > 0:
                L[k, i] = value * L[k - i, 0]
            elif value > (small * own if singular else 0 * own):
                L[k, 0] = 1 / np.sqrt(value)
            elif singular and value >= -100 * small * own:
                L[k, 0] = 0
            else:
                return False
    return True


@_jit
def begin(f0, f1, f2, excess, store, table, offsets, wrap, has_e):
    """The finest level from the couplings at the faces; `store` comes in as zeros."""
    t = table[0]
    S, K = t[S_], t[K_]
    for a in range(3):
        if t[PRESENT + a]:
            f = f0 if a == 0 else (f1 if a == 1 else f2)
            at = t[C_] + axis_of(offsets, K, a) * S
            first_couplings(f, a, t, wrap, store[at : t[C_] + K * S])
    if has_e:
        e = store[t[E_] : t[E_] + S]
        l, m, n = excess.shape
        for i in range(l):
            for j in range(m):
                for q in range(n):
                    x = (i + t[PRESENT]) * t[STRIDE] + (j + t[PRESENT + 1]) * t[STRIDE + 1]
                    e[x + q + 1] = excess[i, j, q]
        refill(e, t, wrap)


@_jit
def descend(store, t, T, offsets, wrap, has_e, C):
    """What a level needs of its own, and couplings C, given as zeros, and excess of the next."""
    S, K = t[S_], t[K_]
    c = store[t[C_] : t[C_] + K * S]
    e = store[t[E_] : t[E_] + (S if has_e else 0)]
    if t[R_]:  # else lines are solved, with the pivots of `blackbox_lines.py`
        invert_diagonal(c, e, has_e, offsets, t, store[t[R_] : t[R_] + S])
    w = store[t[W_] : t[W_] + t[W_ + 1] * T[S_]]
    weights(c, offsets, t, T, wrap, w)
    E = store[T[E_] : T[E_] + (T[S_] if has_e else 0)]
    galerkin(c, e, has_e, offsets, t, T, wrap, w, C, E)


@_jit
def complete(store, table, first, offsets, number, wrap, has_e, singular):
    """All levels below `first`, whose couplings are there. False where one is not positive
    definite."""
    last = len(table) - 1
    for level in range(first, last):
        T = table[level + 1]
        C = store[T[C_] : T[C_] + T[K_] * T[S_]]
        descend(store, table[level], T, offsets, wrap, has_e, C)
    t = table[last]
    S = t[S_]
    c = store[t[C_] : t[C_] + t[K_] * S]
    e = store[t[E_] : t[E_] + (S if has_e else 0)]
    size, width = t[L_ + 1], t[L_ + 2]
    L = store[t[L_] : t[L_] + size * width].reshape(size, width)
    return factor_band(c, e, has_e, offsets, t, number, singular, L)


@_jit
def setup(f0, f1, f2, excess, store, table, offsets, number, wrap, has_e, singular):
    """Fill all levels. False where one is not positive definite."""
    begin(f0, f1, f2, excess, store, table, offsets, wrap, has_e)
    return complete(store, table, 0, offsets, number, wrap, has_e, singular)


@_jit
def axis_of(offsets, K, axis):
    """Which of the first K neighbours lies along an axis."""
    for k in range(K):
        if offsets[k, axis] == 1:
            return k
    return -1


@_jit
def first_couplings(f, axis, t, wrap, c):
    """The couplings of the finest level along an axis, from those at its faces."""
    l, m, n = f.shape
    for i in range(l):
        for j in range(m):
            for q in range(n):
                x = (i + t[PRESENT]) * t[STRIDE] + (j + t[PRESENT + 1]) * t[STRIDE + 1] + q + 1
                c[x - t[STRIDE + axis]] = f[i, j, q]
    refill(c[: t[S_]], t, wrap)
