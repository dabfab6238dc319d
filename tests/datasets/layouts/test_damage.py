"""Files with wrong bytes: they are read, or refused with a message; nothing else is raised."""

import numpy as np
import pytest

from pdeops.datasets import convert, inspect, open_dataset

from .foreign_files import WRITERS, place


def spoiled(content, random):
    """The bytes of a file with up to three others, most of them in its headers, or cut short."""
    changed = bytearray(content)
    for _ in range(random.integers(1, 4)):
        end = min(len(changed), 2500) if random.random() < 0.8 else len(changed)
        changed[random.integers(end)] = random.integers(256)
    return changed[: random.integers(1, len(changed))] if random.random() < 0.2 else changed


@pytest.mark.filterwarnings("ignore")  # of NumPy, scipy and xarray on what they read
@pytest.mark.parametrize("tries", [10, pytest.param(100, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_raise_errors_of_the_user_only(tmp_path, name, tries):
    path, out = tmp_path / "d", tmp_path / "o.h5"
    WRITERS[name][0](path, {"k": place(), "p": place(2.0)})
    file = path / "k.npy" if path.is_dir() else path
    whole, random = file.read_bytes(), np.random.default_rng(sum(map(ord, name)))
    message = []
    for _ in range(tries):
        file.write_bytes(spoiled(whole, random))
        for act in (inspect, lambda p: convert(p, out, inputs=["k"], targets=["p"])):
            try:
                act(path)
            except (ValueError, OSError) as error:
                message.append(str(error))
        out.unlink(missing_ok=True)
        assert [p.name for p in tmp_path.iterdir()] == ["d"]
    assert len(message) >= tries / 10
    assert all(message)


def test_damaged_files_of_the_project(tmp_path, darcy_file):
    path, random = tmp_path / "d.h5", np.random.default_rng(0)
    whole, message = darcy_file.read_bytes(), []
    for _ in range(40):
        path.write_bytes(spoiled(whole, random))
        try:
            open_dataset(path).check()
            inspect(path)
        except (ValueError, OSError) as error:
            message.append(str(error))
    assert len(message) > 5
    assert all(message)
