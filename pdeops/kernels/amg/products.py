"""Products, transposes and permutations of sparse matrices (numba).

The plain twin is scipy, in `amg/setup_reference.py`. Arrays are those of CSR; index arrays have no
sign, so that loops test nothing to wrap an index.
"""

from ..runtime.jit import jit

SPARE = 16  # places that receive what is not needed


@jit
def transpose(starts, columns, values, t_starts, t_columns, t_values):
    """The transpose; its columns are sorted."""
    n, m = len(starts) - 1, len(t_starts) - 1
    for j in range(m + 1):
        t_starts[j] = 0
    for s in range(starts[n]):
        t_starts[columns[s] + 1] += 1
    for j in range(m):
        t_starts[j + 1] += t_starts[j]
    for i in range(n):
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            t = t_starts[j]
            t_starts[j] = t + 1
            t_columns[t], t_values[t] = i, values[s]
    for j in range(m, 0, -1):
        t_starts[j] = t_starts[j - 1]
    t_starts[0] = 0


@jit
def upper_product(A, P, R, place, first, starts, columns, values):
    """The upper triangle of R A P with R = Pᵀ, from row `first` on; rows are not sorted.

    Row I is Σ_i r_Ii Σ_k a_ik p_k. place[J] is the position of column J in this row; of a column
    left of the diagonal it is one of the last `SPARE`, where values are added that are not used: so
    nothing has to ask on which side a column is.

    Returns the number of rows that are done: the others did not fit into `columns`.
    """
    a_starts, a_columns, a_values = A
    p_starts, p_columns, p_values = P
    r_starts, r_columns, r_values = R
    m, room = len(r_starts) - 1, len(columns) - SPARE
    for J in range(m):
        place[J] = room + J % SPARE if first > J else -1
    end = starts[first]
    for row in range(first, m):
        if room - end < m - row:
            return row
        begin = end
        for r in range(r_starts[row], r_starts[row + 1]):
            i, f = r_columns[r], r_values[r]
            for s in range(a_starts[i], a_starts[i + 1]):
                k, g = a_columns[s], f * a_values[s]
                for q in range(p_starts[k], p_starts[k + 1]):
                    J = p_columns[q]
                    t = place[J]
                    if t < begin:
                        place[J], columns[end], values[end] = end, J, g * p_values[q]
                        end += 1
                    else:
                        values[t] += g * p_values[q]
        place[row] = room + row % SPARE
        starts[row + 1] = end
    return m


@jit
def symmetric(starts, columns, values, cursor, s_starts, s_columns, s_values):
    """The symmetric matrix with this upper triangle; its columns are sorted.

    `cursor` is work memory, one number per row.
    """
    n = len(starts) - 1
    for i in range(n + 1):
        s_starts[i] = 0
    for i in range(n):
        for s in range(starts[i], starts[i + 1]):
            s_starts[columns[s] + 1] += 1
            s_starts[i + 1] += columns[s] != i
    for i in range(n):
        s_starts[i + 1] += s_starts[i]
        cursor[i] = s_starts[i]
    for i in range(n):  # the lower triangle with the diagonal, column by column
        for s in range(starts[i], starts[i + 1]):
            j = columns[s]
            t = cursor[j]
            cursor[j] = t + 1
            s_columns[t], s_values[t] = i, values[s]
    for j in range(n):  # row by row, which are the columns of the upper triangle
        for t in range(s_starts[j], s_starts[j + 1]):
            i = s_columns[t]
            if i >= j:  # the diagonal is the last of the lower triangle
                break
            u = cursor[i]
            cursor[i] = u + 1
            s_columns[u], s_values[u] = j, s_values[t]


@jit
def permuted(starts, columns, values, order, rank, cursor, p_starts, p_columns, p_values):
    """The symmetric matrix A[order][:, order]; its columns are sorted.

    Row i of the result is column i: entries are appended to the rows of their columns. `rank`
    receives the inverse of `order`, `cursor` is work memory.
    """
    n = len(order)
    p_starts[0] = 0
    for i in range(n):
        rank[order[i]], cursor[i] = i, p_starts[i]
        p_starts[i + 1] = p_starts[i] + (starts[order[i] + 1] - starts[order[i]])
    for i in range(n):
        for s in range(starts[order[i]], starts[order[i] + 1]):
            j = rank[columns[s]]
            t = cursor[j]
            cursor[j] = t + 1
            p_columns[t], p_values[t] = i, values[s]


@jit
def diagonals(starts, columns, values, blocks, middle, diagonal, outside):
    """The position and value of each diagonal entry, and Σ|a_ij| over the entries that couple the
    row to other blocks of rows; `blocks` holds their ends."""
    lo = 0
    for b in range(len(blocks)):
        hi = blocks[b]
        for i in range(lo, hi):
            total = 0.0
            for s in range(starts[i], starts[i + 1]):
                j = columns[s]
                if j == i:
                    middle[i], diagonal[i] = s, values[s]
                elif j < lo or j >= hi:
                    total += abs(values[s])
            outside[i] = total
        lo = hi
