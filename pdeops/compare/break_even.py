"""After how many solves the seconds saved have paid a cost such as that of a training."""

import math

NEVER, NOT_KNOWN = "never", "not known"
ROUND_OFF = 1e-9  # relative; so that 60 s at 1.4 s - 0.9 s each are 120 solves, not 121


def break_even(cost: float | None, saved: float) -> float | None:
    """The least whole number n of solves with n · saved >= cost, up to round-off.

    Infinite where nothing is saved; None where something is saved and the cost is not known.

    Args:
        cost: seconds paid before the first solve; None: not known.
        saved: seconds that each solve takes less; negative where it takes more.
    """
    if saved <= 0:
        return math.inf
    return None if cost is None else float(math.ceil((1 - ROUND_OFF) * cost / saved))


def break_even_text(solves: float | None) -> str:
    """The number for a table: "12,000", "never" or "not known"."""
    if solves is None:
        return NOT_KNOWN
    return NEVER if math.isinf(solves) else f"{solves:,.0f}"
