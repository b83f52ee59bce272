"""aDDIM (invariant 13): DDIM where nothing is lost, and longer noise by as much as was lost."""

import math

import pytest
import torch

from quickstep.diffusion.addim import addim_clean, addim_step, clean_variance
from quickstep.diffusion.schedule import CLEAN, spread
from quickstep.diffusion.solver import ddim_step, ddim_weights, inverse_ddim


def times(*values):
    return torch.tensor(values)


@pytest.fixture
def states(generator):
    return torch.randn(2, 4, 3, 5, generator=generator, dtype=torch.float64)


def test_13_without_variance_it_is_ddim(schedule, states):
    """Invariant 13: xvar = 0, bit for bit, from pure noise and down to clean data too."""
    clean, noisy = states
    where = {"t_from": times(999, 499, 19, 1), "t_to": times(979, 239, CLEAN, 0)}
    stepped = addim_step(
        clean, noisy, variance=torch.zeros(4, dtype=torch.float64), schedule=schedule, **where
    )
    assert torch.equal(stepped, ddim_step(clean, noisy, schedule=schedule, **where))


def test_13_small_steps_are_ddim(schedule, generator):
    """Invariant 13: the difference falls with the square of the gap, the step with the gap."""
    clean, noisy = torch.randn(2, 1, 6, generator=generator, dtype=torch.float64).expand(2, 3, 6)
    where = {"t_from": times(600, 600, 600), "t_to": times(560, 580, 590), "schedule": schedule}
    variance = torch.full((3,), 0.3, dtype=torch.float64)
    plain = ddim_step(clean, noisy, **where)
    added = (addim_step(clean, noisy, variance=variance, **where) - plain).norm(dim=1).tolist()
    assert math.log(added[0] / added[2]) / math.log(4) == pytest.approx(2, abs=0.1)


def test_13_the_squared_length_grows_by_the_variance(schedule, generator):
    """Invariant 13: ||z_s||^2 with orthogonal clean estimate and noise, every clip on its own."""
    t_from, t_to = times(999, 739, 499), times(739, 499, CLEAN)
    clean, noise = torch.randn(2, 3, 40, generator=generator, dtype=torch.float64)
    noise = 2 * noise - 2 * (noise * clean).sum(1, True) / clean.square().sum(1, True) * clean
    alpha, sigma = (
        spread(table(t_from), clean, dtype=torch.float64)
        for table in (schedule.alpha, schedule.sigma)
    )
    variance = torch.tensor([0.2, 0.5, 0.1], dtype=torch.float64)
    stepped = addim_step(
        clean,
        alpha * clean + sigma * noise,
        variance=variance,
        t_from=t_from,
        t_to=t_to,
        schedule=schedule,
    )
    added = ddim_weights(t_from, t_to, schedule=schedule)[1].square() * variance * 40
    expected = (
        schedule.alpha(t_to).square() * clean.square().sum(1)
        + schedule.sigma(t_to).square() * noise.square().sum(1)
        + added
    )
    torch.testing.assert_close(stepped.square().sum(1), expected)


def test_its_clean_estimate_makes_its_step(schedule, states):
    """The form without division by the gap is the inverse of DDIM of the step as published."""
    clean, noisy = states
    where = {
        "t_from": times(999, 499, 19, 739),
        "t_to": times(979, 239, CLEAN, 499),
        "schedule": schedule,
    }
    variance = torch.tensor([0.4, 0.2, 0.01, 1.0], dtype=torch.float64)
    ratio, weight = ddim_weights(times(999, 499, 19, 739), where["t_to"], schedule=schedule)
    sigma_to = schedule.sigma(where["t_to"])
    alpha_from, sigma_from, alpha_to = (
        spread(value, noisy, dtype=torch.float64)
        for value in (
            schedule.alpha(where["t_from"]),
            schedule.sigma(where["t_from"]),
            schedule.alpha(where["t_to"]),
        )
    )
    noise = (noisy - alpha_from * clean) / sigma_from
    d = noise[0].numel()
    length = (sigma_to**2 + d / noise.square().sum((1, 2)) * weight**2 * variance).sqrt()
    published = alpha_to * clean + spread(length, noisy, dtype=torch.float64) * noise
    torch.testing.assert_close(addim_step(clean, noisy, variance=variance, **where), published)
    torch.testing.assert_close(
        addim_clean(clean, noisy, variance=variance, **where),
        inverse_ddim(published, noisy, **where),
    )
    assert ratio.isfinite().all()


def test_variance_is_the_mean_square_of_every_clip(generator):
    clean, estimate = torch.randn(2, 3, 2, 4, generator=generator)
    found = clean_variance(clean, estimate)
    expected = [0.75 * (a - b).square().mean().item() for a, b in zip(clean, estimate, strict=True)]
    assert found.tolist() == pytest.approx(expected)
    assert clean_variance(clean.bfloat16(), estimate).dtype == torch.float32
    with pytest.raises(ValueError, match="eta must not be negative: got -1"):
        clean_variance(clean, estimate, eta=-1.0)
