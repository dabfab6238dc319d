"""Numbers of samples as text, for messages and for the option --without."""

from collections.abc import Iterable

_SHOWN = 12  # ranges in a message


def numbers(samples: Iterable[int], *, shown: int | None = _SHOWN) -> str:
    """Numbers of samples as text: "2,5-7"; at most `shown` ranges, then their total."""
    ordered = sorted(samples)
    ranges: list[list[int]] = []
    for i in ordered:
        if ranges and ranges[-1][1] == i - 1:
            ranges[-1][1] = i
        else:
            ranges.append([i, i])
    parts = [str(a) if a == b else f"{a}-{b}" for a, b in ranges]
    if shown is None or len(parts) <= shown:
        return ",".join(parts)
    return f"{','.join(parts[:shown])}, ... ({len(ordered)} in all)"
