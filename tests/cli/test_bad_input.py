"""Bad input: a clear message, exit status not 0, no traceback, nothing half-written or lost."""

import pickle
import resource
import shutil
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
import scipy.io
import torch

GENERATE = ("data", "generate", "darcy", "--kind", "piecewise", "--resolution", "17", "--seed", "0")


def refused(done, *words):
    """The command failed as an error of the user's, and its message has these words."""
    assert done.status not in (0, None), done.stdout
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def settings(workshop, *more):
    pairs = (f"data.train={workshop.train}", "data.validation=2", "model.hidden_channels=4", *more)
    return [part for pair in pairs for part in ("--set", pair)]


def train(pdeops, workshop, out, *more):
    small = ("model.n_modes=[8,8]", *more)
    arguments = settings(workshop, *small)
    return pdeops("train", "fno_darcy65", *arguments, "--epochs", 1, "--out", out)


@pytest.fixture
def broken(workshop, tmp_path):
    """Data files that are none, by name."""
    html = tmp_path / "html.h5"
    html.write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    truncated = tmp_path / "truncated.h5"
    whole = workshop.train.read_bytes()
    truncated.write_bytes(whole[: len(whole) // 2])
    nan = tmp_path / "nan.h5"
    shutil.copy(workshop.train, nan)
    with h5py.File(nan, "r+") as file:
        file["pressure"][3, 4, 5] = float("nan")
    return {"html": html, "truncated": truncated, "nan": nan, "missing": tmp_path / "missing.h5"}


@pytest.mark.parametrize(
    ("which", "words"),
    [
        ("missing", ["missing.h5"]),
        ("html", ["html.h5", "HTML"]),
        ("truncated", ["truncated"]),
        ("nan", ["nan.h5", "pressure", "3"]),
    ],
)
def test_bad_training_file(pdeops, workshop, broken, tmp_path, which, words):
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, f"data.train={broken[which]}"), *words)
    assert not out.exists()


@pytest.mark.parametrize("which", ["missing", "html", "truncated"])
def test_bad_file_to_evaluate_predict_or_inspect(pdeops, workshop, broken, tmp_path, which):
    name = f"{which}.h5"
    refused(pdeops("evaluate", workshop.run, "--data", broken[which]), name)
    out = tmp_path / "prediction.h5"
    refused(pdeops("predict", workshop.run, "--data", broken[which], "--out", out), name)
    assert not out.exists()
    refused(pdeops("data", "inspect", broken[which]), name)


class Trace:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


def mat(path, **arrays):
    scipy.io.savemat(path, arrays, do_compression=True)


def write_html(folder):
    (folder / "a.mat").write_text("<!DOCTYPE html><html>Quota exceeded</html>")
    return folder / "a.mat"


