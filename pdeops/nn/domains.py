"""Which models live on which domains."""

from typing import Any

from torch import nn

from ..domain import check_kind

# Models by name, so that an error can name those that fit; `models` enters its registry here.
KNOWN: dict[str, type[nn.Module]] = {}


def check_domain(model: type[nn.Module], domain: Any) -> None:
    """Raise a ValueError unless the domain is of a type that the model's `domains` lists.

    A model class without `domains` takes any.
    """
    kinds = getattr(model, "domains", None)
    if kinds is None:
        return
    fitting = models_on(domain)
    advice = f"Models for that: {', '.join(fitting)}." if fitting else "No model takes that."
    check_kind(domain, kinds, model.__name__, advice)


def models_on(domain: Any) -> list[str]:
    """Names of the known models that declare to live on the domain."""
    return [name for name, cls in KNOWN.items() if isinstance(domain, getattr(cls, "domains", ()))]
