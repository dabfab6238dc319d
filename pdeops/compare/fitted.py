"""Surrogates without a network, fitted to the training samples of a run: opponents of operators.

For problems with few parameters these are the strongest opponents; for others they state what a
linear map or a reduced basis reaches with the same data.
"""
# Axes: b batch, p inputs, m outputs (flattened fields), t time, c channel, *space nodes.

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..datasets import FieldDataset, Window
from ..solvers.reduced_basis.pod import POD
from ..solvers.reduced_basis.surrogate import (
    SHARE,
    Pairs,
    Surrogate,
    polynomial_surrogate,
    radial_surrogate,
)
from ..tasks.data import training_and_validation, windowed
from ..tasks.rollout import whole_trajectories
from .tables import percent, seconds_text
from .timing import Clock, Stopwatch

log = logging.getLogger("pdeops")

MAX_BYTES = 2**29  # of the samples in memory; further ones are left out
MIN_SAMPLES = 4
FEW = 20  # effective dimensions up to which the inputs have few parameters
FAMILIES = {"POD + polynomial": polynomial_surrogate, "POD + radial basis": radial_surrogate}


@dataclass(frozen=True)
class Fitted:
    """A fitted surrogate.

    Attributes:
        name: in tables.
        predict: inputs (b, ...) in `dtype` -> predicted fields (b, ...).
        dtype: of its arithmetic.
        seconds: of the fit, choice of its parameters included.
        choice: the parameters chosen on the validation samples, in words.
        error: mean relative error on the validation samples.
    """

    name: str
    predict: Callable[[Tensor], Tensor]
    dtype: torch.dtype
    seconds: float
    choice: str
    error: float


@dataclass(frozen=True)
class Fits:
    """All surrogates fitted to the samples of a run.

    Attributes:
        fitted: the surrogates.
        notes: how they were fitted, in sentences.
    """

    fitted: tuple[Fitted, ...] = ()
    notes: tuple[str, ...] = ()


Fit = Callable[[Pairs, Pairs], Fitted]


def fits_of(run: Any, further: Sequence[Fit] = (), clock: Clock | None = None) -> Fits:
    """Surrogates fitted to the training samples of a run, with parameters chosen on its validation
    samples.

    Args:
        further: fits, of methods that know the problem.

    Raises:
        FileNotFoundError: the training or the validation file does not exist.
    """
    path = Path(run.recipe.data.train).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"Surrogates without a network are fitted to the training samples of the run; {path} "
            f"does not exist. Put the file there, or change data.train in "
            f"{run.folder / 'recipe.toml'}."
        )
    parts = training_and_validation(run.recipe.data)
    training, validation = (_pairs(samples_of(part, run)) for part in parts)
    if len(training.x) < MIN_SAMPLES:
        note = f"{len(training.x)} training samples are fewer than {MIN_SAMPLES}."
        return Fits(notes=(f"Left out: surrogates without a network. {note}",))
    log.info("fitting surrogates without a network to %d samples", len(training.x))
    shape = _shape(samples_of(parts[0], run))
    fits = [*(_regression(name, shape, clock) for name in FAMILIES), *further]
    fitted = tuple(fit(training, validation) for fit in fits)
    inputs = POD.of(training.x, training.input_weights)
    d = inputs.rank_for(SHARE)
    few = d <= FEW and 2 * d <= len(training.x)  # else their number is that of the samples
    notes = [
        f"Inputs: {100 * SHARE:.0f} % of the variance of the training inputs lies in {d} of "
        f"{inputs.rank} modes, {'few' if few else 'many'} parameters.",
        *(
            f"{f.name}: {f.choice}; fitted to the first {len(training.x)} of {len(parts[0])} "
            f"training samples in {seconds_text(f.seconds)}, {percent(f.error)} on "
            f"{len(validation.x)} validation samples, which chose its parameters. It predicts on "
            f"the grid of the training data."
            for f in fitted
        ),
    ]
    return Fits(fitted, tuple(notes))


def fits_or_note(
    runs: Mapping[str, Any], further: Sequence[Fit] = (), clock: Clock | None = None
) -> Fits:
    """The surrogates fitted to the samples of the run that used most; without its data none, and a
    note that says so."""
    run = max(runs.values(), key=_num_samples)
    try:
        return fits_of(run, further, clock)
    except FileNotFoundError as error:
        log.warning("Left out: surrogates without a network. %s", error)
        name = Path(run.recipe.data.train).name  # a report has no absolute paths
        note = f"Left out: surrogates without a network. The training file {name} is missing."
        return Fits(notes=(note,))


def _num_samples(run: Any) -> float:
    """The number of training samples that a run may use; infinite if it is not stated."""
    stated = run.recipe.data.samples or (run.spec.num_samples if run.spec else None)
    return math.inf if stated is None else float(stated)


def samples_of(part: FieldDataset, run: Any) -> FieldDataset:
    """The samples that a run predicts: fields, windows, or whole trajectories."""
    if run.task == "rollout":
        return whole_trajectories(part, run.recipe.data.window or Window())
    return windowed(part, run.recipe.data.window)


def _pairs(dataset: FieldDataset) -> Pairs:
    """Flattened samples in float64, as many as fit in `MAX_BYTES`; on points that differ from
    sample to sample the input are the recorded parameters."""
    first = dataset.read([0])
    source = "parameters" if first.get("positions") is not None else "input"
    size = 8 * sum(getattr(first, name).numel() for name in (source, "target"))
    number = max(1, min(len(dataset), MAX_BYTES // size))
    batch = dataset.read(range(number))
    x, y = (getattr(batch, name).double() for name in (source, "target"))
    domain: Any = dataset.domain
    if source == "parameters":
        w = domain.at(batch).quadrature().mean(0)[0]
        return Pairs(x.flatten(1), y.flatten(1), _weights(y, w))
    w = domain.quadrature()
    return Pairs(x.flatten(1), y.flatten(1), _weights(y, w), _weights(x, w))


def _weights(u: Float[Tensor, "n *frame"], w: Float[Tensor, "*space"]) -> Float[Tensor, " m"]:
    """Quadrature weights of flattened samples (n, [t], c, *space), divided by the variance of the
    channel, so that fields in different units count the same."""
    channels = u.movedim(u.ndim - w.ndim - 1, 0).flatten(1)
    variance = channels.var(1, correction=0)
    variance = torch.where(variance > 0, variance, torch.ones_like(variance))
    each = w / w.sum() / variance.reshape(-1, *[1] * w.ndim)
    return each.expand(u.shape[1:]).flatten()


def _shape(dataset: FieldDataset) -> tuple[int, ...]:
    """The shape of a predicted sample."""
    return tuple(dataset.read([0]).target.shape[1:])


def _regression(name: str, shape: tuple[int, ...], clock: Clock | None) -> Fit:
    def fit(training: Pairs, validation: Pairs) -> Fitted:
        watch = Stopwatch(clock or Clock(rest=0.0))
        found: Surrogate = watch(FAMILIES[name], training, validation)
        single = found.to(torch.float32)
        return Fitted(
            name,
            lambda x: single(x.flatten(1)).unflatten(1, shape),
            torch.float32,
            watch.timing().wall.median,
            found.choice,
            found.error,
        )

    return fit
