"""Every metric and loss on every domain: one table (`domain_rows`), exact values.

What must hold is the same for all rows: norms scale by the eigenvalue, bands sum to the mean
squared error, padding changes nothing.
"""
# Axes: b batch, t time, c channel, *space nodes.

import math

import pytest
import torch

from pdeops.calculus import CALCULI, calculus_of, has_calculus
from pdeops.calculus.norms import Lp, Sobolev
from pdeops.domain import DOMAINS, Grid, Points, Sphere
from pdeops.losses import LOSSES, MeanSquare
from pdeops.metrics import METRICS, MetricMean, band_errors, metrics_of

from .domain_rows import NO_WAVES, ROWS, by_hand, every_row, harmonics, rows_with_waves


def test_every_kind_of_domain_has_a_row():
    assert {type(row.domain) for row in ROWS.values()} == set(DOMAINS.values())
    assert {type(row.domain) for row in ROWS.values() if row.waves} == set(CALCULI)


@rows_with_waves
@pytest.mark.parametrize("order", [-1, -0.5, 0, 1, 2])
@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.5])
def test_a_wave_has_its_eigenvalue_as_factor(row, order, alpha):
    """‖φ‖_{H^s} = (α + λ)^{s/2} ‖φ‖ for waves and harmonics, two channels pooled."""
    norm, l2 = Sobolev(order, row.domain, alpha), Lp(2, domain=row.domain)
    for wave, eigenvalue, _ in row.waves(row.domain):
        u = torch.stack([wave, 2 * wave])[None]
        if alpha + eigenvalue == 0 and order < 0:
            with pytest.raises(ValueError, match="zero mean"):
                norm(u)
            continue
        expected = (alpha + eigenvalue) ** (order / 2) * l2(u).item() if order else l2(u).item()
        # Round-off in all waves weighs as much as the highest one.
        noise = (
            1e-13 * calculus_of(row.domain).sobolev_multiplier(max(order, 0), alpha).max().item()
        )
        assert norm(u).item() == pytest.approx(expected, rel=1e-11, abs=noise)


@rows_with_waves
def test_a_wave_is_in_its_band_only(row):
    for wave, _, band in row.waves(row.domain):
        u = wave[None, None]
        parts = band_errors(u, torch.zeros_like(u), row.domain)[0]
        mse = MeanSquare(row.domain)(u, torch.zeros_like(u)).item()
        assert parts[band].item() == pytest.approx(mse, rel=1e-12)
        assert parts.sum().item() == pytest.approx(mse, rel=1e-12)


@rows_with_waves
def test_bands_of_random_fields_sum_to_the_mean_squared_error(row, generator):
    p, t = row.random(generator), row.random(generator)
    mse = by_hand(row, (p - t) ** 2).mean(1) / row.domain.volume
    torch.testing.assert_close(band_errors(p, t, row.domain).sum(1), mse, rtol=1e-13, atol=0.0)
    loss = LOSSES["MSE"](row.domain).per_sample(p, t)
    torch.testing.assert_close(loss, mse, rtol=1e-13, atol=0.0)


@rows_with_waves
def test_order_zero_is_the_quadrature_norm_of_any_field(row, generator):
    u = row.random(generator)
    expected = by_hand(row, u**2).sum(1).sqrt()
    torch.testing.assert_close(Sobolev(0, row.domain)(u), expected, rtol=1e-13, atol=0.0)


@rows_with_waves
def test_transform_and_its_inverse_are_a_bijection(row, generator):
    u = row.random(generator)
    calculus = calculus_of(row.domain)
    assert (calculus.inverse_transform(calculus.transform(u)) - u).abs().max() < 1e-13
    assert calculus.symbol.shape == calculus.transform(u).shape[2:]


@rows_with_waves
def test_the_laplacian_of_a_wave_and_its_inverse(row):
    calculus = calculus_of(row.domain)
    largest = calculus.symbol.max().item()
    for wave, eigenvalue, _ in row.waves(row.domain):
        assert (calculus.laplacian(wave) + eigenvalue * wave).abs().max() < 1e-12 * largest
        if eigenvalue:
            back = calculus.inverse_laplacian(-eigenvalue * wave)
            assert (back - wave).abs().max() < 1e-11


