"""The exact teachers are exact: posterior means, flows, guidance."""

from typing import Any

import pytest
import torch

from quickstep.diffusion.schedule import CLEAN, Schedule
from quickstep.diffusion.solver import ddim_step
from quickstep.teachers.analytic import Gaussian, GaussianMixture, Guided


@pytest.fixture(scope="module")
def schedule():
    return Schedule.scaled_linear().with_zero_terminal_snr()


@pytest.fixture(scope="module")
def mixture(schedule):
    return GaussianMixture(
        weights=torch.tensor([0.25, 0.75]),
        means=torch.tensor([[-1.0, 0.5], [1.0, 0.0]]),
        variances=torch.tensor([[0.1, 0.4], [0.2, 0.3]]),
        schedule=schedule,
    )


def at(t, batch):
    return torch.full((batch,), t)


def test_posterior_mean_is_the_regression_of_clean_on_noisy(schedule, generator):
    """Least squares over drawn pairs finds the closed form's slope and offset."""
    teacher = Gaussian(0.7, 2.0, schedule=schedule)
    clean = teacher.draw((200_000, 1), generator=generator)
    noise = torch.randn(clean.shape, generator=generator, dtype=torch.float64)
    noisy = schedule.add_noise(clean, noise, at(600, len(clean)))
    design = torch.cat([noisy, torch.ones_like(noisy)], 1)
    fitted = torch.linalg.lstsq(design, clean).solution[:, 0]
    ends = teacher(torch.tensor([[0.0], [1.0]], dtype=torch.float64), at(600, 2))[:, 0]
    assert fitted[1].item() == pytest.approx(ends[0].item(), abs=0.02)
    assert fitted[0].item() == pytest.approx((ends[1] - ends[0]).item(), abs=0.02)


def test_mixture_posterior_mean_by_quadrature(schedule):
    """``E[clean | noisy]`` against the integral over clean data, one dimension."""
    teacher = GaussianMixture(
        weights=torch.tensor([0.3, 0.7]),
        means=torch.tensor([-1.2, 0.9]),
        variances=torch.tensor([0.1, 0.3]),
        schedule=schedule,
    )
    clean = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    parts = [
        w * torch.exp(-((clean - m) ** 2) / (2 * v)) / v**0.5
        for w, m, v in ((0.3, -1.2, 0.1), (0.7, 0.9, 0.3))
    ]
    for t, noisy in ((300, 0.1), (600, -0.4), (999, 0.8)):
        alpha, sigma = schedule.alpha(at(t, 1)), schedule.sigma(at(t, 1))
        density = sum(parts) * torch.exp(-((noisy - alpha * clean) ** 2) / (2 * sigma**2))
        expected = (density * clean).sum() / density.sum()
        answer = teacher(torch.full((1, 1), noisy, dtype=torch.float64), at(t, 1))
        assert answer.item() == pytest.approx(expected.item(), abs=1e-6)


def test_limits(schedule, mixture, generator):
    """Clean data is its own estimate; pure noise says nothing beyond the mean."""
    noisy = torch.randn(3, 2, generator=generator)
    means = {
        Gaussian(0.7, 2.0, schedule=schedule): torch.tensor([0.7, 0.7]),
        mixture: torch.tensor([0.5, 0.125]),
    }
    for teacher, mean in means.items():
        torch.testing.assert_close(teacher(noisy, at(CLEAN, 3)), noisy)
        torch.testing.assert_close(teacher(noisy, at(999, 3)), mean.expand(3, 2))
        assert teacher(noisy.bfloat16(), at(500, 3)).dtype == torch.float32


def test_one_component_mixture_flows_as_the_gaussian(schedule):
    """The fine kappa-Heun solution against the closed form, both ways and to clean data."""
    gaussian = Gaussian(0.7, 0.4, schedule=schedule)
    mixture = GaussianMixture(
        weights=torch.ones(1),
        means=torch.tensor([0.7]),
        variances=torch.tensor([0.4]),
        schedule=schedule,
    )
    noisy = torch.tensor([[-1.0], [0.4], [1.5]], dtype=torch.float64)
    times: dict[str, Any] = {
        "t_from": torch.tensor([999, 499, 0]),
        "t_to": torch.tensor([CLEAN, 0, 499]),
    }
    torch.testing.assert_close(
        mixture.solution(noisy, **times), gaussian.solution(noisy, **times), rtol=0, atol=2e-4
    )


