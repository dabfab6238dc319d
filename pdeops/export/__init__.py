"""Programs of trained operators that run without pdeops: torch.export (.pt2) and ONNX.

`program.py` traces an operator on one grid, `formats.py` writes and reads the two formats,
`description.py` says what the input and the output are, and `run.py` exports a run and compares
each written file with the operator.
"""

from .run import Exported, export_run

__all__ = ["Exported", "export_run"]
