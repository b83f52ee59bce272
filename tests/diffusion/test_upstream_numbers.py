"""UniAnimate's own diffusion numbers: tables, steps, the 31-step loop, the training target.

The recorded numbers hold to rounding: torch's `sqrt` differs by an ulp between processors. To the
bit, our step is held against upstream's arithmetic (`upstreams_step`) run on the same processor.
"""

import json

import pytest
import torch
from safetensors.torch import load_file

from quickstep.diffusion.prediction import clean_from, prediction_from
from quickstep.diffusion.sampling import sample, upstream_times
from quickstep.diffusion.schedule import Schedule
from quickstep.diffusion.solver import ddim_step, ddim_step_through_noise, guided


@pytest.fixture(scope="module")
def upstream(shared):
    return load_file(shared / "fixtures" / "unianimate_ddim.safetensors")


def upstreams_step(clean, noisy, t, t_to, schedule):
    """UniAnimate's DDIM step, from the facts known of it: float64 tables, cast, then arithmetic."""
    table = schedule.alpha_bar

    def at(values, time):
        return values[time].to(noisy.dtype).view(-1, 1, 1, 1, 1)

    noise = (at((1 / table).sqrt(), t) * noisy - clean) / at((1 / table - 1).sqrt(), t)
    landing = at(table, t_to)
    return torch.sqrt(landing) * clean + torch.sqrt(1 - landing) * noise


def test_tables(upstream, schedule):
    torch.testing.assert_close(schedule.alpha_bar, upstream["alphas_cumprod"], rtol=0, atol=1e-14)
    plain = Schedule.scaled_linear().alpha_bar
    torch.testing.assert_close(plain, upstream["alphas_cumprod_no_ztsnr"], rtol=0, atol=1e-14)


@pytest.mark.parametrize("num_steps", [4, 25, 30, 50])
def test_times(shared, num_steps):
    known = json.loads((shared / "fixtures" / "unianimate_ddim.json").read_text())
    assert upstream_times(num_steps) == known[f"steps_{num_steps}"]


@pytest.mark.parametrize("num_steps", [4, 30])
@pytest.mark.parametrize("with_guidance", [False, True])
def test_single_steps(upstream, schedule, num_steps, with_guidance):
    noisy, v = upstream["xt"], upstream["v_cond"]
    if with_guidance:
        v = guided(v, upstream["v_uncond"], 2.5)
    name = f"ddim{num_steps}" + ("" if with_guidance else "_nocfg")
    steps = [key.split("/")[1] for key in upstream if key.startswith(f"{name}/") and "x0" in key]
    assert len(steps) >= 4
    for step in steps:
        t = torch.tensor([int(step[1:])])
        clean = clean_from(v, noisy, t, schedule=schedule, parametrisation="v")
        t_to = (t - 1000 // num_steps).clamp(min=0)
        landed = ddim_step(clean, noisy, t_from=t, t_to=t_to, schedule=schedule)
        torch.testing.assert_close(clean, upstream[f"{name}/{step}/x0"], rtol=0, atol=1e-5)
        torch.testing.assert_close(landed, upstream[f"{name}/{step}/x_prev"], rtol=0, atol=1e-5)
        exact = ddim_step_through_noise(clean, noisy, t_from=t, t_to=t_to, schedule=schedule)
        torch.testing.assert_close(exact, upstream[f"{name}/{step}/x_prev"], rtol=0, atol=1e-5)
        assert torch.equal(exact, upstreams_step(clean, noisy, t, t_to, schedule))


def test_a_step_through_the_noise_is_refused_where_it_divides_by_zero(upstream, schedule):
    for t_from, t_to in ((999, 900), (5, -1)):
        with pytest.raises(ValueError, match="not pure noise"):
            ddim_step_through_noise(
                upstream["xt"],
                upstream["xt"],
                t_from=torch.tensor([t_from]),
                t_to=torch.tensor([t_to]),
                schedule=schedule,
            )


def test_whole_loop(upstream, schedule):
    def denoise(noisy, t):
        v = guided(0.3 * noisy, 0.1 * noisy, 2.5)
        return clean_from(v, noisy, t, schedule=schedule, parametrisation="v")

    drawn, exact = (
        sample(
            denoise,
            upstream["loop30/noise"],
            times=upstream_times(30),
            schedule=schedule,
            end=0,
            step=step,
        )
        for step in (ddim_step, ddim_step_through_noise)
    )
    expected = upstream["loop30/out_model_v=0.3x(cond),0.1x(uncond),cfg2.5"]
    torch.testing.assert_close(drawn, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(exact, expected, rtol=0, atol=1e-5)

    state = upstream["loop30/noise"]
    for t in upstream_times(30):
        t_from, t_to = torch.tensor([t]), torch.tensor([max(t - 33, 0)])
        state = upstreams_step(denoise(state, t_from), state, t_from, t_to, schedule)
    assert torch.equal(exact, state)
    assert not torch.equal(drawn, state)


def test_forward_process_and_training_target(upstream, schedule):
    clean, noise, t = upstream["train/x0"], upstream["train/noise"], torch.tensor([500])
    noisy = schedule.add_noise(clean, noise, t)
    torch.testing.assert_close(noisy, upstream["train/x500"], rtol=0, atol=1e-6)
    v = prediction_from(clean, noise, t, schedule=schedule, parametrisation="v")
    torch.testing.assert_close(v, upstream["train/v500"], rtol=0, atol=1e-6)
    for prior in (939, 949):
        start = schedule.add_noise(
            upstream["noise_prior/ref"], upstream["noise_prior/noise"], torch.tensor([prior])
        )
        expected = upstream[f"noise_prior/q_sample_{prior}"]
        torch.testing.assert_close(start, expected, rtol=0, atol=1e-6)
