"""Writers and readers of the formats of exported programs."""

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .description import KEY

Program = torch.export.ExportedProgram


@dataclass(frozen=True)
class Format:
    """A format of programs.

    Attributes:
        suffix: of its files.
        write: (program, example input, description, file) writes the file.
        read: file -> a function of fields, as another program would run it.
        tolerance: the largest relative difference from the operator that is accepted. Sums in
            float32 in another order differ by a few units of the seventh digit per layer.
    """

    suffix: str
    write: Callable[[Program, Tensor, Mapping[str, Any], Path], None]
    read: Callable[[Path], Callable[[Tensor], Tensor]]
    tolerance: float


def _write_pt2(program: Program, x: Tensor, description: Mapping[str, Any], file: Path) -> None:
    with quiet():
        torch.export.save(program, file, extra_files={KEY: json.dumps(description)})


def _read_pt2(file: Path) -> Callable[[Tensor], Tensor]:
    with quiet():
        return torch.export.load(file).module()


def _write_onnx(program: Program, x: Tensor, description: Mapping[str, Any], file: Path) -> None:
    require_onnx()
    try:
        with quiet(), torch.no_grad():
            converted: Any = torch.onnx.export(
                program,
                (x,),
                dynamo=True,
                verbose=False,
                input_names=["input"],
                output_names=["output"],
                dynamic_shapes=({0: "batch"},),
            )
    except Exception as error:  # torch.onnx raises errors of many classes
        raise ValueError(
            f"ONNX has no operator for a part of {description['model']}: {_cause(error)}. FNO, "
            f"MgNO, LSM and SpatiotemporalFNO without divergence_free consist of matrix products "
            f"and convolutions; write this model with --format pt2."
        ) from error
    converted.model.metadata_props[KEY] = json.dumps(description)
    converted.save(file)


def _cause(error: BaseException) -> str:
    """The first line of the innermost cause of an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error).splitlines()[0]


def _read_onnx(file: Path) -> Callable[[Tensor], Tensor]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        file.read_bytes(), options, providers=["CPUExecutionProvider"]
    )
    return lambda x: torch.from_numpy(session.run(None, {"input": x.numpy()})[0])


def require_onnx() -> None:
    """Raise a ValueError unless the packages of the extra `export` are installed."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"ONNX needs the packages onnx, onnxscript and onnxruntime, and {error.name} is not "
            f"installed: pip install 'pdeops[export]'. The format pt2 needs torch alone."
        ) from error


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the prints of torch's exporters, and without their warnings about packages that the
    programs do not use."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


FORMATS: dict[str, Format] = {
    "pt2": Format(".pt2", _write_pt2, _read_pt2, 1e-5),
    "onnx": Format(".onnx", _write_onnx, _read_onnx, 1e-5),
}
