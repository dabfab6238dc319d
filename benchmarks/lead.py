"""Which of two solvers takes less time for k right-hand sides of one matrix, over k."""

import math
from collections.abc import Callable

from pdeops.compare.break_even import break_even

Total = Callable[[int], float]  # number of right-hand sides -> seconds, linear from 2 on


def lead(ours: Total, theirs: Total) -> str:
    """ "ours", "theirs", or who leads for one solve and from which number on the other one does:
    "ours; theirs from 130 solves"."""

    def ahead_by(k: int) -> float:
        return theirs(k) - ours(k)

    grows = (ahead_by(100) - ahead_by(10)) / 90
    at_zero = ahead_by(10) - 10 * grows
    first, second, sign = ("ours", "theirs", 1) if ahead_by(1) > 0 else ("theirs", "ours", -1)
    after = break_even(sign * at_zero, -sign * grows)
    assert after is not None
    return first if math.isinf(after) else f"{first}; {second} from {max(after, 2):,.0f} solves"
