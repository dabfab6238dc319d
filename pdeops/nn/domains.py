"""The domains that each model supports."""

from typing import Any

from torch import nn

from ..domain import check_kind

# Models by name, for error messages that list the suitable ones; `models` adds its registry.
KNOWN: dict[str, type[nn.Module]] = {}


def check_domain(model: type[nn.Module], domain: Any) -> None:
    """Raise a ValueError unless the domain is of a type that the model's `domains` lists.

    A model class without `domains` accepts any domain.
    """
    kinds = getattr(model, "domains", None)
    if kinds is None:
        return
    fitting = models_on(domain)
    advice = f"Models for that: {', '.join(fitting)}." if fitting else "No model takes that."
    check_kind(domain, kinds, model.__name__, advice)


def models_on(domain: Any) -> list[str]:
    """Names of the known models whose `domains` include the type of the domain."""
    return [name for name, cls in KNOWN.items() if isinstance(domain, getattr(cls, "domains", ()))]
