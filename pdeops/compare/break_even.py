"""Break-even: the number of solves after which the seconds saved repay a cost, e.g. training."""

import math

NEVER, NOT_KNOWN = "never", "not known"
ROUND_OFF = 1e-9  # relative; 60 s at 1.4 s - 0.9 s per solve gives 120 solves, not 121


def break_even(cost: float | None, saved: float) -> float | None:
    """The smallest integer n with n · saved >= cost, up to round-off.

    The result is inf if saved <= 0, otherwise None if the cost is not known.

    Args:
        cost: seconds spent before the first solve; None if not known.
        saved: seconds saved per solve; negative if a solve takes longer.
    """
    if saved <= 0:
        return math.inf
    return None if cost is None else float(math.ceil((1 - ROUND_OFF) * cost / saved))


def break_even_text(solves: float | None) -> str:
    """The number as text: "12,000", "never" or "not known"."""
    if solves is None:
        return NOT_KNOWN
    return NEVER if math.isinf(solves) else f"{solves:,.0f}"
