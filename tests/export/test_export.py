"""Programs of operators: they equal the operator, for any batch, and run without pdeops."""
# Axes: b batch, t time, c channel, *space nodes.

import dataclasses
import hashlib
import json
import math
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from pdeops.datasets import problem_named
from pdeops.domain import Grid, Points, Sphere
from pdeops.export import export_run, formats, run
from pdeops.export.description import describe
from pdeops.export.program import inputs, scaled_shape
from pdeops.models import MODELS
from pdeops.nn.operator import Operator
from pdeops.normalizer import Normalizer

pytestmark = pytest.mark.usefixtures("shapes_unchecked")

SQUARE = Grid((32, 32))
TORUS = Grid((32, 32), 2 * math.pi, "periodic")
FRAMES = {"times_in": [-0.1, 0.0], "times_out": [0.1, 0.2, 0.3]}
SMALL = {"hidden_channels": 8}
# model, domain, arguments; channels and frames; whether ONNX has its operators
ROWS = {
    "FNO": ("FNO", SQUARE, {"n_modes": (8, 8), "n_layers": 2, **SMALL}, 1, None, True),
    "FNO of one layer": (
        *("FNO", SQUARE, {"n_modes": (4, 4), "n_layers": 1, "hidden_channels": 4}),
        *(1, None, True),
    ),
    "FNO in 1D by FFT": ("FNO", Grid((1100,)), {"n_modes": (80,), **SMALL}, 1, None, True),
    "MgNO": ("MgNO", SQUARE, {"n_layers": 2, **SMALL}, 1, None, True),
    "PublishedMgNO": ("PublishedMgNO", SQUARE, {"n_layers": 2, **SMALL}, 1, None, True),
    "LSM": ("LSM", SQUARE, {"levels": 3, **SMALL}, 1, None, True),
    "U-Net": ("LSM", SQUARE, {"levels": 3, "num_tokens": 0, **SMALL}, 1, None, True),
    "PublishedLSM": (
        *("PublishedLSM", Grid((41, 41)), {"variant": "elasticity_grid", **SMALL}, 1, None),
        True,
    ),
    "Transolver": ("Transolver", SQUARE, {"n_layers": 2, **SMALL}, 1, None, True),
    "SpatiotemporalFNO": (
        "SpatiotemporalFNO",
        TORUS,
        {"n_modes": (8, 8), **SMALL},
        1,
        FRAMES,
        True,
    ),
    "SpatiotemporalFNO on a sphere": (
        *("SpatiotemporalFNO", Sphere((17, 32)), {"n_modes": (8, 16), **SMALL}, 1, FRAMES),
        True,
    ),
    "SpatiotemporalFNO without divergence": (
        *("SpatiotemporalFNO", TORUS, {"n_modes": (8, 8), "divergence_free": True, **SMALL}),
        *(2, FRAMES, False),
    ),
    "NeuralopFNO": ("NeuralopFNO", TORUS, {"n_modes": (8, 8), **SMALL}, 1, None, False),
    "NeuralopTFNO": ("NeuralopTFNO", TORUS, {"n_modes": (8, 8), **SMALL}, 1, None, False),
    "NeuralopUNO": ("NeuralopUNO", TORUS, {"uno_n_modes": ((8, 8),) * 5, **SMALL}, 1, None, False),
    "NeuralopSFNO": (
        "NeuralopSFNO",
        Sphere((17, 32)),
        {"n_modes": (8, 16), **SMALL},
        1,
        None,
        False,
    ),
}
REFUSED = {"PointLSM", "PublishedPointLSM"}  # on points; Transolver there too

# Importing pdeops raises; the program sees fields, and gives what the operator gave.
ELSEWHERE = """
import sys
sys.modules["pdeops"] = None
import torch
file, fields = sys.argv[1:]
extra = {"pdeops": ""}
program = torch.export.load(file, extra_files=extra).module()
x, y = torch.load(fields)
assert "pdeops" not in {name.split(".")[0] for name in sys.modules if sys.modules[name]}
print(((program(x) - y).norm() / y.norm()).item())
print(extra["pdeops"])
"""


def finished(name, folder):
    """A run that was not trained, with normalizers that are not the identity."""
    model, domain, arguments, channels, times, _ = ROWS[name]
    (folder / "recipe.toml").write_text('task = "supervised"\n')
    torch.manual_seed(0)
    network = MODELS[model](channels, channels, domain, **arguments, **(times or {}))
    scales = [
        Normalizer(torch.full((channels,), mean), torch.full((channels,), std))
        for mean, std in ((3.0, 2.0), (-1.0, 0.1))
    ]
    frames = {"n_in": 2, "n_out": 3} if times else {"n_in": None, "n_out": None}
    return SimpleNamespace(
        task="supervised",
        operator=Operator(network, *scales, **frames).eval(),
        domain=domain,
        recipe=SimpleNamespace(model=SimpleNamespace(name=model), name="row"),
        spec=None,
        in_channels=channels,
        folder=folder,
        **frames,
    )


def sizes_of(domain):
    return [scaled_shape(domain, factor) for factor in run.SCALES]


