"""`pdeops models`: what can be trained."""

from typing import Any

from .output import Json, emit, rows


def command(json: Json = False) -> None:
    """List the models: what each is, its size at the defaults, and the recipes that train it.

    Parameters are counted with one channel in and out, on the first grid that the model accepts
    of 128 x 128 nodes, the sizes that published models are tied to, and a sphere; --json names it,
    and the arguments with their defaults. Networks inside solvers know no grid: in 2D.
    """
    import inspect

    from ..models import CORRECTIONS, MODELS
    from ..runs.recipe import load_recipe, shipped_recipes

    models = {**MODELS, **CORRECTIONS}
    recipes: dict[str, list[str]] = {name: [] for name in models}
    for recipe in shipped_recipes():
        recipes[load_recipe(recipe).model.name].append(recipe)
    lines = {
        name: {
            "summary": (inspect.getdoc(cls) or "").split("\n")[0],
            **(_at_defaults(cls) if name in MODELS else _in_a_solver(cls)),
            "recipes": recipes[name],
        }
        for name, cls in models.items()
    }
    if json:
        emit(lines, as_json=True)
        return
    rows(
        ("model", "what it is", "parameters", "recipes"),
        [
            (
                name,
                line["summary"],
                "-" if line["parameters"] is None else f"{line['parameters']:,}",
                [recipe.removesuffix(".toml") for recipe in line["recipes"]],
            )
            for name, line in lines.items()
        ],
    )


def _at_defaults(cls: Any) -> dict[str, Any]:
    """Parameters and arguments of a model built with its defaults, and the grid it was built on."""
    import torch

    from ..domain import Grid, Sphere
    from ..models import check_domain
    from ..nn.parameters import num_parameters

    boxes = [Grid((n, n)) for n in (128, 64, 101, 211)]
    grids: list[Grid | Sphere] = [*boxes, Sphere((65, 128))]
    for grid in grids:
        try:
            check_domain(cls, grid)
            with torch.device("meta"):  # shapes alone, no memory and no random numbers
                model = cls(1, 1, grid)
        except ValueError:
            continue
        return {
            "parameters": num_parameters(model),
            "grid": list(grid.shape),
            "arguments": model.arguments,
        }
    return {"parameters": None, "grid": None, "arguments": None}


def _in_a_solver(cls: Any) -> dict[str, Any]:
    """The same for a network inside a solver."""
    import torch

    from ..nn.parameters import num_parameters

    with torch.device("meta"):
        model = cls(ndim=2)
    return {"parameters": num_parameters(model), "grid": None, "arguments": model.arguments}
