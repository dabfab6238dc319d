"""The trained networks shipped with the package, by name."""

from importlib import resources
from pathlib import Path

from ..nearest import did_you_mean


def shipped_weights() -> list[str]:
    """Names of the shipped networks."""
    folder = resources.files("pdeops.weights")
    return sorted(p.name.removesuffix(".pt") for p in folder.iterdir() if p.name.endswith(".pt"))


def shipped_path(name: str) -> Path:
    """The checkpoint of the shipped network with this name.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in shipped_weights():
        raise ValueError(
            f"There is no run {name!r}: neither a run folder, a file, nor a shipped network."
            f"{did_you_mean(name, shipped_weights())} Shipped: {', '.join(shipped_weights())}."
        )
    return Path(str(resources.files("pdeops.weights") / f"{name}.pt"))
