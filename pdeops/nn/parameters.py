"""How large a network is."""

from torch import nn


def num_parameters(network: nn.Module) -> int:
    """Real numbers that are trained; a complex one counts as two."""
    return sum(
        p.numel() * (2 if p.is_complex() else 1) for p in network.parameters() if p.requires_grad
    )
