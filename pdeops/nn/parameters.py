"""The number of parameters of a network."""

from torch import nn


def num_parameters(network: nn.Module) -> int:
    """Number of trainable real parameters; a complex parameter counts as two."""
    return sum(
        p.numel() * (2 if p.is_complex() else 1) for p in network.parameters() if p.requires_grad
    )
