"""Threads inside and outside of a context; tasks in threads of their own."""

import multiprocessing
import threading

import pytest
import torch

from pdeops.kernels.runtime.threads import num_threads, one_thread, ours_alone, side_by_side


@pytest.mark.parametrize("before", [1, 3])
def test_the_number_before_comes_back(before):
    torch.set_num_threads(before)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_it_comes_back_after_an_error():
    torch.set_num_threads(3)
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 3


def test_loops_of_ours_are_divided_as_torch_is_unless_it_works_alone_for_them():
    torch.set_num_threads(3)
    assert num_threads() == 3
    with one_thread():
        assert num_threads() == 1
    with ours_alone():
        assert (torch.get_num_threads(), num_threads()) == (1, 3)
        with one_thread():
            assert (torch.get_num_threads(), num_threads()) == (1, 1)
        with ours_alone():
            assert num_threads() == 3
        elsewhere = []
        other = threading.Thread(target=lambda: elsewhere.append(num_threads()))
        other.start()
        other.join()
        assert elsewhere == [torch.get_num_threads()]
    assert (torch.get_num_threads(), num_threads()) == (3, 3)


def test_tasks_meet_each_in_a_thread_where_torch_works_alone():
    torch.set_num_threads(3)
    meeting = threading.Barrier(3, timeout=20)  # broken, and an error, unless all three come
    found = []

    def task():
        meeting.wait()
        found.append((threading.get_ident(), torch.get_num_threads()))

    for _ in range(2):
        side_by_side([task] * 3)
    assert len({thread for thread, _ in found}) == 3
    assert {number for _, number in found} == {1}
    assert torch.get_num_threads() == 3
    late = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    late.start()
    late.join()
    assert found[-1] == 3


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_comes_after_the_other_tasks(failing):
    torch.set_num_threads(2)
    done = threading.Event()

    def fail():
        raise KeyError

    tasks = [done.set, done.set]
    tasks[failing] = fail
    with pytest.raises(KeyError):
        side_by_side(tasks)
    assert done.is_set()
    assert torch.get_num_threads() == 2


def test_a_forked_child_has_threads_of_its_own():
    context = multiprocessing.get_context("fork")
    side_by_side([_nothing, _nothing])
    child = context.Process(target=side_by_side, args=([_nothing, _nothing],))
    child.start()
    child.join(timeout=20)
    assert child.exitcode == 0


def _nothing():
    pass
