"""From arrays on points to an evaluated model, by commands alone."""

import numpy as np
import pytest

SIZES = ("hidden_channels=8", "n_modes=[4,4]", "latent_shape=[8,8]", "levels=2", "patches=1")


@pytest.fixture
def arrays(tmp_path):
    random = np.random.default_rng(0)
    p = random.random((10, 14, 2))
    mask = np.arange(14) < random.integers(9, 15, (10, 1))
    np.savez(tmp_path / "own.npz", p=p, u=np.sin(3 * p[..., 0]) * p[..., 1], m=mask, w=mask * 1.0)
    return tmp_path


def test_convert_inspect_train_evaluate_predict(pdeops, arrays):
    options = ("--target", "u", "--positions", "p", "--mask", "m", "--weights", "w")
    box = ("--box", "0,0,1,1")
    done = pdeops("data", "convert", arrays / "own.npz", arrays / "a.h5", *options, *box, "--json")
    assert done.status == 0, done.stderr
    assert done.json["grid"]["box"] == [[0, 0], [1, 1]]
    described = pdeops("data", "inspect", arrays / "a.h5", "--json").json["grid_type"]
    assert described.endswith("points in each sample, quadrature weights")
    (arrays / "points.toml").write_text(
        'name = "points"\n[data]\ntrain = "a.h5"\ntest = "a.h5"\n[model]\nname = "PointLSM"\n'
    )
    sets = [part for size in SIZES for part in ("--set", f"model.{size}")]
    done = pdeops(
        "train", arrays / "points.toml", *sets, "--set", f"data.train={arrays / 'a.h5'}",
        "--set", f"data.test={arrays / 'a.h5'}", "--epochs", 1, "--out", arrays / "run",
    )  # fmt: skip
    assert done.status == 0, done.stderr
    report = pdeops("evaluate", arrays / "run", "--json").json
    assert report["integrals"] == "weighted"
    assert 0 < report["relative_l2"] < 2
    printed = pdeops("evaluate", arrays / "run").stdout
    assert {"integrals", "weighted", "unweighted"} <= set(printed.split())  # with its definition
    out = arrays / "p.h5"
    done = pdeops("predict", arrays / "run", "--data", arrays / "a.h5", "--out", out, "--json")
    assert done.status == 0, done.stderr
    assert done.json["samples"] == 10


def test_bad_options(pdeops, arrays):
    done = pdeops(
        "data", "convert", arrays / "own.npz", arrays / "a.h5", "--target", "u",
        "--positions", "p", "--box", "0,0,1",
    )  # fmt: skip
    assert done.status != 0
    assert "--box takes the coordinates" in done.stderr
    done = pdeops("predict", arrays, "--out", arrays / "p.h5", "--grid", "64,64")
    assert done.status != 0
    assert "they predict on the grid or the points of their data" in " ".join(done.stderr.split())
