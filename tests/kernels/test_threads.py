"""One thread inside, as many as before outside."""

import pytest
import torch

from pdeops.kernels.threads import one_thread


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
