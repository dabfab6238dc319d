"""Whether a model can be trained on one data set and tested on another."""

from collections.abc import Sequence
from typing import Any

from .dataset import FieldDataset
from .spec import even_step


def _shared(dataset: FieldDataset) -> dict[str, Any]:
    """Properties that must agree between training and test data, by name."""
    names = {"kind": "domain", "extent": "box"}
    step = even_step(dataset.times)
    return {
        "dimension": dataset.domain.ndim,
        "input channels": dataset.in_channels,
        "target channels": dataset.out_channels,
        **(
            {} if dataset.window else {"input frames": dataset.n_in, "target frames": dataset.n_out}
        ),
        "time step": dataset.times if step is None else float(f"{step:.6g}"),
        **{names.get(key, key): value for key, value in dataset.domain.region.items()},
        "resolution": dataset.domain.shape,
        "problem": dataset.spec and (dataset.spec.name, dataset.spec.kind, dataset.spec.parameters),
    }


def compatible(train: FieldDataset, test: FieldDataset, *, may_differ: Sequence[str] = ()) -> None:
    """Raise a ValueError that names the difference, unless a model can be trained on `train` and
    tested on `test`.

    `may_differ` lists properties that are allowed to differ: "resolution", "problem", ... (see the
    message). A file without a spec is compatible with any problem.
    """
    there, here = _shared(train), _shared(test)
    for name in dict.fromkeys([*there, *here]):
        expected, got = there.get(name), here.get(name)
        if name in may_differ or expected == got or (name == "problem" and None in (expected, got)):
            continue
        raise ValueError(
            f"{test.path or 'The test data'} does not fit {train.path or 'the training data'}: "
            f"{name} {expected} there, {got} here. Choose a file of the same kind."
        )
