import pytest
import torch

from pdeops.batch import Batch


@pytest.fixture
def batch():
    return Batch(
        input=torch.arange(12.0).view(3, 1, 4),
        target=torch.zeros(3, 2, 1, 4),
        operator=(torch.ones(3, 5), torch.arange(9.0).view(3, 3)),
    )


def test_slices_and_pieces_hold_the_same_samples(batch):
    assert len(batch) == 3
    assert torch.equal(batch[1:].operator[1], batch.operator[1][1:])
    pieces = batch.split(2)
    assert [len(p) for p in pieces] == [2, 1]
    assert torch.equal(torch.cat([p.input for p in pieces]), batch.input)


def test_collate_undoes_taking_samples_apart(batch):
    again = Batch.collate([batch[i] for i in range(3)])
    for ours, theirs in zip(again.tensors(), batch.tensors(), strict=True):
        assert torch.equal(ours, theirs)
    assert "times" not in again
    with pytest.raises(AttributeError, match=r"no times; it has .*input"):
        _ = again.times


def test_to_changes_every_tensor(batch):
    assert {u.dtype for u in batch.to(torch.float64).tensors()} == {torch.float64}


def cloud(n, generator):
    return Batch(
        input=torch.randn(1, n, generator=generator),
        positions=torch.rand(2, n, generator=generator),
        weights=torch.full((n,), 1 / n),
    )


def test_clouds_of_different_size_are_padded_under_a_mask():
    generator = torch.Generator().manual_seed(0)
    clouds = [cloud(n, generator) for n in (5, 3)]
    together = Batch.collate(clouds).check()
    assert together.mask.sum(1).tolist() == [5, 3]
    assert torch.equal(together.input[1][:, together.mask[1]], clouds[1].input)
    # Padded points weigh nothing: an integral is that of the cloud alone.
    integral = (together.weights[1] * together.input[1, 0]).sum()
    assert integral == pytest.approx((clouds[1].weights * clouds[1].input[0]).sum().item())


def test_clouds_of_one_size_need_no_mask():
    generator = torch.Generator().manual_seed(0)
    assert Batch.collate([cloud(4, generator), cloud(4, generator)]).get("mask") is None


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"input": torch.zeros(2, 1, 4), "target": torch.zeros(3, 1, 4)}, "same samples"),
        ({"input": torch.zeros(2, 1, 4), "positions": torch.zeros(2, 2, 5)}, "5 points"),
        ({"input": torch.zeros(2, 1, 4), "mask": torch.ones(2, 4)}, "needs positions"),
    ],
)
def test_members_that_do_not_fit_are_refused(members, words):
    with pytest.raises(ValueError, match=words):
        Batch(**members).check()


def test_samples_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="same shapes"):
        Batch.collate([Batch(input=torch.zeros(1, 4)), Batch(input=torch.zeros(1, 5))])
    with pytest.raises(ValueError, match="same members"):
        Batch.collate([Batch(input=torch.zeros(1)), Batch(target=torch.zeros(1))])
    apart = Batch(input=torch.zeros(1, 4), positions=torch.zeros(2, 5))
    with pytest.raises(ValueError, match="5 points"):
        Batch.collate([apart, apart])
    with pytest.raises(ValueError, match="same members"):
        Batch.cat([Batch(input=torch.zeros(1, 4)), Batch(target=torch.zeros(1, 4))])
    with pytest.raises(ValueError, match="got none"):
        Batch.cat([])
    with pytest.raises(ValueError, match="no samples"):
        Batch.collate([])
