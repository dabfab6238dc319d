"""`pdeops data generate` for a problem on points of each sample."""

import pytest

from pdeops.datasets import open_dataset

pytest.importorskip("skfem")
SMALL = {"around": 24, "across": 3, "num_waves": 3, "refinement": 1}


def test_the_command_generates_it(pdeops, tmp_path):
    settings = [part for k, v in SMALL.items() for part in ("--set", f"{k}={v}")]
    out = tmp_path / "e.h5"
    done = pdeops("data", "generate", "elasticity", "--samples", 2, *settings, "--out", out)
    assert done.status == 0, done.stderr
    assert len(open_dataset(out)) == 2
    wrong = ("--samples", 1, "--out", tmp_path / "f.h5")
    done = pdeops("data", "generate", "elasticity", *wrong, "--resolution", 65)
    assert done.status != 0
    assert "have no resolution" in done.stderr
    done = pdeops("data", "generate", "darcy", *wrong)
    assert done.status != 0
    assert "--resolution 65" in done.stderr
