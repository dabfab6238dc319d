"""What training imports: nothing that knows a model or a file."""

import ast
from pathlib import Path

import pdeops.training

FOLDER = Path(pdeops.training.__file__).parent


def test_training_knows_no_model_no_data_set_and_no_equation():
    allowed = {"batch", "nearest"}
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert node.module in allowed, f"{file.name}:{node.lineno}: {node.module}"
