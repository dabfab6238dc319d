"""The job that the tests of training share, as a module and as a subprocess."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).with_name("job.py")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def job():
    """The module job.py."""
    spec = importlib.util.spec_from_file_location("training_job", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def start():
    """Start job.py as a process of its own (its own session, like a terminal's group)."""

    def popen(*arguments, **options):
        environment = os.environ | {
            "OMP_NUM_THREADS": "1",
            "GLOO_SOCKET_IFNAME": "lo",
            "PYTHONPATH": str(ROOT),
        }
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), *map(str, arguments)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            **options,
        )

    return popen


@pytest.fixture(scope="session")
def whole_run(job, tmp_path_factory):
    """The uninterrupted run that every resumed one must equal."""
    torch.set_num_threads(1)  # as in every test: sums over two threads round differently
    folder = tmp_path_factory.mktemp("whole")
    trainer = job.make_trainer(folder)
    history = trainer.fit()
    assert history.reason == "finished"
    return folder
