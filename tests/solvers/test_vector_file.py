"""Files of a count and numbers: read as written, and nothing else taken for one."""

import numpy as np
import pytest
import torch

from pdeops.solvers import read_vector


def written(path, values, count=None):
    values = np.asarray(values, dtype="<f8")
    count = np.array([len(values) if count is None else count], dtype="<u8")
    path.write_bytes(count.tobytes() + values.tobytes())
    return path


def test_reads_what_was_written(tmp_path, generator):
    u = torch.randn(100, generator=generator, dtype=torch.float64)
    assert torch.equal(read_vector(written(tmp_path / "b.bin", u.numpy())), u)
    assert read_vector(str(written(tmp_path / "none.bin", []))).shape == (0,)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it has 0 bytes"),
        (b"abc", "it has 3 bytes"),
        (np.arange(4.0).tobytes(), "it has 32 bytes, and n = 0"),
        (np.array([7], dtype="<u8").tobytes() + bytes(48), "it has 56 bytes, and n = 7"),
        (np.array([1], dtype="<u8").tobytes() + bytes(12), "it has 20 bytes, and n = 1"),
        (np.array([1], dtype=">u8").tobytes() + bytes(8), f"and n = {1 << 56}"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    path = tmp_path / "b.bin"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"b\.bin is no vector: .*{message}"):
        read_vector(path)


def test_numbers_that_are_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="holds NaN or infinity"):
        read_vector(written(tmp_path / "b.bin", [1.0, np.nan]))
    with pytest.raises(FileNotFoundError):
        read_vector(tmp_path / "absent.bin")


def test_right_hand_sides_of_a_flow_solver(shared_data):
    b = read_vector(shared_data / "dcdm" / "div_v_star_N63_10.bin")
    assert b.shape == (64**3,)
    assert b.norm().item() == pytest.approx(0.0133, abs=5e-5)
