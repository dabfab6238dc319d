"""What the input and the output of an exported program are, as plain data in its file."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from ..datasets.spec import DatasetSpec, Field
from ..runs.folder import recipe_hash

KEY = "pdeops"  # the entry of the description in the metadata of a file
FORMAT_VERSION = 1


def describe(run: Any, shape: Sequence[int]) -> dict[str, Any]:
    """The description of the program of a run on a grid of this shape.

    Entries: `input` and `output` with their axes, shape (None for the batch) and channels (name,
    units, description; None if the training file does not state them), the `domain` of the nodes,
    `times` of the frames relative to the last input frame where the model has an axis of time, the
    model, its task, the hash of recipe.toml, and versions.
    """
    operator, spec = run.operator, run.spec
    axes = list(run.domain.axes)
    outputs = len(operator.output_normalizer.mean)
    return {
        "format_version": FORMAT_VERSION,
        "model": run.recipe.model.name,
        "task": run.task,
        "recipe": {"name": run.recipe.name, "sha256": recipe_hash(run.folder)},
        "versions": {name: version(name) for name in ("pdeops", "torch")},
        "equation": spec.equation if spec else None,
        "dtype": str(next(operator.parameters()).dtype).removeprefix("torch."),
        "domain": run.domain.with_shape(shape).to_dict(),
        "input": _side(run.n_in, run.in_channels, axes, shape, _fields(spec, "input")),
        "output": _side(run.n_out, outputs, axes, shape, _fields(spec, "target")),
        "times": _times(operator),
    }


def _side(
    frames: int | None,
    channels: int,
    axes: Sequence[str],
    shape: Sequence[int],
    fields: Sequence[Field] | None,
) -> dict[str, Any]:
    """The entries of the input or of the output."""
    time = [] if frames is None else [frames]
    return {
        "axes": ["batch", *(["time"] if time else []), "channel", *axes],
        "shape": [None, *time, channels, *shape],
        "channels": fields and [entry for f in fields for entry in _channels(f)],
    }


def _channels(field: Field) -> list[dict[str, str]]:
    return [
        {"name": name, "units": field.units, "description": field.description}
        for name in field.channel_names
    ]


def _fields(spec: DatasetSpec | None, role: str) -> Sequence[Field] | None:
    """The fields of a role in the order of the channels; states are both input and target, and
    stand before inputs that do not evolve."""
    if spec is None:
        return None
    return (*spec.states, *(spec.inputs if role == "input" else spec.targets))


def _times(operator: Any) -> dict[str, list[float]] | None:
    if not operator.has_time:
        return None
    model = operator.model
    return {"input": list(model.times_in), "output": list(model.times_out)}
