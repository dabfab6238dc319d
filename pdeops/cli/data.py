"""`pdeops data`: generate benchmark data, convert other formats, inspect data files."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .output import Group, Json, Verb, emit

if TYPE_CHECKING:
    import torch

    from ..datasets.layouts.times import Times

app = typer.Typer(
    cls=Group, help="Generate benchmark data; convert and inspect data files.", no_args_is_help=True
)


@app.command(cls=Verb)
def generate(
    problem: Annotated[
        str,
        typer.Argument(help="darcy, poisson, navier_stokes, burgers, shallow_water or elasticity."),
    ],
    samples: Annotated[int, typer.Option(help="Number of samples.")],
    out: Annotated[Path, typer.Option(help="Output file; must not exist.")],
    resolution: Annotated[
        str | None,
        typer.Option(
            help="Number of nodes per axis, boundary included: 65 or 65,97. Problems on points "
            "(elasticity) have none."
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of the random inputs. Sample i depends on (seed, i) alone.")
    ] = 0,
    kind: Annotated[
        str | None,
        typer.Option(
            help="Kind of inputs. darcy: piecewise (default), lognormal, rough, multiscale; "
            "poisson: gaussian (default; zero on all sides), neumann, mixed; "
            "navier_stokes: fno_1e-3 (default), fno_1e-3_late, fno_1e-4, fno_1e-5, kolmogorov, "
            "kolmogorov_dense, mcwilliams, mcwilliams_dense, taylor_green; burgers: "
            "gaussian (default), thin; shallow_water: random (default), galewsky; elasticity: "
            "void. The data cards describe each kind."
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Parameter of the kind, as in --set tau=5. Repeatable."),
    ] = None,
    workers: Annotated[int, typer.Option(help="Number of worker processes.")] = 1,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Scheduler of a dask cluster that generates the samples, as tcp://host:8786. Its "
            "workers must see the output folder under the same path. Needs the extra "
            "pdeops\\[dask].",  # rich would parse [dask] as a style
        ),
    ] = None,
    device: Annotated[
        str,
        typer.Option(
            help="Device that solves the samples: cpu, cuda, cuda:1 or auto. darcy, poisson, "
            "navier_stokes and burgers can use a GPU; inputs are drawn on the CPU."
        ),
    ] = "cpu",
    dtype: Annotated[str, typer.Option(help="Stored precision: float32 or float64.")] = "float32",
    json: Json = False,
) -> None:
    """Generate a data set: draw random inputs, solve for each, and verify every solution.

    An interrupted command resumes if it is called again with the same arguments.
    """
    from ..datasets import generate as generate_dataset
    from ..datasets import problem_named
    from ..datasets.generate.workers import cluster
    from ..runs.recipe import parsed
    from .progress import bar

    if dask is not None and workers != 1:
        raise ValueError(f"Give --workers or --dask; got --workers {workers} --dask {dask}.")
    parameters = parsed(settings or ())
    for option in {"name", "kind"} & parameters.keys():
        raise ValueError(f"--set takes a parameter of the kind; {option!r} is not one.")
    chosen = problem_named(problem, kind, **parameters)
    if resolution is None and chosen.ndim:
        raise ValueError(
            f"{problem} is stored on a grid: give its nodes per axis, as --resolution 65."
        )
    shape = () if resolution is None else _resolution(resolution, chosen.ndim or 1)
    with (
        cluster(dask) if dask else nullcontext(workers) as crew,
        bar("samples", samples) as advance,
    ):
        report = generate_dataset(
            chosen,
            chosen.grid(shape),
            num_samples=samples,
            seed=seed,
            out=out,
            workers=crew,
            device=_device(device),
            dtype=dtype,
            progress=advance,
        )
    emit(report, as_json=json)


def _device(name: str) -> "torch.device | str":
    """The device with this name."""
    if name == "cpu":  # needs no import
        return name
    from ..tasks.running import device_named

    return device_named(name)


@app.command(cls=Verb)
def convert(
    src: Annotated[
        Path,
        typer.Argument(help="File of any format that pdeops reads, or folder of .npy or meshes."),
    ],
    out: Annotated[Path, typer.Argument(metavar="FILE", help="Output file; must not exist.")],
    input: Annotated[
        list[str] | None,
        typer.Option(help="Input array. Repeat the option, or separate names by commas."),
    ] = None,
    target: Annotated[list[str] | None, typer.Option(help="Target array. Repeatable.")] = None,
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="Trajectory array, first frame included; its frames are both input and target. "
            "Requires --axes. Times are read from an array named time or t."
        ),
    ] = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            help="Axis names in order, from sample, time, channel, x, y, z: sample,x,y for all "
            "arrays, u=x,y,sample for the array u. Repeatable. Default: the names in the file, "
            "else sample first, then space."
        ),
    ] = None,
    extent: Annotated[str | None, typer.Option(help="Side lengths of the box: 1, or 2,1.")] = None,
    boundary: Annotated[
        str | None,
        typer.Option(
            help="Boundary condition: dirichlet, neumann or periodic; one, or one per axis."
        ),
    ] = None,
    placement: Annotated[
        str | None,
        typer.Option(help="Position of the nodes: endpoints, left, interior or centers."),
    ] = None,
    stride: Annotated[
        int,
        typer.Option(
            metavar="K", help="Keep every K-th node of each axis; K = 5 maps 421 nodes to 85."
        ),
    ] = 1,
    dtype: Annotated[
        str | None,
        typer.Option(help="Stored precision: float32 or float64. Default: that of SRC."),
    ] = None,
    times: Annotated[
        str | None,
        typer.Option(
            help="Times of the frames, if SRC has none or others: 0,0.5,2 or START:STEP, as 0:0.1."
        ),
    ] = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Parameter of the equation that SRC does not state: viscosity=1e-3. Repeatable.",
        ),
    ] = None,
    positions: Annotated[
        str | None,
        typer.Option(
            help="Array with the coordinates of the points of each sample: sample,point,coordinate."
        ),
    ] = None,
    mask: Annotated[
        str | None, typer.Option(help="Array that is true at the points and false at padding.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Array with the quadrature weights of the points.")
    ] = None,
    cells: Annotated[
        str | None,
        typer.Option(help="Array with the nodes of each cell of a mesh: sample,cell,corner."),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar="CORNERS",
            help="Lower and upper corner of a box that holds the points of all samples: 0,0,1,1. "
            "Default: the smallest one.",
        ),
    ] = None,
    without: Annotated[
        str | None,
        typer.Option(metavar="SAMPLES", help="Numbers of samples to leave out: 3 or 0,5-7."),
    ] = None,
    allow_nan: Annotated[
        bool,
        typer.Option(
            "--allow-nan", help="Store NaN and infinite values. Default: an error that names them."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Convert a MATLAB, NumPy, torch, HDF5 or netCDF file, or meshes, to the project's HDF5 format.

    Grid properties that are not given are inferred from coordinates in SRC, or assumed; the report
    lists them.
    """
    from ..datasets import convert as convert_file
    from .progress import bar

    given = {
        "extent": extent and [_number("--extent", part) for part in extent.split(",")],
        "boundary": boundary and boundary.split(","),
        "placement": placement and placement.split(","),
    }
    points: dict[str, Any] = {
        "positions": positions,
        "mask": mask,
        "weights": weights,
        "cells": cells,
    }
    points |= {"box": box and _box(box)}
    # One value serves every axis.
    grid = {k: v[0] if len(v) == 1 else v for k, v in given.items() if v}
    with bar("percent", 100) as advance:
        report = convert_file(
            src,
            out,
            inputs=_names(input),
            targets=_names(target),
            states=_names(state),
            axes=_axes(axes),
            grid=grid or None,
            stride=stride,
            dtype=dtype,
            times=_times(times),
            parameters=_parameters(parameter),
            points={k: v for k, v in points.items() if v} or None,
            without=_samples(without),
            allow_nan=allow_nan,
            progress=lambda fraction: advance(100 * fraction),
        )
    emit(report, as_json=json)


