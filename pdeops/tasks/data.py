"""The table [data] of recipes, and the training and validation samples it selects."""

import logging
from dataclasses import dataclass, field
from pathlib import Path

from ..datasets import FieldDataset, compatible, open_dataset
from ..datasets.windows import Window
from ..runs.recipe import PATH

log = logging.getLogger("pdeops")


@dataclass(frozen=True)
class DataTable:
    """The data files of a run, and the use of the training file.

    Attributes:
        train: file to train on.
        test: file on the same domain to evaluate on by default; training never reads its samples.
        validation: samples held out from the end of `train` (a count, or a fraction below 1), or a
            separate file. Whole trajectories are held out.
        samples: number of samples of `train` to use, from the first, including those held out.
        window: for files with the axis time: number of frames of input and target, and their stride
            in frames, as in `window = {n_in = 4, n_out = 1, stride = 1}`. By default the first
            frame is the input and all later frames are the target.
        time_axis: for targets with the axis time, and models without one: time is the last axis of
            the model's grid, along which the input is repeated. By default the frames are channels.
        symmetries: transform each training sample by a random symmetry of the box, anew in every
            epoch. Equation and boundary must have the symmetry (Darcy flow with f = 1 does).
        average_symmetries: predict the average over these symmetries, 8 evaluations on a square.

    Raises:
        ValueError: `validation` or `samples` is out of range.
    """

    train: str = field(metadata=PATH)
    test: str | None = field(default=None, metadata=PATH)
    validation: int | float | str = field(default=0.1, metadata=PATH)
    samples: int | None = None
    window: Window | None = None
    time_axis: bool = False
    symmetries: bool = False
    average_symmetries: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.validation, str) and not self.validation > 0:
            raise ValueError(
                f"data.validation is a file, a number of samples or a fraction below 1, above 0; "
                f"got {self.validation}."
            )
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"data.samples must be at least 1; got {self.samples}.")


def training_and_validation(table: DataTable) -> tuple[FieldDataset, FieldDataset]:
    """The training and the validation samples, checked against each other and the test file.

    Trajectories are whole; `windowed` cuts them into windows.
    """
    training = open_dataset(table.train)
    if table.samples is not None:
        if table.samples > len(training):
            raise ValueError(
                f"data.samples = {table.samples}, but {table.train} has {len(training)}. Ask for "
                f"fewer."
            )
        training = training.subset(range(table.samples))
    training.check()
    if isinstance(table.validation, str):
        validation = open_dataset(table.validation)
        validation.check()
        compatible(training, validation)
    else:
        training, validation = _hold_out(training, table.validation)
    if table.test is not None:
        _check_test(training, table.test)
    return training, validation


def windowed(dataset: FieldDataset, window: Window | None) -> FieldDataset:
    """The windows of a data set's trajectories; the data set itself if `window` is None.

    Raises:
        ValueError: the data have no axis time, or the window is longer than a trajectory.
    """
    return dataset if window is None else dataset.windowed(window)


def check_channels(dataset: FieldDataset, in_channels: int) -> None:
    """Raise a ValueError unless the inputs of a file have `in_channels` channels."""
    if dataset.in_channels != in_channels:
        raise ValueError(
            f"The run's operator takes {in_channels} input channel(s); the file holds "
            f"{dataset.in_channels}. Choose a file of the same problem."
        )


def check_frames(dataset: FieldDataset, n_in: int | None, n_out: int | None) -> None:
    """Raise a ValueError unless a file has the frames that the operator takes and gives."""
    if (dataset.n_in, dataset.n_out) != (n_in, n_out):
        here, there = (
            f"{a or 'no'} input and {b or 'no'} target frame(s)"
            for a, b in ((n_in, n_out), (dataset.n_in, dataset.n_out))
        )
        raise ValueError(
            f"The run's operator has {here}; the file gives {there}. Choose a file with the same "
            f"times, or train with data.window."
        )


def units(dataset: FieldDataset) -> list[str]:
    """The distinct units of the predicted fields, if the file states them."""
    fields = dataset.spec.fields if dataset.spec else ()
    return sorted({f.units for f in fields if f.role != "input"})


def _hold_out(dataset: FieldDataset, amount: int | float) -> tuple[FieldDataset, FieldDataset]:
    """The data split into its first samples and the held-out last ones (count or fraction)."""
    number = max(round(amount * len(dataset)) if amount < 1 else int(amount), 1)
    kept = len(dataset) - number
    if kept < 1:
        raise ValueError(
            f"data.validation = {amount} leaves no sample to train on: the file has "
            f"{len(dataset)}. Hold out fewer, or name a validation file."
        )
    return dataset.subset(range(kept)), dataset.subset(range(kept, len(dataset)))


def _check_test(training: FieldDataset, file: str) -> None:
    """Refuse a test file that does not fit; warn if it does not exist yet."""
    if not Path(file).expanduser().exists():
        log.warning("test file %s does not exist yet; evaluation will need it", file)
        return
    test = open_dataset(file)
    compatible(training, test)
    if training.spec and test.spec and None is not training.spec.seed == test.spec.seed:
        log.warning("%s has the seed of the training data, hence the same samples", file)
