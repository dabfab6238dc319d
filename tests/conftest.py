"""Fixtures for all tests. Shapes and types of every signature are enforced from here on."""

import gc
import os
import resource
import sys
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# Compile tests run in a process of their own with JAXTYPING_DISABLE=1: a decorated forward does not
# compile. Numba's kernels cannot be decorated either; their callers check the shapes.
if os.environ.get("JAXTYPING_DISABLE") != "1":
    from jaxtyping import install_import_hook

    rooms = [p.stem for p in (ROOT / "pdeops").iterdir() if not p.name.startswith("_")]
    hooked = [f"pdeops.{room}" for room in rooms if room != "kernels"]
    install_import_hook(hooked, "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402

SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """No garbage is collected while tests are: what is imported and parametrised then stays, and
    each search through it takes a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_sessionfinish():
    gc.unfreeze()  # extension modules report what is left at the end as leaked


@pytest.fixture
def shapes_unchecked():
    """torch.export passes symbolic sizes, which the checks of shapes would fix, and torch.compile
    cannot record the checks."""
    import jaxtyping

    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def fresh_messages():
    """Messages about forms, which appear once in a process, appear again."""
    from pdeops.kernels import forms

    forms.warn_once.cache_clear()
    yield
    forms.warn_once.cache_clear()


@pytest.fixture(scope="session")
def shared_data():
    """The folder of real inputs from elsewhere; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"real data from elsewhere are not beside this checkout ({SHARED_DATA.name}/)")
    return SHARED_DATA


@pytest.fixture(autouse=True)
def _one_thread_per_worker():
    """Two test processes on two cores: one thread each, and the same sums whatever the machine."""
    torch.set_num_threads(1)


@pytest.fixture
def full_disk(monkeypatch):
    """full_disk(num_bytes): a context in which no file of this process grows beyond this size.

    The limit on the size of files plays the full disk: a write beyond it fails (Python ignores
    SIGXFSZ). Bytecode would end at the limit, and stay.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    @contextmanager
    def limited(num_bytes):
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return limited


@pytest.fixture
def generator():
    """A seeded source of random numbers; the global one is never used."""
    return torch.Generator().manual_seed(0)
