"""`pdeops models`: list the models that can be trained."""

from typing import Any

from .output import Json, emit, rows


def command(json: Json = False) -> None:
    """List the models with their task, domains, summary, number of parameters and shipped recipes.

    Parameters are counted with default arguments and one input and one output channel. Operators
    are built on the first grid they accept: 128 x 128 nodes, then the sizes of published models,
    then a periodic box, then a sphere, then 972 points. Networks inside solvers need no grid and
    are built for two axes; networks that solve one equation for Burgers' equation. --json adds the
    grid and the default arguments, and counts the models of the package neuraloperator, which takes
    as long to import as everything else together.

    Your own model needs no entry here: a recipe names it module:Class or file.py:Class.
    """
    import inspect

    from ..runs.recipe import shipped_recipes
    from ..tasks import TASKS, load_recipe

    # One registry may serve several tasks, as operators do.
    lines: dict[str, dict[str, Any]] = {}
    for task in TASKS.values():
        for name, model in task.recipe.tables()["model"].metadata["registry"].items():
            if name not in lines:
                lines[name] = {
                    "tasks": [],
                    "domains": [domain.kind for domain in getattr(model, "domains", ())],
                    "summary": (inspect.getdoc(model) or "").split("\n")[0],
                    **(_at_defaults(model) if json or not _foreign(model) else _UNKNOWN),
                    "recipes": [],
                }
            lines[name]["tasks"].append(task.name)
    for recipe in shipped_recipes():
        lines[load_recipe(recipe).model.name]["recipes"].append(recipe)
    if json:
        emit(lines, as_json=True)
        return
    rows(
        ("model", "trained by task", "domains", "what it is", "parameters", "recipes"),
        [
            (
                name,
                line["tasks"],
                line["domains"],
                line["summary"],
                "see --json" if line["parameters"] is None else f"{line['parameters']:,}",
                [recipe.removesuffix(".toml") for recipe in line["recipes"]],
            )
            for name, line in lines.items()
        ],
    )


_UNKNOWN: dict[str, Any] = {"parameters": None, "grid": None, "arguments": None}


def _foreign(model: Any) -> bool:
    """Whether building the model imports another package."""
    from ..models.operators.neuraloperator import _Neuraloperator

    return issubclass(model, _Neuraloperator)


def _without_values() -> Any:
    """A context without initializers of `nn.init` and without changes of the layout of tensors:
    only shapes are asked for.

    The device "meta" would do the same without memory, but its decompositions of simple operations
    import torch's compiler, which takes longer than torch itself.
    """
    from torch import Tensor
    from torch.overrides import TorchFunctionMode

    class NoInitialization(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
            kwargs = dict(kwargs or {})
            if getattr(func, "__module__", None) == "torch.nn.init":
                return kwargs.get("tensor", args[0] if args else None)
            if func is Tensor.contiguous:
                return args[0]
            if func is Tensor.to:
                kwargs.pop("memory_format", None)  # it would copy every weight
            return func(*args, **kwargs)

    return NoInitialization()


def _at_defaults(model: Any) -> dict[str, Any]:
    """Number of parameters, grid and arguments of a model built with its defaults."""
    import torch

    from ..domain import Grid, Points, Sphere
    from ..models import CORRECTIONS, FIELDS
    from ..nn.domains import check_domain
    from ..nn.parameters import num_parameters

    boxes = [Grid((n, n)) for n in (128, 64, 101, 211, 85)]
    boxes.append(Grid((128, 128), boundary="periodic"))
    points = Points(2, Grid((36, 27)).nodes().flatten(1))
    domains = (*boxes, Sphere((65, 128)), points)
    given: list[tuple[Any, ...]] = [(1, 1, domain) for domain in domains]
    if model in CORRECTIONS.values():
        given = [(2,), ()]  # with a dimension, or for the graph of any matrix
    if model in FIELDS.values():
        return {**_UNKNOWN, **_field_at_defaults(model)}
    for arguments in given:
        try:
            if len(arguments) > 1:
                check_domain(model, arguments[2])
            # neuraloperator's models are large.
            with torch.device("meta") if _foreign(model) else _without_values():
                built = model(*arguments)
        except ValueError:
            continue
        return {
            "parameters": num_parameters(built),
            "grid": list(arguments[2].shape) if len(arguments) > 1 else None,
            "arguments": built.arguments,
        }
    return _UNKNOWN


def _field_at_defaults(model: Any) -> dict[str, Any]:
    """Number of parameters and arguments of the solution of an equation in one dimension."""
    from ..domain import Grid
    from ..nn.parameters import num_parameters
    from ..solvers.evolution.equations.burgers import Burgers
    from ..solvers.evolution.initial import Sine

    grid = Grid((64,), boundary="periodic")
    built = model(Burgers(grid, 0.1), Sine(grid), 0.1)
    return {"parameters": num_parameters(built), "arguments": built.arguments}