def write_truncated(folder):
    mat(folder / "a.mat", coeff=FIELD, sol=FIELD)
    whole = (folder / "a.mat").read_bytes()
    (folder / "a.mat").write_bytes(whole[: len(whole) // 2])
    return folder / "a.mat"


def write_truncated_73(folder):
    text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512)
    with h5py.File(folder / "a.mat", "w", userblock_size=512) as file:
        file["coeff"] = FIELD
    whole = text + (folder / "a.mat").read_bytes()[512:]
    (folder / "a.mat").write_bytes(whole[: len(whole) // 2])
    return folder / "a.mat"


def write_other_names(folder):
    mat(folder / "a.mat", permeability=FIELD, pressure=FIELD)
    return folder / "a.mat"


def write_complex(folder):
    np.savez(folder / "a.npz", coeff=FIELD + 1j, sol=FIELD)
    return folder / "a.npz"


def write_other_lengths(folder):
    np.savez(folder / "a.npz", coeff=FIELD, sol=FIELD[:5])
    return folder / "a.npz"


def write_objects(folder):
    np.savez(folder / "a.npz", coeff=np.array([Trace(folder / "trace")]), sol=FIELD)
    return folder / "a.npz"


def write_pickle(folder):
    (folder / "a.npz").write_bytes(pickle.dumps({"coeff": Trace(folder / "trace")}))
    return folder / "a.npz"


def write_torch_code(folder):
    torch.save({"x": Trace(folder / "trace"), "y": torch.zeros(3, 4)}, folder / "a.pt")
    return folder / "a.pt"


FIELD = np.random.default_rng(0).random((12, 17, 17))

# What is wrong with a foreign file -> (who writes it, words of the answer).
FOREIGN = {
    "html": (write_html, ["HTML", "Download it again"]),
    "truncated": (write_truncated, ["damaged MATLAB file"]),
    "truncated 7.3": (write_truncated_73, ["damaged MATLAB file"]),
    "complex": (write_complex, ["complex", "real and imaginary part"]),
    "other lengths": (write_other_lengths, ["same samples", "12", "5"]),
    "objects": (write_objects, ["Python objects"]),
    "pickle": (write_pickle, ["pickle", "not read"]),
    "torch code": (write_torch_code, ["could run code"]),
}


@pytest.mark.parametrize("wrong", [*FOREIGN, "other names"])
def test_bad_foreign_file_to_train(pdeops, workshop, tmp_path, wrong):
    write, words = FOREIGN.get(wrong) or (write_other_names, ["data convert", "pressure"])
    path, out = write(tmp_path), tmp_path / "run"
    refused(train(pdeops, workshop, out, f"data.train={path}"), path.name, *words)
    assert not out.exists()
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("wrong", FOREIGN)
def test_bad_foreign_file_to_convert(pdeops, tmp_path, wrong):
    write, words = FOREIGN[wrong]
    path, out = write(tmp_path), tmp_path / "own.h5"
    names = ("x", "y") if wrong == "torch code" else ("coeff", "sol")
    named = ("--input", names[0], "--target", names[1])
    for arguments in ((), named):
        refused(pdeops("data", "convert", path, out, *arguments), *words)
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name]


def test_a_73_file_with_a_wrong_extension_is_read(pdeops, workshop, tmp_path):
    """Not refused: the content says what it is."""
    path = tmp_path / "train.csv"
    with h5py.File(path, "w", userblock_size=512) as file:
        for name in ("coeff", "sol"):
            file[name] = FIELD.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    path.write_bytes(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(512) + path.read_bytes()[512:])
    inspected = pdeops("data", "inspect", path, "--json").json
    assert (inspected["container"], inspected["samples"]) == ("MATLAB", 12)
    done = train(pdeops, workshop, tmp_path / "run", f"data.train={path}", "data.test=none.h5")
    assert done.status == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--input", "permeabilty", "--target", "pressure"), ["Did you mean 'permeability'"]),
        (("--input", "permeability"), ["at least one input and one target"]),
        (("--axes", "sample,x,y"), ["name those too"]),
        (("--extent", "wide"), ["--extent", "'wide'"]),
        (("--boundary", "perodic"), ["periodic", "dirichlet"]),
        (("--boundary", "periodic", "--placement", "endpoints"), ["periodic", "placement"]),
        (("--dtype", "float16"), ["float32, float64"]),
        (("--axes", "x,y"), ["3 axes", "2 names"]),
        (("--axes", "sample,x,y", "--axes", "x,y,sample"), ["once for all arrays"]),
        (("--axes", "sample,x,y", "--axes", "pressure=x,y,sample"), ["NAME="]),
        (("--axes", "sample,x,y,channel"), ["3 axes", "4 names"]),
        (("--stride", "7"), ["stride of 7", "17 x 17 nodes", "one of 2, 4, 8, 16"]),
        (("--stride", "two"), ["--stride", "integer"]),
    ],
)
def test_bad_arguments_to_convert(pdeops, tmp_path, arguments, words):
    source, out = write_other_names(tmp_path), tmp_path / "own.h5"
    if "--input" not in arguments and words != ["name those too"]:
        arguments = ("--input", "permeability", "--target", "pressure", *arguments)
    refused(pdeops("data", "convert", source, out, *arguments), *words)
    assert list(tmp_path.iterdir()) == [source]


def test_converted_data_are_not_overwritten(pdeops, workshop, tmp_path):
    before = workshop.test.read_bytes()
    refused(pdeops("data", "convert", write_other_names(tmp_path), workshop.test), "exists")
    assert workshop.test.read_bytes() == before


def test_wrong_shapes_between_train_and_test(pdeops, workshop, tmp_path):
    other = tmp_path / "other.pt"
    torch.save({"x": torch.randn(4, 2, 16, 16) > 0, "y": torch.ones(4, 1, 16, 16)}, other)
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, f"data.test={other}"), "other.pt", "channels")
    assert not out.exists()
    refused(pdeops("evaluate", workshop.run, "--data", other), "channel")


def test_another_resolution_is_asked_for_not_slipped_in(pdeops, workshop, tmp_path):
    """A recipe's test file has the training grid; `evaluate --data` takes any resolution."""
    fine = tmp_path / "fine.h5"
    arguments = ("--samples", 2, "--resolution", 33, "--seed", 1, "--out", fine)
    assert pdeops("data", "generate", "darcy", *arguments).status == 0
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, f"data.test={fine}"), "fine.h5", "resolution")
    assert not out.exists()
    assert pdeops("evaluate", workshop.run, "--data", fine, "--json").json["samples"] == 2


def test_unknown_recipe(pdeops):
    refused(pdeops("train", "mgno_darcy56"), "mgno_darcy56", "mgno_darcy65")


def test_unknown_key(pdeops, workshop, tmp_path):
    done = train(pdeops, workshop, tmp_path / "run", "optimizer.learningrate=1")
    refused(done, "learningrate", "lr")
    done = train(pdeops, workshop, tmp_path / "run", "trainin.epochs=1")
    refused(done, "trainin", "training")