def test_a_flat_box_of_angles_would_measure_a_sphere_wrongly(generator):
    """Negative control: what was reported before spheres had a calculus."""
    sphere = Sphere((33, 64))
    box = Grid((33, 64), (math.pi, 2 * math.pi), ("neumann", "periodic"))
    e, zero = torch.randn(2, 1, 1, *sphere.shape, generator=generator, dtype=torch.float64)
    mse = MeanSquare(sphere)(e, zero).item()
    flat = band_errors(e, zero, box).sum().item()
    assert abs(flat / mse - 1) > 0.01
    assert band_errors(e, zero, sphere).sum().item() == pytest.approx(mse, rel=1e-13)
    y, eigenvalue, _ = harmonics((5, 4))(sphere)[0]
    ratios = [
        (Sobolev(1, d)(y[None, None]) / Lp(2, domain=sphere)(y[None, None])) for d in (sphere, box)
    ]
    assert ratios[0].item() == pytest.approx(math.sqrt(1 + eigenvalue), rel=1e-12)
    assert abs(ratios[1].item() / math.sqrt(1 + eigenvalue) - 1) > 0.01


# Expected values of p = 1.25 t + 0.5 for a given t, from integrals written out by hand.


def expected_of(row, name, p, t):
    e = p - t
    outermost = row.here.outermost()
    n = row.here.num_nodes

    def root_mean(u):  # over nodes
        if row.uniform:
            return u.square().flatten(2).mean(2).sqrt()
        return by_hand(row, u.square(), mean=True).sqrt()

    def variance(u):
        if row.uniform:
            return u.flatten(2).var(2)
        mean = by_hand(row, u, mean=True)[..., *[None] * row.here.ndim]
        lost = by_hand(row, torch.ones_like(u) * row.here.mean_weights(), mean=True)
        return by_hand(row, (u - mean) ** 2, mean=True) / (1 - lost)

    l2 = by_hand(row, e**2).sum(1).sqrt() / by_hand(row, t**2).sum(1).sqrt()
    if name == "boundary_error":
        if not outermost.any():
            return torch.zeros(len(p)).double()
        return e[..., outermost].square().mean((1, 2)).sqrt()
    return {
        "relative_l2": lambda: l2,
        "nrmse": lambda: (root_mean(e) / root_mean(t)).mean(1),
        "vrmse": lambda: (root_mean(e) / variance(t).sqrt()).mean(1),
        "max_error": lambda: torch.stack(
            [e[i][:, real].abs().max() for i, real in enumerate(_real(row, n))]
        ),
        "conserved_error": lambda: (by_hand(row, e).abs() / by_hand(row, t.abs())).mean(1),
    }[name]()


def _real(row, n):
    everything = torch.ones(row.samples, *row.here.shape, dtype=torch.bool)
    return everything if row.batch is None or "mask" not in row.batch else row.batch.mask


@every_row
@pytest.mark.parametrize("name", [n for n in METRICS if n not in NO_WAVES])
def test_metrics_without_waves_in_closed_form(row, name, generator):
    if name in row.missing:
        return
    t = 1 + row.random(generator)
    p = 1.25 * t + 0.5
    found = METRICS[name](p, t, row.here)
    torch.testing.assert_close(found, expected_of(row, name, p, t), rtol=1e-12, atol=1e-15)


@every_row
def test_losses_in_closed_form(row, generator):
    t = 1 + row.random(generator)
    p = 1.25 * t + 0.5
    e, volume = p - t, by_hand(row, torch.ones_like(t))[:, 0]
    mean = by_hand(row, t, mean=True)[..., *[None] * row.here.ndim]
    expected = {
        "RelativeL2": (by_hand(row, e**2).sum(1) / by_hand(row, t**2).sum(1)).sqrt(),
        "MSE": by_hand(row, e**2).mean(1) / row.here.volume,
        "PerChannel": (by_hand(row, e**2) / by_hand(row, (t - mean) ** 2)).sqrt().mean(1),
    }
    if row.domain.kind != "box":  # a box may leave out its ends, which count in its volume
        torch.testing.assert_close(volume, torch.as_tensor(row.here.volume).expand(3).double())
    for name, value in expected.items():
        torch.testing.assert_close(row.loss(name).per_sample(p, t), value, rtol=1e-12, atol=0.0)
    if row.waves:
        w = row.loss("RelativeH1").per_sample(1.25 * t, t)
        torch.testing.assert_close(w, torch.full_like(w, 0.25), rtol=1e-12, atol=0.0)


