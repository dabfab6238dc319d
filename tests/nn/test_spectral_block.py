"""The neural spectral block: its plain twin, locality, symmetry, and refinement."""

from itertools import pairwise

import pytest
import torch

from pdeops.nn import spectral_block
from pdeops.nn.spectral_block import NeuralSpectralBlock, from_patches, to_patches


def block(channels=8, **arguments):
    """With weights of order one: those of the start make every attention nearly uniform."""
    torch.manual_seed(0)
    made = NeuralSpectralBlock(channels, **{"num_heads": 2, "num_basis": 5, **arguments}).double()
    with torch.no_grad():
        for p in made.parameters():
            p.copy_(torch.randn(p.shape, dtype=torch.float64))
    return made


def fields(generator, *shape):
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("shape", "patches"), [((12,), (3,)), ((8, 12), (2, 3)), ((4, 6, 2), (2, 3, 1))]
)
def test_equals_its_plain_twin(shape, patches, dtype, generator):
    """Absorbed projections and Horner's rule against projections per node and the series: values
    and all gradients."""
    made, u = block().to(dtype), fields(generator, 3, 8, *shape).to(dtype)
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-11}[dtype]
    weight = fields(generator, 3, 8, *shape).to(dtype)
    values, gradients = [], []
    for form in (made, made.plain):
        v = u.clone().requires_grad_()
        made.zero_grad()
        y = form(v, patches)
        (y * weight).sum().backward()
        values.append(y)
        gradients.append([v.grad, *(p.grad.clone() for p in made.parameters())])
    torch.testing.assert_close(values[0], values[1], rtol=tolerance, atol=tolerance)
    for a, b in zip(*gradients, strict=True):
        assert (a - b).norm() <= 10 * tolerance * b.norm()
        assert b.norm() > 0


def test_in_parts_it_is_the_same_map_and_keeps_its_input_only(generator, monkeypatch):
    """Many samples are solved some at a time: values, gradients, and those of second order."""
    made, u = block(), fields(generator, 3, 8, 8, 12).requires_grad_()
    weight = fields(generator, 3, 8, 8, 12)
    parameters = list(made.parameters())

    def derivatives():
        kept = []
        hooks = torch.autograd.graph.saved_tensors_hooks(lambda v: kept.append(v) or v, lambda v: v)
        with hooks:
            y = made(u, (2, 3))
        once = torch.autograd.grad((y * weight).sum(), [u, *parameters], retain_graph=True)
        along = torch.autograd.grad((y * weight).sum(), u, create_graph=True)[0]
        twice = torch.autograd.grad(along.square().sum(), [u, *parameters], allow_unused=True)
        return [y, *once, *(v for v in twice if v is not None)], sum(v.numel() for v in kept)

    whole, kept_of_whole = derivatives()
    monkeypatch.setitem(
        spectral_block._LARGEST_BLOCK, "cpu", 2 * 4 * 2 * (96 + 6 * 8)
    )  # two samples
    in_parts, kept = derivatives()
    assert len(in_parts) == len(whole)
    for a, b in zip(in_parts, whole, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)
    assert kept == u.numel() + sum(p.numel() for p in parameters)
    assert kept_of_whole > 3 * kept


def test_patches_do_not_interact(generator):
    made, u = block(), fields(generator, 1, 8, 8, 12)
    v = u.clone()
    v[..., :4, 4:8] += 1  # the patch (0, 1) of 2 x 3
    change = (made(v, (2, 3)) - made(u, (2, 3))).abs().amax((0, 1))
    inside = torch.zeros(8, 12, dtype=torch.bool)
    inside[:4, 4:8] = True
    assert (change[~inside] == 0).all()
    assert (change[inside] > 0).all()


def test_commutes_with_permutations_of_a_patch(generator):
    made, u = block(), fields(generator, 2, 8, 20)
    order = torch.randperm(20, generator=generator)
    torch.testing.assert_close(made(u[..., order], (1,)), made(u, (1,))[..., order])
    assert (made(u[..., order], (2,)) - made(u, (2,))[..., order]).norm() > 0.1  # two patches


def test_tokens_of_constants_by_hand(generator):
    """On a constant field the average is the field: z = L + W_v c + b_v, whatever the scores."""
    made = block()
    c = fields(generator, 8)
    u = c.view(1, 8, 1).expand(1, 8, 7)
    z = made.encode(to_patches(u, (1,)))
    v = made.value.weight @ c + made.value.bias
    torch.testing.assert_close(z[0], made.tokens + v.view(2, 1, 4))


def test_solves_by_its_series(generator):
    made = block(num_basis=3)
    z = fields(generator, 2, 2, 4, 4)
    expected = z.clone()
    for h in range(2):
        for e in range(4):
            a, b, x = made.sine[4 * h + e], made.cosine[4 * h + e], z[:, h, :, e]
            expected[:, h, :, e] += b[0]
            for m in (1, 2):
                theta = torch.pi * m * x / 3
                expected[:, h, :, e] += a[m - 1] * theta.sin() + b[m] * theta.cos()
    torch.testing.assert_close(made.solve(z), expected)
    torch.testing.assert_close(made.solve_plain(z), expected)
    one = block(num_basis=1)  # a constant
    torch.testing.assert_close(one.solve(z), z + one.cosine.view(2, 1, 4))
    for form in (block(num_basis=0).solve, block(num_basis=0).solve_plain):
        assert torch.equal(form(z), z)


def test_tokens_converge_under_refinement():
    """Encoding is a quadrature over each patch: midpoints of a smooth field give order two."""
    made = block()

    def tokens(n):
        x = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        u = torch.stack([torch.cos((k + 1) * x + k) for k in range(8)])[None]
        return made.encode(to_patches(u, (4,)))

    finest = tokens(1024)
    errors = [(tokens(n) - finest).norm().item() for n in (16, 32, 64)]
    orders = [a / b for a, b in pairwise(errors)]
    assert orders == pytest.approx([4, 4], rel=0.1)


def test_patches_and_back(generator):
    u = fields(generator, 2, 3, 4, 6)
    x = to_patches(u, (2, 3))
    assert torch.equal(x[4], u[0, :, 2:, 2:4].flatten(1).T)  # patch (1, 1) of sample 0
    assert torch.equal(from_patches(x, u.shape, (2, 3)), u)


def test_says_what_does_not_fit(generator):
    with pytest.raises(ValueError, match="20 channels and 8 heads"):
        NeuralSpectralBlock(20)
    with pytest.raises(ValueError, match="one token at least"):
        NeuralSpectralBlock(8, num_tokens=0)
    with pytest.raises(ValueError, match=r"got \(10,\) nodes and \(3,\) patches"):
        block()(fields(generator, 1, 8, 10), (3,))
