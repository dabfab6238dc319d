"""`pdeops models`: what can be trained."""

from .output import Json, emit, rows


def command(json: Json = False) -> None:
    """List the models, what each one is, and the recipes that train it."""
    import inspect

    from ..models import MODELS
    from ..recipe import Recipe, shipped_recipes

    recipes: dict[str, list[str]] = {name: [] for name in MODELS}
    for name in shipped_recipes():
        recipes[Recipe.load(name).model.name].append(name)
    lines = {
        name: {"summary": (inspect.getdoc(cls) or "").split("\n")[0], "recipes": recipes[name]}
        for name, cls in MODELS.items()
    }
    if json:
        emit(lines, as_json=True)
    else:
        rows(
            ("model", "what it is", "recipes"),
            [(name, line["summary"], line["recipes"]) for name, line in lines.items()],
        )