@every_row
def test_what_exists_is_listed_and_the_rest_is_refused(row):
    existing, zero = metrics_of(row.domain), torch.zeros(3, 1, *row.here.shape)
    assert set(METRICS) - set(existing) == set(row.missing)
    assert MetricMean(row.domain).names == tuple(existing)
    for name in row.missing:
        with pytest.raises(ValueError, match=rf"{name}.*points.*choose from relative_l2, nrmse"):
            MetricMean(row.domain, names=(name,))
        with pytest.raises(ValueError, match="Use "):
            METRICS[name](zero, zero, row.here)
    for name in row.refused:
        with pytest.raises(ValueError, match=r"no waves on Points.*Use Lp norms.*RelativeL2"):
            LOSSES[name](row.domain)
    assert has_calculus(row.domain) == bool(row.waves)


@every_row
@pytest.mark.parametrize("name", METRICS)
def test_every_metric_is_finite_zero_without_error_and_independent_of_the_batch(
    row, name, generator
):
    if name in row.missing:
        return
    p, t = row.random(generator), row.random(generator)
    metric = METRICS[name]
    for target in (t, torch.zeros_like(t), torch.ones_like(t)):
        assert metric(target, target, row.here).abs().max() < 1e-12
        for prediction in (p, torch.zeros_like(t), torch.ones_like(t)):
            values = metric(prediction, target, row.here)
            assert values.isfinite().all()
            assert (values >= 0).all()
    alone = []
    for i in range(3):
        here = row.here if row.batch is None else row.domain.at(row.batch[i : i + 1])
        alone.append(metric(p[i : i + 1], t[i : i + 1], here))
    torch.testing.assert_close(metric(p, t, row.here), torch.cat(alone), rtol=1e-12, atol=1e-15)


@every_row
@pytest.mark.parametrize("name", METRICS)
def test_means_of_trajectories_treat_times_as_channels(row, name, generator):
    if name in row.missing:
        return
    p, t = (row.random(generator, channels=6) for _ in range(2))
    trajectories = (u.unflatten(1, (3, 2)) for u in (p, t))
    metric = METRICS[name]
    assert torch.equal(metric(*trajectories, row.here), metric(p, t, row.here))


@every_row
@pytest.mark.parametrize("name", LOSSES)
def test_losses_of_trajectories_treat_times_as_channels(row, name, generator):
    if name in row.refused:
        return
    p, t = (row.random(generator, channels=6) for _ in range(2))
    trajectories = [u.unflatten(1, (3, 2)) for u in (p, t)]
    loss = row.loss(name)
    assert torch.equal(loss.per_sample(*trajectories), loss.per_sample(p, t))
    if name == "RelativeL2":  # pooled over time: not the mean over the times' own errors
        own = [loss.per_sample(p[:, i], t[:, i]) for p, t in [trajectories] for i in range(3)]
        sizes = [loss.norm(trajectories[1][:, i]) ** 2 for i in range(3)]
        pooled = sum(s * e**2 for s, e in zip(sizes, own, strict=True)) / sum(sizes)
        torch.testing.assert_close(loss.per_sample(p, t), pooled.sqrt(), rtol=1e-12, atol=0.0)


@every_row
@pytest.mark.parametrize("name", LOSSES)
def test_gradients(row, name, generator):
    if name in row.refused:
        return
    p, t = row.random(generator, channels=1), row.random(generator, channels=1)
    p.requires_grad_()
    loss = row.loss(name)
    value = loss(p, t)
    (gradient,) = torch.autograd.grad(value, p)
    direction = torch.randn(p.shape, generator=generator, dtype=torch.float64)
    step = 1e-6 * direction
    with torch.no_grad():
        difference = (loss(p + step, t) - loss(p - step, t)) / 2e-6
    assert difference.item() == pytest.approx((gradient * direction).sum().item(), rel=1e-6)
    same = t.clone().requires_grad_()
    loss(same, t).backward()
    assert same.grad.isfinite().all()


PADDED = [name for name, row in ROWS.items() if row.batch is not None]