def test_unknown_kind_and_problem(pdeops, tmp_path):
    out = tmp_path / "d.h5"
    arguments = ("--samples", 2, "--resolution", 17, "--out", out)
    refused(pdeops("data", "generate", "darcy", "--kind", "picewise", *arguments), "piecewise")
    refused(pdeops("data", "generate", "darci", *arguments), "darcy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("samples", [0, -3])
def test_no_samples(pdeops, tmp_path, samples):
    refused(pdeops(*GENERATE, "--samples", samples, "--out", tmp_path / "d.h5"), "samples")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("resolution", "word"),
    [
        ("2", "at least 3 nodes"),
        ("abc", "resolution"),
        ("17,17,17", "resolution"),
        ("0", "at least 2 node"),
    ],
)
def test_bad_resolution(pdeops, tmp_path, resolution, word):
    arguments = ("--samples", 2, "--resolution", resolution, "--out", tmp_path / "d.h5")
    refused(pdeops("data", "generate", "darcy", *arguments), word)
    assert not list(tmp_path.iterdir())


def test_existing_data_are_not_overwritten(pdeops, workshop):
    before = workshop.train.read_bytes()
    refused(pdeops(*GENERATE, "--samples", 2, "--out", workshop.train), "exists")
    assert workshop.train.read_bytes() == before


def test_checkpoint_of_another_format(pdeops, workshop, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(workshop.run, run)
    file = run / "checkpoints" / "best.pt"
    state = torch.load(file, weights_only=True)
    torch.save({**state, "format_version": 99}, file)
    refused(pdeops("evaluate", run), "99", "format")


def test_modes_larger_than_the_grid(pdeops, workshop, tmp_path):
    out = tmp_path / "run"
    refused(train(pdeops, workshop, out, "model.n_modes=[64,64]"), "64", "mode")
    assert not out.exists()


def test_targets_in_different_units_are_not_pooled(pdeops, workshop, tmp_path):
    """By RelativeL2 the depth in metres would be all that is learnt, and by its metric measured."""
    data, out = tmp_path / "sphere.h5", tmp_path / "run"
    small = ("degree=10", "num_waves=4", "viscosity=1e17", "t_end=1", "num_frames=1", "dt=600")
    sets = [part for pair in small for part in ("--set", pair)]
    sphere = ("data", "generate", "shallow_water", "--resolution", "17,32", "--seed", "0")
    assert pdeops(*sphere, "--samples", 4, *sets, "--out", data).status in (0, None)
    here = [f"data.train={data}", "training.batch_size=2"]
    here += ["data.symmetries=false", "data.average_symmetries=false"]
    here += ["model.name=NeuralopSFNO", "model.n_modes=[8,8]"]
    refused(train(pdeops, workshop, out, *here), "1/s, m", "loss.name = 'PerChannel'")
    assert not out.exists()
    done = train(pdeops, workshop, out, *here, "loss.name=PerChannel")
    assert done.status in (0, None), done.stderr
    header = (out / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "vrmse" in header
    assert "relative_l2" not in header


def test_output_folder_that_holds_a_run(pdeops, workshop):
    before = (workshop.run / "metrics.csv").read_bytes()
    refused(train(pdeops, workshop, workshop.run), "already holds a run", "--resume")
    assert (workshop.run / "metrics.csv").read_bytes() == before


def test_a_folder_without_a_run(pdeops, tmp_path):
    for verb in (("evaluate",), ("compare",), ("train", "--resume")):
        refused(pdeops(*verb, tmp_path), "no run")


def test_resume_takes_nothing_else(pdeops, workshop):
    refused(pdeops("train", "fno_darcy65", "--resume", workshop.run), "--resume")


def test_a_run_that_fails_before_its_first_checkpoint_leaves_nothing(pdeops, workshop, tmp_path):
    out = tmp_path / "run"
    done = train(pdeops, workshop, out, "optimizer.lr=1e30", "training.batch_size=5")
    refused(done, "not finite", "epoch 1")
    assert not out.exists()


def test_full_disk_while_training(pdeops, workshop, tmp_path, full_disk):
    """No checkpoint fits: a clear error, and no folder that claims to hold a run."""
    out = tmp_path / "run"
    with full_disk(9000):
        done = train(pdeops, workshop, out)
    refused(done, "Could not write the checkpoint")
    assert not out.exists()


def restrict_files_to(num_bytes):
    """The file-size limit plays the full disk; SIGXFSZ would kill, a clear error is wanted. Use it
    with python -B: bytecode in __pycache__ would end at the limit, and stay."""

    def restrict():
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    return restrict


def test_full_disk_while_generating(tmp_path):
    out = tmp_path / "d.h5"
    command = [sys.executable, "-B", "-m", "pdeops.cli", *GENERATE, "--samples", "400"]
    command += ["--out", str(out)]
    full = restrict_files_to(200_000)
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=full, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "error:" in done.stderr
    assert not out.exists()
