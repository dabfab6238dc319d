"""`pdeops models`: list the models that can be trained."""

from typing import Any

from .output import Json, emit, rows


def command(json: Json = False) -> None:
    """List the models with their task, summary, number of parameters and shipped recipes.

    Parameters are counted with default arguments and one input and one output channel. Operators
    are built on the first grid they accept: 128 x 128 nodes, then the sizes of published models,
    then a sphere. Networks inside solvers need no grid and are built for two axes. --json adds the
    grid and the default arguments.

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
                    "summary": (inspect.getdoc(model) or "").split("\n")[0],
                    **_at_defaults(model),
                    "recipes": [],
                }
            lines[name]["tasks"].append(task.name)
    for recipe in shipped_recipes():
        lines[load_recipe(recipe).model.name]["recipes"].append(recipe)
    if json:
        emit(lines, as_json=True)
        return
    rows(
        ("model", "trained by task", "what it is", "parameters", "recipes"),
        [
            (
                name,
                line["tasks"],
                line["summary"],
                "-" if line["parameters"] is None else f"{line['parameters']:,}",
                [recipe.removesuffix(".toml") for recipe in line["recipes"]],
            )
            for name, line in lines.items()
        ],
    )


def _at_defaults(model: Any) -> dict[str, Any]:
    """Number of parameters, grid and arguments of a model built with its defaults."""
    import torch

    from ..domain import Grid, Sphere
    from ..models import CORRECTIONS
    from ..nn.domains import check_domain
    from ..nn.parameters import num_parameters

    boxes = [Grid((n, n)) for n in (128, 64, 101, 211)]
    given: list[tuple[Any, ...]] = [(1, 1, domain) for domain in (*boxes, Sphere((65, 128)))]
    if model in CORRECTIONS.values():
        given = [(2,)]
    for arguments in given:
        try:
            if len(arguments) > 1:
                check_domain(model, arguments[2])
            with torch.device("meta"):  # shapes alone, no memory and no random numbers
                built = model(*arguments)
        except ValueError:
            continue
        return {
            "parameters": num_parameters(built),
            "grid": list(arguments[2].shape) if len(arguments) > 1 else None,
            "arguments": built.arguments,
        }
    return {"parameters": None, "grid": None, "arguments": None}
