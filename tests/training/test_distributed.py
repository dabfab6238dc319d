"""Two processes take the steps that one takes at the same global batch."""

import io
import os
import pickle
import shutil
from functools import partial

import pytest
import torch

from pdeops.training import checkpoint, distributed
from pdeops.training.shards import _PlainUnpickler

FAST = ("float64-26", "slabs and shards")  # the first has ranks without samples


@pytest.fixture(scope="module")
def one_and_two(job, start, tmp_path_factory):
    """one_and_two(name): the folders of a job on one process and on two. All that a test run needs
    of the fast jobs, or of the others, is trained at the first call."""
    folders = {}

    def trained(name):
        names = [n for n in job.RANKS if (n in FAST) is (name in FAST)]
        if name not in folders:
            folder = tmp_path_factory.mktemp("ranks")
            process = start("ranks", folder / "two", "--names", *names)
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0, output
            job.train_on_ranks(folder / "one", names)
            folders.update({n: (folder / "one" / n, folder / "two" / n) for n in names})
        return folders[name]

    return trained


def rows(*names):
    """Parameters of a test, the jobs of the slow suite marked."""
    return [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in names]


@pytest.mark.parametrize("name", rows("float32-26", "float32-27", "float64-26", "float64-27"))
def test_two_ranks_equal_one_after_20_steps(job, one_and_two, name):
    rtol = 1e-12 if "float64" in name else 1e-6
    one, two = (checkpoint.load(folder / "checkpoints" / "last.pt") for folder in one_and_two(name))
    assert one["schedule"]["last_epoch"] == two["schedule"]["last_epoch"] == 20
    assert (len(one["rng"]), len(two["rng"])) == (1, 2)
    for name, weight in one["model"].items():
        difference = (two["model"][name] - weight).norm() / weight.norm()
        assert difference <= rtol, f"{name} differs by {difference:.1e}"
    assert one["model"]["phase"].is_complex()
    assert (one["model"]["phase"] - 1).imag.norm() > 1e-3
    moved = job.Net(dropout=0.0).spectral.weight - one["model"]["spectral.weight"]
    assert moved.norm() > 0.1  # or the comparison would be idle
    for ours, theirs in zip(one["rows"], two["rows"], strict=True):
        assert theirs["train_loss"] == pytest.approx(ours["train_loss"], rel=10 * rtol)
        assert theirs["error"] == pytest.approx(ours["error"], rel=10 * rtol)
        assert theirs["samples"] == ours["samples"] == 7  # each once, over both shards


@pytest.mark.parametrize("name", rows("sharded", "sharded float32", "slabs", "slabs and shards"))
@pytest.mark.parametrize("weights", ["last", "best"])
def test_two_ranks_that_share_weights_or_fields_equal_one(job, one_and_two, name, weights):
    one, two = (
        checkpoint.load(folder / "checkpoints" / f"{weights}.pt") for folder in one_and_two(name)
    )
    rtol = 1e-5 if "float32" in name else 1e-12
    initial = dict(job.RealNet(dropout=0.0).named_parameters())
    for key, weight in one["model"].items():
        difference = (two["model"][key] - weight).norm()
        assert difference <= rtol * weight.norm(), f"{key} differs by {difference:.1e}"
        if "sharded" in name and key != "unused":
            assert (weight - initial[key]).norm() > 0.01 * weight.norm()
    if weights == "last":
        assert one["schedule"]["last_epoch"] == two["schedule"]["last_epoch"] == 20
        assert one["optimizer"]["state"].keys() == two["optimizer"]["state"].keys()
        for ours, theirs in zip(one["rows"], two["rows"], strict=True):
            assert theirs["train_loss"] == pytest.approx(ours["train_loss"], rel=rtol)
            assert theirs.keys() == ours.keys()
            if "error" in ours:
                assert theirs["error"] == pytest.approx(ours["error"], rel=rtol)
        assert sum("error" in row for row in one["rows"]) >= 2


