"""Expectations of a quantity over a random input: Monte Carlo with and without control variates."""

from .estimates import Estimate, monte_carlo
from .multifidelity import Pair, multifidelity
from .multilevel import multilevel
from .sampling import Sampler
from .study import ExpectationStudy, expect

__all__ = [
    "Estimate",
    "ExpectationStudy",
    "Pair",
    "Sampler",
    "expect",
    "monte_carlo",
    "multifidelity",
    "multilevel",
]
