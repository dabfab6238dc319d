"""LSM: sizes, symmetries, refinement, independence of the batch, and errors."""

import copy

import pytest
import torch

from pdeops.domain import Grid
from pdeops.models import LSM
from pdeops.nn.convolution import mean_of_pairs
from pdeops.nn.lsm import NORMS, Upsample, default_levels
from pdeops.nn.parameters import num_parameters
from pdeops.nn.spectral_block import to_patches

SMALL = {"hidden_channels": 8, "num_heads": 2, "levels": 3, "num_basis": 4}


def build(grid, **arguments):
    torch.manual_seed(0)
    return LSM(1, 1, grid, **{**SMALL, **arguments}).double()


def fields(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("boundary", ["dirichlet", "neumann", "periodic"])
@pytest.mark.parametrize("shape", [(16,), (21,), (9, 12), (8, 8, 11)])
def test_one_implementation_for_any_dimension_and_size(shape, boundary, generator):
    model = build(Grid(shape, boundary=boundary))
    x = fields(generator, 2, 1, *shape).requires_grad_()
    y = model(x)
    assert y.shape == x.shape
    y.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    assert x.grad.any(dim=0).all()  # each node of the input has an influence: nothing is cropped


def test_number_of_parameters():
    """Less than the published 4,812,801: no last pointwise map, no parameters without effect."""
    width = 32
    published = 4_812_801
    unused = sum((width * w) * 2 for w in (1, 2, 4, 8, 8))  # bias of the keys and first sine
    last = width**2 + width
    head = (128 * (width + 2) + 1) - (64 * (width + 2) + 1)  # 2·hidden instead of 128
    assert num_parameters(LSM(1, 1, Grid((64, 64)))) == published - unused - last - head


def test_without_blocks_it_is_the_plain_unet(generator):
    """Blocks whose tokens stay zero add nothing: L = 0, W_v = 0, b_v = 0, and no cosine."""
    grid = Grid((12, 16))
    model, plain = build(grid), build(grid, num_tokens=0)
    assert not list(plain.trunk.unet.blocks.parameters())
    lost = plain.load_state_dict(model.state_dict(), strict=False)
    assert not lost.missing_keys
    x = fields(generator, 2, 1, 12, 16)
    assert (model(x) - plain(x)).norm() > 1e-3 * plain(x).norm()
    with torch.no_grad():
        for block in model.trunk.unet.blocks:
            for p in (block.tokens, block.value.weight, block.value.bias, block.cosine):
                p.zero_()
    torch.testing.assert_close(model(x), plain(x))
    with pytest.raises(ValueError, match="one token at least"):
        build(grid, num_tokens=-1)


@pytest.mark.parametrize("patches", [1, 2, 4])
def test_periodic_axes_commute_with_shifts_by_patches(patches, generator):
    grid = Grid((16, 24), boundary="periodic")
    model = build(grid, patches=patches)
    model.position.fill_(0.3)
    x = fields(generator, 1, 1, 16, 24)
    # Some level has two patches per axis, if there is more than one at all.
    steps = [n // 2 if patches > 1 else 4 for n in grid.shape]
    by = {"shifts": (steps[0], -steps[1]), "dims": (2, 3)}
    torch.testing.assert_close(model(x.roll(**by)), model(x).roll(**by), rtol=1e-9, atol=1e-11)
    off = {"shifts": 1, "dims": 2}
    assert (model(x.roll(**off)) - model(x).roll(**off)).norm() > 1e-3 * model(x).norm()


@pytest.mark.parametrize("norm", sorted(NORMS))
def test_evaluation_is_independent_of_the_batch(norm, generator):
    """Composition and order of the batch; the running statistics stay as they are."""
    model = build(Grid((17, 17)), norm=norm)
    x = fields(generator, 6, 1, 17, 17)
    model(x)  # batch normalisation gets statistics
    model.eval()
    state = copy.deepcopy(model.state_dict())
    y = model(x)
    torch.testing.assert_close(model(x[[4, 1]]), y[[4, 1]], rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(model(x.flip(0)), y.flip(0), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(model(10 * x[:0]), y[:0])
    assert all(torch.equal(v, state[name]) for name, v in model.state_dict().items())


def test_in_training_mode_only_batch_norm_mixes_samples(generator):
    x = fields(generator, 4, 1, 17, 17)
    for norm in NORMS:
        model = build(Grid((17, 17)), norm=norm)
        gap = (model(x)[:2] - model(x[:2])).norm()
        assert (gap > 1e-3) == (norm == "batch")


def test_pooling_and_upsampling_of_linear_fields():
    """Both are exact for linear fields away from the ends, so no level is shifted."""
    fine = Grid((16,), placement="centers")
    x = fine.nodes()[None]
    coarse = Grid((8,), placement="centers").nodes()[None]
    torch.testing.assert_close(mean_of_pairs(x), coarse)
    up = Upsample(["constant"])(coarse)
    torch.testing.assert_close(up[..., 1:-1], x[..., 1:-1])


def test_runs_on_a_finer_grid_with_the_same_patches(generator):
    """The tokens of a refined grid are those of the training grid: their number is the same."""
    grid = Grid((16, 16), boundary="periodic")
    model, fine = build(grid, patches=4), grid.with_shape((32, 32))
    sizes = []
    for m in (model, model.on(fine)):
        found = []
        for block in m.trunk.unet.blocks:
            block.register_forward_pre_hook(
                lambda block, given, found=found: found.append(len(to_patches(*given)))
            )
        y = m(fields(generator, 1, 1, *m.grid.shape))
        assert y.shape[2:] == m.grid.shape
        sizes.append(found)
    assert sizes[0] == sizes[1] == [1, 4, 16]  # coarsest first


def test_trained_on_one_grid_evaluated_on_others(generator):
    model = build(Grid((64, 64)))
    for shape in ((96, 96), (100, 128), (128, 128), (40, 33)):
        assert model(fields(generator, 1, 1, *shape)).shape[2:] == shape


def test_levels_by_default():
    sizes = [(64, 64), (16, 99), (15, 40), (4,)]
    assert [default_levels(Grid(shape)) for shape in sizes] == [5, 5, 4, 3]


def test_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"needs 16 nodes per axis at least; got 12 x 40"):
        LSM(1, 1, Grid((12, 40)), levels=5)
    with pytest.raises(ValueError, match="3 levels and 16 patches needs 16 nodes"):
        LSM(1, 1, Grid((12, 12)), levels=3, patches=16)
    with pytest.raises(ValueError, match="30 channels and 8 heads"):
        LSM(1, 1, Grid((64, 64)), hidden_channels=30)
    with pytest.raises(ValueError, match="LSM needs one hidden channel at least; got 0"):
        LSM(1, 1, Grid((64, 64)), hidden_channels=0, num_tokens=0)
    with pytest.raises(ValueError, match="power of two; got 6"):
        LSM(1, 1, Grid((64, 64)), patches=6)
    with pytest.raises(ValueError, match="one level at least; got 0"):
        LSM(1, 1, Grid((64, 64)), levels=0)
    with pytest.raises(ValueError, match="Unknown norm 'layer'"):
        LSM(1, 1, Grid((64, 64)), norm="layer")
    with pytest.raises(ValueError, match="norm='instance' leaves zero"):
        LSM(1, 1, Grid((16, 16)), norm="instance")
    with pytest.raises(ValueError, match="one to three axes"):
        LSM(1, 1, Grid((4, 4, 4, 4)), levels=2)
    model = LSM(1, 1, Grid((17, 17)), **SMALL)
    with pytest.raises(ValueError, match="layers run on grids of their box"):
        model.on(Grid((33, 33), 2.0))
    with pytest.raises(ValueError, match="nodes per axis at least"):
        model.on(Grid((3, 33)))