@pytest.mark.parametrize("world", [1, 2, 3, 8])
def test_slices_cover_each_sample_once(monkeypatch, world):
    monkeypatch.setattr(distributed, "world_size", lambda: world)
    for num_samples in range(20):
        seen = []
        for r in range(world):
            monkeypatch.setattr(distributed, "rank", lambda r=r: r)
            part = distributed.my_slice(num_samples)
            assert abs((part.stop - part.start) - num_samples / world) < 1
            seen += range(part.start, part.stop)
        assert seen == list(range(num_samples))


def test_without_torchrun_there_is_one_process(monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    with distributed.process_group("cpu") as device:
        assert device == torch.device("cpu")
        assert (distributed.rank(), distributed.world_size()) == (0, 1)
        assert distributed.all_reduce_sum([1.5, 2.0], device) == [1.5, 2.0]
        assert distributed.gather("a") == ["a"]


def test_a_weight_that_nobody_uses_stays_untouched(one_and_two):
    for folder in one_and_two("float64-26"):
        state = checkpoint.load(folder / "checkpoints" / "last.pt")
        assert torch.equal(state["model"]["unused"], torch.ones(3, dtype=torch.float64))


def test_a_checkpoint_of_parts_is_complete_and_plain(one_and_two, tmp_path):
    """One folder of parts, named by the file; a missing part or foreign code in it is refused."""
    _, two = one_and_two("slabs and shards")
    (parts,) = (two / "checkpoints").glob("*-shards-*")
    assert checkpoint.load_file(two / "checkpoints" / "last.pt")["shards"]["folder"] == parts.name
    for name in ("lost", "foreign", "cut"):
        shutil.copytree(two / "checkpoints", tmp_path / name)
        if name == "lost":
            next((tmp_path / name / parts.name).glob("*.distcp")).unlink()
        else:
            metadata = tmp_path / name / parts.name / ".metadata"
            whole = metadata.read_bytes()
            foreign = pickle.dumps(partial(os.mkdir, str(tmp_path / "made")))
            metadata.write_bytes(foreign if name == "foreign" else whole[: len(whole) // 2])
        reason = {"lost": "there is no", "foreign": "no plain data", "cut": ""}[name]
        with pytest.raises(ValueError, match=f"is missing or damaged .*{reason}"):
            checkpoint.load(tmp_path / name / "last.pt")


def test_a_whole_checkpoint_replaces_one_of_parts(one_and_two, tmp_path):
    _, two = one_and_two("slabs and shards")
    shutil.copytree(two / "checkpoints", tmp_path / "checkpoints")
    last = tmp_path / "checkpoints" / "last.pt"
    whole = checkpoint.load(last)
    del whole["format"], whole["format_version"]
    checkpoint.save_together(last, whole)
    assert not list(last.parent.glob("*-shards-*"))
    again = checkpoint.load(last)
    assert all(torch.equal(w, again["model"][name]) for name, w in whole["model"].items())


def test_a_sum_counts_the_samples_of_a_team_once(monkeypatch):
    """Two teams of two processes; the sum over a slice of samples is 3 in one team and 4 in the
    other, on both of its processes."""
    device = torch.device("cpu")
    monkeypatch.setattr(distributed, "all_reduce_sum", lambda values, _: [3.0 + 3.0 + 4.0 + 4.0])
    monkeypatch.setattr(distributed, "team_size", lambda: 2)
    assert distributed.sum_over_samples([3.0], device) == [7.0]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("torch\nstrided", True),
        ("torch\npreserve_format", True),
        ("torch.distributed.checkpoint.metadata\nBytesStorageMetadata", True),
        ("torch.distributed.checkpoint.filesystem\n_StoragePrefix", True),
        ("torch\nload", False),
        ("torch.distributed.checkpoint.metadata\nfield", False),
        ("torch.distributed.checkpoint.filesystem\nFileSystemWriter", False),
        ("os\nsystem", False),
    ],
)
def test_metadata_name_plain_data_of_any_version_of_torch(name, plain):
    """Versions differ in the records, which a pickle names by module and class."""
    reader = _PlainUnpickler(io.BytesIO(f"c{name}\n.".encode()))
    if plain:
        assert reader.load() is not None
    else:
        with pytest.raises(pickle.UnpicklingError, match="no plain data"):
            reader.load()