def test_every_model_on_a_grid_has_a_row():
    assert {row[0] for row in ROWS.values()} | REFUSED == set(MODELS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return finished("FNO of one layer", tmp_path_factory.mktemp("made"))


@pytest.fixture(scope="module")
def one_program(made):
    (written,) = export_run(made, sizes=[(17,)], out=made.folder / "fno.pt2")
    return made, written


@pytest.mark.slow
def test_runs_where_pdeops_cannot_be_imported(one_program, tmp_path):
    made, written = one_program
    x = inputs(made.operator, (17, 17), 1, batch=4, seed=9)
    with torch.no_grad():
        torch.save((x, made.operator(x)), tmp_path / "fields.pt")
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, written.file, tmp_path / "fields.pt"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    difference, description = done.stdout.splitlines()
    assert float(difference) < 1e-6
    assert written.difference < 1e-6
    known = json.loads(description)
    assert known["domain"] == Grid((17, 17)).to_dict()
    recipe = (made.folder / "recipe.toml").read_bytes()
    assert known["recipe"] == {"name": "row", "sha256": hashlib.sha256(recipe).hexdigest()}
    assert known["input"] == {
        "axes": ["batch", "channel", "x", "y"],
        "shape": [None, 1, 17, 17],
        "channels": None,
    }


@pytest.mark.slow
def test_a_difference_above_the_tolerance_leaves_no_file(one_program, tmp_path, monkeypatch):
    """The program of another operator: read back, it is compared with the one of the run."""
    made, written = one_program
    program = formats.FORMATS["pt2"].read(Path(written.file))
    monkeypatch.setattr(run, "trace", lambda operator, x: None)

    def exported(factor, out):
        form = dataclasses.replace(
            formats.FORMATS["pt2"],
            write=lambda program, x, description, file: file.touch(),
            read=lambda file: lambda x: factor * program(x),
        )
        monkeypatch.setitem(formats.FORMATS, "pt2", form)
        (found,) = export_run(made, sizes=[(17,)], out=out)
        return found

    accepted = exported(1 + 4e-6, tmp_path / "accepted.pt2")
    assert accepted.difference == pytest.approx(4e-6, rel=0.1)
    with pytest.raises(ValueError, match=r"differs from the operator by 4.0e-05"):
        exported(1 + 4e-5, tmp_path / "refused.pt2")
    assert [file.name for file in tmp_path.iterdir()] == ["accepted.pt2"]


def test_the_difference_is_that_of_each_channel():
    """A small channel with an error of half its size does not hide behind a large one."""
    y = torch.stack([torch.full((4, 4), 1e6), torch.ones(4, 4)])[None]
    p = y.clone()
    p[:, 1] += 0.5
    assert run.difference(p, y, 2) == pytest.approx(0.5)
    p[0, 1, 0, 0] = math.nan
    assert run.difference(p, y, 2) == math.inf


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"task": "equation"}, {}, "tasks supervised and rollout"),
        ({"domain": Points(2, torch.rand(2, 9))}, {}, "trained on points"),
        ({}, {"file_format": "tflite"}, "use pt2 or onnx"),
        ({}, {"out": "program.onnx"}, "ends in .pt2"),
        ({}, {"sizes": [(17, 17, 17)]}, "boundary needs one value, or one per axis"),
    ],
)
def test_what_cannot_be_exported(made, change, options, message):
    with pytest.raises(ValueError, match=message):
        export_run(SimpleNamespace(**{**vars(made), **change}), **options)


def test_an_existing_file_is_kept(made, tmp_path):
    file = tmp_path / "mine.pt2"
    file.write_text("mine")
    with pytest.raises(ValueError, match=r"mine\.pt2 exists"):
        export_run(made, sizes=[(17,)], out=file)
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("problem", "input_names", "output_names"),
    [
        (problem_named("darcy", "piecewise"), ["permeability"], ["pressure"]),
        (problem_named("shallow_water"), *2 * [["height", "vorticity", "divergence"]]),
    ],
)
def test_channels_have_their_names_and_units(made, problem, input_names, output_names):
    spec = problem.spec(problem.grid((17, 32)), 0, 2)
    channels = len(input_names)
    operator = SimpleNamespace(
        output_normalizer=Normalizer.identity(len(output_names)),
        parameters=made.operator.parameters,
        has_time=False,
    )
    known = {"operator": operator, "spec": spec, "domain": spec.domain, "in_channels": channels}
    plain = json.loads(json.dumps(describe(SimpleNamespace(**{**vars(made), **known}), (9, 16))))
    assert [c["name"] for c in plain["input"]["channels"]] == input_names
    assert [c["name"] for c in plain["output"]["channels"]] == output_names
    assert plain["domain"]["shape"] == [9, 16]
    units = {f.name: f.units for f in spec.fields}
    assert {c["name"]: c["units"] for c in plain["input"]["channels"]}.items() <= units.items()
    assert plain["equation"] == spec.equation


def test_onnx_needs_its_packages(made, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ValueError, match=r"pip install 'pdeops\[export\]'"):
        export_run(made, file_format="onnx")


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_every_model_equals_its_operator_at_three_sizes(name, tmp_path):
    made = finished(name, tmp_path)
    accepted = export_run(made)
    assert made.domain.shape in [p.grid for p in accepted]
    assert {p.grid for p in accepted} <= set(sizes_of(made.domain))
    if not {"Published", "Neuralop"} & {name[:9], name[:8]}:  # some sizes are refused by these
        assert len(accepted) == 3
    assert max(p.difference for p in accepted) <= 1e-5
    assert len(list((tmp_path / "export").iterdir())) == len(accepted)


@pytest.mark.slow
@pytest.mark.parametrize("name", ROWS)
def test_onnx_where_it_has_the_operators(name, tmp_path):
    for package in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(package)
    made, sizes = finished(name, tmp_path), [ROWS[name][1].shape]
    if not ROWS[name][-1]:
        with pytest.raises(ValueError, match="ONNX has no operator"):
            export_run(made, file_format="onnx", sizes=sizes)
        assert not list((tmp_path / "export").iterdir())
        return
    (written,) = export_run(made, file_format="onnx", sizes=sizes)
    assert written.difference <= 1e-5

    import onnx

    model = onnx.load(written.file)
    assert json.loads({p.key: p.value for p in model.metadata_props}["pdeops"])["model"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert not {node.op_type for node in model.graph.node} & {"DFT", "STFT"}
