"""What training loads: no compiler before it is needed, nothing that knows a model or a file."""

import ast
import subprocess
import sys
from pathlib import Path

import pdeops.training

FOLDER = Path(pdeops.training.__file__).parent

# The gradients of a step without torch.optim, which loads torch._dynamo when it is constructed.
EAGER = """
import sys
import torch
import pdeops.training
from pdeops.batch import Batch
from pdeops.training.ema import EMA
from pdeops.training.objectives import Supervised
model = torch.nn.Linear(3, 2)
batch = Batch(input=torch.ones(4, 3), target=torch.ones(4, 2))
loss = Supervised(torch.nn.functional.mse_loss)(model, batch)
loss.backward()
torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
EMA(model, 0.9).update(model)
with pdeops.training.distributed.process_group("cpu"):
    pass
loaded = {"torch._dynamo", "sympy", "neuralop", "matplotlib"} & set(sys.modules)
assert not loaded, loaded
"""


def test_neither_import_nor_an_eager_step_loads_the_compiler():
    done = subprocess.run([sys.executable, "-c", EAGER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_training_knows_no_model_no_data_set_and_no_equation():
    allowed = {"batch", "nearest"}
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert node.module in allowed, f"{file.name}:{node.lineno}: {node.module}"
