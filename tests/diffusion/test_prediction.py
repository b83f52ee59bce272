"""Invariant 1: predictions, clean and noise translate into each other."""

from typing import Any

import pytest
import torch

from quickstep.diffusion.prediction import clean_from, noise_from, prediction_from
from quickstep.diffusion.schedule import CLEAN, Schedule

ALL = ["epsilon", "v", "clean", "flow"]


def make_state(schedule, t, *, generator):
    clean, noise = torch.randn(2, len(t), 4, generator=generator, dtype=torch.float64)
    return clean, noise, schedule.add_noise(clean, noise, t)


@pytest.mark.parametrize("zero_terminal_snr", [False, True])
@pytest.mark.parametrize("parametrisation", ALL)
def test_1_round_trip(generator, parametrisation, zero_terminal_snr):
    """Invariant 1: output -> clean and noise is exact, pure noise included; epsilon is refused."""
    schedule = Schedule.scaled_linear()
    if zero_terminal_snr:
        schedule = schedule.with_zero_terminal_snr()
    t = torch.tensor([0, 1, 19, 499, 980, 999])
    clean, noise, noisy = make_state(schedule, t, generator=generator)
    how = {"schedule": schedule, "parametrisation": parametrisation}
    if zero_terminal_snr and parametrisation == "epsilon":
        for convert, first in ((prediction_from, clean), (clean_from, noise), (noise_from, noise)):
            with pytest.raises(ValueError, match="'epsilon'.*zero terminal SNR"):
                convert(first, noisy, t, **how)
        return
    prediction = prediction_from(clean, noise, t, **how)
    assert prediction.isfinite().all()
    torch.testing.assert_close(clean_from(prediction, noisy, t, **how), clean, rtol=0, atol=1e-12)
    torch.testing.assert_close(noise_from(prediction, noisy, t, **how), noise, rtol=0, atol=1e-12)


def test_1_v_at_pure_noise_is_minus_clean(schedule, generator):
    """Invariant 1: at the last time v is finite and all about the data."""
    t = torch.tensor([999])
    clean, noise, noisy = make_state(schedule, t, generator=generator)
    how = {"schedule": schedule, "parametrisation": "v"}
    prediction = prediction_from(clean, noise, t, **how)
    assert torch.equal(prediction, -clean)
    assert torch.equal(clean_from(prediction, noisy, t, **how), clean)


def test_1_flow_is_the_velocity_of_the_straight_path(schedule, generator):
    """Invariant 1: ``z - r u`` is clean on ``z = (1 - r) clean + r noise`` (rectified flow)."""
    t = torch.tensor([100, 900])
    clean, noise, noisy = make_state(schedule, t, generator=generator)
    scale = (schedule.alpha(t) + schedule.sigma(t))[:, None]
    z, r = noisy / scale, schedule.sigma(t)[:, None] / scale
    torch.testing.assert_close(z, (1 - r) * clean + r * noise)
    how = {"schedule": schedule, "parametrisation": "flow"}
    velocity = prediction_from(clean, noise, t, **how)
    torch.testing.assert_close(velocity, noise - clean)
    torch.testing.assert_close(clean_from(velocity, noisy, t, **how), z - r * velocity)
    torch.testing.assert_close(noise_from(velocity, noisy, t, **how), z + (1 - r) * velocity)


@pytest.mark.parametrize("parametrisation", ["v", "clean", "flow"])
def test_noise_free_time_is_finite(schedule, generator, parametrisation):
    t = torch.tensor([CLEAN])
    clean, noise, noisy = make_state(schedule, t, generator=generator)
    how = {"schedule": schedule, "parametrisation": parametrisation}
    prediction = prediction_from(clean, noise, t, **how)
    torch.testing.assert_close(clean_from(prediction, noisy, t, **how), clean)
    assert noise_from(prediction, noisy, t, **how).isfinite().all()


def test_network_outputs_are_combined_in_float32(schedule, generator):
    noisy = torch.randn(1, 4, generator=generator)
    output = noisy.bfloat16()
    t = torch.tensor([500])
    clean = clean_from(output, noisy, t, schedule=schedule, parametrisation="v")
    assert clean.dtype == torch.float32
    exact = clean_from(output.double(), noisy.double(), t, schedule=schedule, parametrisation="v")
    torch.testing.assert_close(clean.double(), exact, rtol=0, atol=1e-6)


def test_unknown_parametrisation_is_named(schedule):
    state = torch.zeros(1, 1)
    with pytest.raises((ValueError, TypeError), match="velocity"):
        how: dict[str, Any] = {"schedule": schedule, "parametrisation": "velocity"}
        clean_from(state, state, torch.tensor([5]), **how)
