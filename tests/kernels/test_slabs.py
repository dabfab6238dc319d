"""Fields that processes share as slabs; the processes run slabs_job.py."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pdeops.kernels.runtime.slabs import fits

ROOT = Path(__file__).resolve().parents[2]
JOB = Path(__file__).with_name("slabs_job.py")


@pytest.mark.slow
@pytest.mark.parametrize("processes", [2, 4])
def test_an_fno_on_slabs_is_the_fno_on_whole_fields(processes):
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    done = subprocess.run(
        [sys.executable, *launch, str(JOB)],
        env=os.environ
        | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stdout
    if processes == 4:  # the period is 18
        assert "Use one of 1, 2, 3, 6" in done.stdout


@pytest.mark.parametrize(
    ("num_nodes", "period", "processes", "expected"),
    [
        (16, 18, 2, True),
        (17, 18, 9, True),
        (16, 18, 9, False),
        (15, 18, 18, False),
        (8, 16, 2, False),
    ],
)
def test_every_slab_holds_a_node(num_nodes, period, processes, expected):
    starts = [r * period // processes for r in range(processes)]
    assert all(start < num_nodes for start in starts) is expected
    assert fits(num_nodes, period, processes) is expected
