"""Schedules: tables, the noise-free time, zero terminal SNR."""

import pytest
import torch

from quickstep.diffusion.schedule import CLEAN, Schedule

MAKERS = [Schedule.linear, Schedule.scaled_linear]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("zero_terminal_snr", [False, True])
def test_alpha_and_sigma_preserve_variance(make, zero_terminal_snr):
    schedule = make()
    if zero_terminal_snr:
        schedule = schedule.with_zero_terminal_snr()
    t = torch.arange(CLEAN, schedule.num_timesteps)
    alpha, sigma, kappa = schedule.alpha(t), schedule.sigma(t), schedule.kappa(t)
    assert {alpha.dtype, sigma.dtype, kappa.dtype} == {torch.float64}
    torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(alpha), rtol=0, atol=1e-15)
    assert (alpha.diff() < 0).all() and (sigma.diff() > 0).all() and (kappa.diff() < 0).all()


def test_clean_is_free_of_noise(schedule):
    t = torch.tensor([CLEAN])
    assert schedule.alpha(t).item() == 1
    assert schedule.sigma(t).item() == 0
    assert schedule.kappa(t).item() == float("inf")


def test_zero_terminal_snr_ends_in_pure_noise_and_keeps_the_start():
    plain = Schedule.scaled_linear()
    schedule = plain.with_zero_terminal_snr()
    last, first = torch.tensor([999]), torch.tensor([0])
    assert schedule.zero_terminal_snr and not plain.zero_terminal_snr
    assert schedule.alpha(last).item() == 0 and schedule.sigma(last).item() == 1
    assert schedule.kappa(last).item() == 0
    assert schedule.alpha(first).item() == pytest.approx(plain.alpha(first).item(), abs=1e-15)
    # sigma_0 of Stable Diffusion's schedule, sqrt(0.00085).
    assert schedule.sigma(first).item() == pytest.approx(0.00085**0.5, abs=1e-12)


def test_kappa_has_the_published_values(schedule):
    """Kappa at t = 0, 19, 249, 499, 749, 999 of the SD schedule with zero terminal SNR."""
    t = torch.tensor([0, 19, 249, 499, 749, 999])
    expected = torch.tensor([34.29, 7.19, 1.375, 0.5656, 0.1852, 0.0], dtype=torch.float64)
    torch.testing.assert_close(schedule.kappa(t), expected, rtol=5e-4, atol=0)


def test_add_noise_mixes_in_float32_and_gives_clean_back_at_clean(schedule, generator):
    clean, noise = torch.randn(2, 3, 2, 2, 2, generator=generator)
    t = torch.tensor([CLEAN, 999, 500])
    noisy = schedule.add_noise(clean, noise, t)
    assert noisy.dtype == torch.float32
    assert torch.equal(noisy[0], clean[0])
    assert torch.equal(noisy[1], noise[1])
    expected = schedule.alpha(t)[2] * clean[2].double() + schedule.sigma(t)[2] * noise[2].double()
    torch.testing.assert_close(noisy[2].double(), expected, rtol=0, atol=1e-6)
    assert schedule.add_noise(clean.bfloat16(), noise.bfloat16(), t).dtype == torch.float32
    assert schedule.add_noise(clean.double(), noise.double(), t).dtype == torch.float64


@pytest.mark.parametrize("t", [-2, 1000])
def test_times_off_the_schedule_are_refused(schedule, t):
    with pytest.raises(ValueError, match=f"-1..999: got {t}"):
        schedule.alpha(torch.tensor([t]))


def test_tables_that_are_no_schedule_are_refused():
    with pytest.raises(ValueError, match="must lie in"):
        Schedule(torch.tensor([1.0, 0.5], dtype=torch.float64))
    with pytest.raises(ValueError, match="strictly decrease"):
        Schedule(torch.tensor([0.5, 0.5], dtype=torch.float64))
    with pytest.raises(ValueError, match="betas.*1.5"):
        Schedule.linear(beta_end=1.5)
