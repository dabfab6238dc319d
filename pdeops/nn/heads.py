"""Checks of the width of a network and of its attention heads."""


def check_width(hidden_channels: int, model: str) -> None:
    """Raise a ValueError unless a model has at least one hidden channel."""
    if hidden_channels < 1:
        raise ValueError(f"{model} needs one hidden channel at least; got {hidden_channels}.")


def channels_per_head(channels: int, num_heads: int, layer: str) -> int:
    """channels / num_heads.

    Args:
        layer: name of the layer, for the message.

    Raises:
        ValueError: num_heads is below one, or does not divide channels.
    """
    if num_heads < 1:
        raise ValueError(f"{layer.capitalize()} needs one head at least; got {num_heads}.")
    if channels % num_heads:
        raise ValueError(
            f"Each head of {layer} takes an equal part of the channels; got {channels} channels "
            f"and {num_heads} heads. Use a multiple of {num_heads} channels, or another number of "
            f"heads."
        )
    return channels // num_heads
