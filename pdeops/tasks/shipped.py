"""The trained networks inside the package, by name."""

from importlib import resources
from pathlib import Path

from ..nearest import did_you_mean


def shipped_weights() -> list[str]:
    """Names of the trained networks inside the package."""
    folder = resources.files("pdeops.weights")
    return sorted(p.name.removesuffix(".pt") for p in folder.iterdir() if p.name.endswith(".pt"))


def shipped_path(name: str) -> Path:
    """The checkpoint of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in shipped_weights():
        raise ValueError(
            f"There is no run {name!r}: neither a run folder, a file, nor a shipped network."
            f"{did_you_mean(name, shipped_weights())} Shipped: {', '.join(shipped_weights())}."
        )
    return Path(str(resources.files("pdeops.weights") / f"{name}.pt"))