@app.command(cls=Verb)
def inspect(
    file: Annotated[Path, typer.Argument(help="Data file of any format that pdeops reads.")],
    json: Json = False,
) -> None:
    """Print layout, fields, axes, ranges, times and grid of a data file, and how to train on it."""
    from ..datasets import inspect as inspect_file

    report = inspect_file(file)
    if not json:
        report.pop("spec", None)  # the other entries hold its main facts
    emit(report, as_json=json, title=str(file))


def _names(given: list[str] | None) -> list[str] | None:
    """['a', 'b'] from ['a,b'] and from ['a', 'b']; None from nothing."""
    return [name.strip() for part in given for name in part.split(",")] if given else None


def _axes(given: list[str] | None) -> str | dict[str, str] | None:
    """'sample,x' from ['sample,x'], {'u': 'x,sample'} from ['u=x,sample']."""
    if not given:
        return None
    if not any("=" in part for part in given):
        if len(given) > 1:
            raise ValueError(
                f"Give --axes once for all arrays, or as NAME=... for some; got {given}."
            )
        return given[0]
    pairs = [part.rpartition("=") for part in given]
    if not all(name for name, _, _ in pairs):
        raise ValueError(f"Give --axes once for all arrays, or as NAME=... for each; got {given}.")
    return {name: axes for name, _, axes in pairs}