@pytest.mark.parametrize("name", PADDED)
def test_padding_changes_nothing(name, generator):
    """The same samples with more padding, whatever stands there, NaN included."""
    row = ROWS[name]
    p, t = row.random(generator), row.random(generator)
    more = 4

    def pad(u, value=0):
        return torch.nn.functional.pad(u, (0, more), value=value)

    batch = row.batch
    wider = batch.replace(
        positions=pad(batch.positions, 0.5),
        mask=pad(batch.mask) if "mask" in batch else None,
        weights=pad(batch.weights, 7.0) if "weights" in batch else None,
    )
    before, after = row.here, row.domain.at(wider.check())
    torch.testing.assert_close(
        torch.as_tensor(before.volume), torch.as_tensor(after.volume), rtol=1e-14, atol=0.0
    )
    for value in (3.0, math.nan):
        q = pad(p, value)
        assert not batch.mask.all()
        q[:, :, :-more][~batch.mask[:, None].expand(-1, 2, -1)] = value
        for metric in metrics_of(row.domain).values():
            found = metric(q, pad(t), after)
            torch.testing.assert_close(found, metric(p, t, before), rtol=1e-12, atol=1e-15)
        for loss in ("RelativeL2", "MSE", "PerChannel"):
            q.requires_grad_()
            wide = LOSSES[loss](row.domain).at(wider)
            torch.testing.assert_close(wide.per_sample(q, pad(t)), row.loss(loss).per_sample(p, t))
            (gradient,) = torch.autograd.grad(wide(q, pad(t)), q)
            assert (gradient.movedim(1, -1)[~wider.mask] == 0).all()
            q = q.detach()


@pytest.mark.parametrize("name", PADDED)
def test_real_points_count_by_their_weights(name, generator):
    """Negative control: without the mask the figure is another."""
    row = ROWS[name]
    p, t = row.random(generator), row.random(generator)
    unmasked = Points(2, row.batch.positions, weights=row.batch.get("weights"))
    with_mask = METRICS["nrmse"](p, t, row.here)
    if "weights" not in row.batch:
        assert not torch.allclose(METRICS["nrmse"](p, t, unmasked)[1:], with_mask[1:], rtol=1e-3)
    equal = Points(2, row.batch.positions, mask=row.batch.get("mask"))
    weighted = "weights" in row.batch
    assert torch.allclose(METRICS["nrmse"](p, t, equal), with_mask, rtol=1e-3) != weighted


@every_row
def test_means_over_batches_are_those_of_all_samples(row, generator):
    p, t = row.random(generator), row.random(generator)
    mean = MetricMean(row.domain)
    for i in range(3):
        batch = None if row.batch is None else row.batch[i : i + 1]
        mean.update(p[i : i + 1], t[i : i + 1], batch)
    expected = {n: m(p, t, row.here).mean().item() for n, m in metrics_of(row.domain).items()}
    assert mean.compute() == pytest.approx(expected, rel=1e-12)


def test_a_sphere_counts_nodes_by_area(generator):
    """nrmse of an error at the north pole alone, whose n_lon nodes weigh next to nothing."""
    sphere = Sphere((33, 64))
    t = torch.ones(1, 1, *sphere.shape, dtype=torch.float64)
    p = t.clone()
    p[..., 0, :] += 1
    share = sphere.quadrature()[0].sum().item() / (4 * math.pi)
    assert share < 1e-3 < 1 / 33
    assert METRICS["nrmse"](p, t, sphere).item() == pytest.approx(math.sqrt(share), rel=1e-12)
    u = sphere.latitude().sin().expand(1, 1, *sphere.shape)  # mean square 1/3, mean 0
    zero = torch.zeros_like(u)
    assert METRICS["nrmse"](zero, u, sphere).item() == pytest.approx(1, rel=1e-12)
    lost = (sphere.quadrature() / (4 * math.pi)).square().sum().item()
    expected = math.sqrt(1 - lost)
    assert METRICS["vrmse"](zero, u, sphere).item() == pytest.approx(expected, rel=1e-12)
    flat = Grid((33, 64), boundary=("neumann", "periodic"))
    assert METRICS["nrmse"](p, t, flat).item() == pytest.approx(math.sqrt(1 / 33), rel=1e-12)