def test_gaussian_flow_keeps_the_law_and_undoes_itself(schedule, generator):
    teacher = Gaussian(0.7, 2.0, schedule=schedule)
    noise = torch.randn(50_000, 1, generator=generator)
    data = teacher.solution(noise, t_from=at(999, 50_000), t_to=at(CLEAN, 50_000))
    assert data.mean().item() == pytest.approx(0.7, abs=0.03)
    assert data.var().item() == pytest.approx(2.0, abs=0.05)
    back = teacher.solution(data, t_from=at(CLEAN, 50_000), t_to=at(999, 50_000))
    torch.testing.assert_close(back, noise, rtol=0, atol=1e-5)


def test_edge_clean_lands_on_the_edge_and_is_the_denoiser_there(schedule, mixture):
    noisy = torch.tensor([[0.3, -0.2], [1.0, 0.4]], dtype=torch.float64)
    for teacher in (Gaussian(0.7, 2.0, schedule=schedule), mixture):
        times: dict[str, Any] = {"t": torch.tensor([999, 499]), "edge": torch.tensor([499, 499])}
        clean = teacher.edge_clean(noisy, **times)
        assert torch.equal(clean[1], teacher(noisy, times["t"])[1])
        landed = ddim_step(clean, noisy, t_from=times["t"], t_to=times["edge"], schedule=schedule)
        exact = teacher.solution(noisy, t_from=times["t"], t_to=times["edge"])
        torch.testing.assert_close(landed, exact, rtol=0, atol=1e-12)


def test_guiding_two_gaussians_of_one_variance_gives_a_gaussian(schedule):
    pair = Guided(
        Gaussian(1.0, 0.5, schedule=schedule), Gaussian(-0.2, 0.5, schedule=schedule), guidance=2.5
    )
    one = Gaussian(-0.2 + 2.5 * 1.2, 0.5, schedule=schedule)
    noisy = torch.tensor([[-1.0], [0.4], [1.5]], dtype=torch.float64)
    t = torch.tensor([999, 499, CLEAN])
    torch.testing.assert_close(pair(noisy, t), one(noisy, t), rtol=0, atol=1e-12)
    times: dict[str, Any] = {"t_from": at(999, 3), "t_to": torch.tensor([CLEAN, 499, 0])}
    torch.testing.assert_close(
        pair.solution(noisy, **times), one.solution(noisy, **times), rtol=0, atol=2e-4
    )


def test_guiding_two_variances_has_its_own_closed_form(schedule):
    """Zero means: noisy / sigma grows as ``prod (1 + kappa^2 v_i)^(g_i / 2)``, g_i summing to 1."""
    g, wide, narrow = 2.5, 1.0, 0.3
    pair = Guided(
        Gaussian(0.0, narrow, schedule=schedule),
        Gaussian(0.0, wide, schedule=schedule),
        guidance=g,
    )
    t_from, t_to = torch.tensor([999]), torch.tensor([499])
    kappa, sigma = schedule.kappa(t_to), schedule.sigma(t_to)
    growth = (1 + kappa**2 * narrow) ** (g / 2) * (1 + kappa**2 * wide) ** ((1 - g) / 2)
    landed = pair.solution(torch.ones(1, 1, dtype=torch.float64), t_from=t_from, t_to=t_to)
    assert landed.item() == pytest.approx((sigma * growth).item(), abs=1e-5)


def test_settings_that_are_no_distribution_are_refused(schedule):
    with pytest.raises(ValueError, match="variance must be positive: got 0"):
        Gaussian(0.0, 0.0, schedule=schedule)
    with pytest.raises(ValueError, match="sum to 1"):
        GaussianMixture(
            weights=torch.tensor([0.5, 0.6]),
            means=torch.zeros(2),
            variances=torch.ones(2),
            schedule=schedule,
        )
    with pytest.raises(ValueError, match="share"):
        Guided(
            Gaussian(0.0, 1.0, schedule=schedule),
            Gaussian(0.0, 1.0, schedule=Schedule.linear()),
            guidance=2.0,
        )
