"""The equation of a file's trajectories, which their residual needs."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..datasets import EvolutionProblem, FieldDataset, problem_named, problem_of
from ..domain import Boundary, Grid, Sphere
from .prediction import Correction

# Parameters of problems that belong to the equation; others to the initial fields or the solver.
EQUATION_PARAMETERS = ("viscosity", "drag", "wavenumber", "amplitude", "mean_depth", "degree")


def problem_named_for(
    dataset: FieldDataset, name: str, kind: str | None = None, **parameters: Any
) -> EvolutionProblem:
    """The problem with this name and kind, with the parameters of a file: those that the file
    states, and the given ones.

    Raises:
        ValueError: the problem is unknown or steady, or a parameter is, or has another value in the
            file; or neither the file nor the caller states the viscosity.
    """
    given = problem_named(name, kind, **parameters)
    if not isinstance(given, EvolutionProblem):
        raise ValueError(f"--problem names an equation in time; {name} is steady.")
    stated = {
        key: int(value) if isinstance(given.parameters[key], int) and value % 1 == 0 else value
        for key, value in _constants(dataset).items()
        if key in given.parameters
    }
    for key in stated.keys() & parameters.keys():
        wanted = given.parameters[key]
        if not math.isclose(stated[key], wanted, rel_tol=1e-6):  # some files hold float32
            raise ValueError(
                f"{dataset.path} states {key} = {stated[key]}; got --set {key}={wanted}. Leave it "
                f"out, or correct the file if its value is wrong."
            )
    if {"viscosity"} & given.parameters.keys() - stated.keys() - parameters.keys():
        raise ValueError(
            f"{dataset.path} does not state the viscosity, and that of {name} {given.kind} need "
            f"not be that of its flow. Give it, as in --set "
            f"viscosity={given.parameters['viscosity']:g}."
        )
    found: Any = problem_named(name, kind, **{**stated, **parameters})
    return found


def _constants(dataset: FieldDataset) -> dict[str, Any]:
    """The parameters that a file states, one number for all its samples.

    Raises:
        ValueError: samples have different values; a residual is that of one equation.
    """
    found = dataset.parameters
    for key, values in found.items():
        if not isinstance(values, np.ndarray):
            continue
        if len(np.unique(values)) > 1:
            raise ValueError(
                f"The residual is that of one equation for all trajectories; in {dataset.path} the "
                f"parameter {key} differs between them, {values.min():.6g} to {values.max():.6g}. "
                f"Refine the first alone (`refine --samples 1`), or write trajectories with the "
                f"same value to a file of their own (`data convert --without`)."
            )
        found[key] = values.flat[0].item()
    return found


def problem_for(
    dataset: FieldDataset,
    name: str | None = None,
    kind: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> EvolutionProblem:
    """The problem of a file, or that with this name, kind and parameters; checked against the file.

    Raises:
        ValueError: as `problem_named_for` and `problem_solved_by`, or there is a kind or a
            parameter without a name.
    """
    if name is not None:
        given = problem_named_for(dataset, name, kind, **(parameters or {}))
        return problem_solved_by(dataset, given)
    if kind is not None or parameters:
        raise ValueError("--kind and --set belong to --problem; name the problem too.")
    return problem_solved_by(dataset, None)


def problem_solved_by(dataset: FieldDataset, given: EvolutionProblem | None) -> EvolutionProblem:
    """The problem of a file, or the given one; checked against the file.

    Raises:
        ValueError: the file states no equation that pdeops solves, or not its viscosity, and no
            problem is given; the domain is not a periodic box or a sphere, or not that of the
            problem; parameters differ between samples.
    """
    _constants(dataset)
    spec = dataset.spec
    problem: Any = given
    if problem is None and spec is not None:
        problem = problem_of(spec)
    if not isinstance(problem, EvolutionProblem):
        raise ValueError(
            f"{dataset.path} states no time-dependent equation, which the residual needs. Name it "
            f"with its parameters, as in --problem navier_stokes --kind fno_1e-3 --set "
            f"viscosity=1e-3."
        )
    needed = {"viscosity"} & set(problem.parameters)
    if given is None and spec is not None and needed - set(spec.parameters):
        raise ValueError(
            f"{dataset.path} holds data of {spec.name}, but not the viscosity. Give it with "
            f"--problem {spec.name} --kind {spec.kind} --set viscosity=..."
        )
    domain: Any = dataset.domain
    periodic = isinstance(domain, Grid) and set(domain.boundary) == {Boundary.PERIODIC}
    if not periodic and not isinstance(domain, Sphere):
        raise ValueError(
            f"The residual of {problem.name} is formed by Fourier series, on a periodic box; "
            f"{dataset.path} is on {domain}. State the boundary when converting the file, as in "
            f"--boundary periodic, if its fields are periodic."
        )
    problem.check_domain(domain)
    return problem


def correction(
    problem: EvolutionProblem, method: str, steps: int, *, block: int, accuracy: int
) -> Correction:
    """How frames were refined, for the file that `prediction.write` writes."""
    stated = {k: v for k, v in problem.parameters.items() if k in EQUATION_PARAMETERS}
    values = ", ".join(f"{key}={value!r}" for key, value in stated.items())
    source = (
        f"refined by {method} (steps={steps}, block={block}, accuracy={accuracy}) with the "
        f"residual of {problem.name} {problem.kind} ({values})"
    )
    return Correction(source, problem.equation, stated)