def _times(text: str | None) -> "Times | None":
    """[0, 0.5] from '0,0.5'; the times START, START + STEP, ... of all frames from '0:0.5'."""
    if text is None:
        return None
    numbers = [_number("--times", part) for part in text.replace(":", ",").split(",")]
    if ":" not in text:
        return numbers
    if len(numbers) != 2 or "," in text or numbers[1] <= 0:
        raise ValueError(f"--times reads 0,0.5,2 or START:STEP, as 0:0.1; got {text!r}.")
    from ..datasets.layouts.times import TimeSteps

    return TimeSteps(*numbers)


def _parameters(given: list[str] | None) -> dict[str, float]:
    """{'viscosity': 0.001} from ['viscosity=1e-3']."""
    found: dict[str, float] = {}
    for part in given or []:
        name, equals, value = part.partition("=")
        if not (name and equals) or name in found:
            raise ValueError(
                f"--parameter reads NAME=VALUE, each name once, as viscosity=1e-3; got {given}."
            )
        found[name] = _number("--parameter", value)
    return found


def _box(text: str) -> list[list[float]]:
    """[[0, 0], [1, 1]] from '0,0,1,1'."""
    numbers = [_number("--box", part) for part in text.split(",")]
    if len(numbers) % 2:
        raise ValueError(
            f"--box takes the coordinates of the lower corner, then those of the upper corner, as "
            f"0,0,1,1; got {text!r}."
        )
    half = len(numbers) // 2
    return [numbers[:half], numbers[half:]]


def _samples(text: str | None) -> list[int]:
    """[0, 5, 6, 7] from '0,5-7'; [] from None."""
    numbers: list[int] = []
    for part in text.split(",") if text else ():
        first, dash, last = part.strip().partition("-")
        try:
            numbers += range(int(first), int(last if dash else first) + 1)
        except ValueError:
            raise ValueError(
                f"--without reads numbers of samples, as 3 or 0,5-7; got {text!r}."
            ) from None
    return numbers


def _number(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option} reads numbers, as 1 or 2,1; got {text!r}.") from None


def _resolution(text: str, ndim: int) -> tuple[int, ...]:
    """(65, 65) from '65' and (65, 97) from '65,97' for a problem with two axes of space."""
    try:
        counts = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--resolution reads 65 or 65,97; got {text!r}.") from None
    if len(counts) == 1:
        counts *= ndim
    if len(counts) != ndim:
        raise ValueError(
            f"--resolution takes one number, or one per axis of the problem ({ndim}); got {text!r}."
        )
    return tuple(counts)
