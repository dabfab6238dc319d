"""The average over the symmetries commutes with them, and leaves a symmetric model as it is."""

import pytest
import torch

from pdeops.domain import Grid
from pdeops.nn.symmetry import SymmetricAverage, isometries

MOVES = {
    "flip x": lambda u: u.flip(2),
    "flip y": lambda u: u.flip(3),
    "transpose": lambda u: u.mT,
    "rotate": lambda u: u.mT.flip(2),
}


def crooked():
    """A convolution with an asymmetric kernel, as odd as any network."""
    torch.manual_seed(0)
    return torch.nn.Conv2d(1, 2, 3, padding=1).double()


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES.keys())
def test_commutes_with_the_symmetries(move, generator):
    model = SymmetricAverage(crooked(), Grid((7, 7))).eval()
    x = torch.randn(2, 1, 7, 7, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(model(move(x)), move(model(x)))
    assert not torch.allclose(crooked()(move(x)), move(crooked()(x)))  # negative control


def test_a_symmetric_model_is_unchanged(generator):
    x = torch.randn(2, 1, 6, 6, generator=generator)
    for half_open in (False, True):
        model = SymmetricAverage(torch.nn.GELU(), Grid((6, 6)), half_open=half_open).eval()
        y = model(x)[..., 1:, 1:]  # line 0 of half-open nodes is not known on the other side
        torch.testing.assert_close(y, torch.nn.functional.gelu(x)[..., 1:, 1:])


def test_while_training_it_is_the_model_itself(generator):
    x = torch.randn(2, 1, 7, 7, generator=generator, dtype=torch.float64)
    model = SymmetricAverage(crooked(), Grid((7, 7)))
    assert torch.equal(model.train()(x), crooked()(x))
    assert not torch.equal(model.eval()(x), crooked()(x))


def test_number_of_symmetries():
    assert len(isometries(Grid((9, 9)))) == 8
    assert len(isometries(Grid((9, 5)))) == 4
    assert len(isometries(Grid((9, 9), boundary=("periodic", "dirichlet")))) == 4
    assert isometries(Grid((9, 9)))[0] == ((0, 1), ())
