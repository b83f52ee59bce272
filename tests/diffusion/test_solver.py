"""Solvers: identities (invariants 2, 3), order, precision, guidance (invariant 14)."""

import math

import pytest
import torch

from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.solver import (
    ddim_step,
    ddim_weights,
    guidance_from_lcm_weight,
    guided,
    heun_step,
    inverse_ddim,
    renoise,
)
from quickstep.teachers.analytic import Gaussian, GaussianMixture


def times(*values):
    return torch.tensor(values)


def test_2_3_step_to_the_same_time_is_the_identity_bit_for_bit(schedule, generator):
    """Invariants 2 and 3: DDIM from t to t, a jump from the edge to the edge, changes no bit."""
    t = times(CLEAN, 0, 19, 499, 998, 999)
    noisy, clean = torch.randn(2, len(t), 5, generator=generator)
    assert torch.equal(ddim_step(clean, noisy, t_from=t, t_to=t, schedule=schedule), noisy)


def test_2_step_to_clean_gives_the_clean_estimate(schedule, generator):
    """Invariant 2: at the noise-free time nothing of the state is left, bit for bit."""
    t = times(0, 499, 999)
    noisy, clean = torch.randn(2, len(t), 5, generator=generator)
    landed = ddim_step(clean, noisy, t_from=t, t_to=torch.full((3,), CLEAN), schedule=schedule)
    assert torch.equal(landed, clean)


def test_2_inverse_undoes_the_step(schedule, generator):
    """Invariant 2: the clean estimate comes back, from pure noise and to clean data too."""
    t_from, t_to = times(999, 999, 499, 19, 1), times(499, CLEAN, 0, CLEAN, 0)
    noisy, clean = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    where = {"t_from": t_from, "t_to": t_to, "schedule": schedule}
    landed = ddim_step(clean, noisy, **where)
    torch.testing.assert_close(inverse_ddim(landed, noisy, **where), clean, rtol=0, atol=1e-10)
    with pytest.raises(ValueError, match="t_to must differ"):
        inverse_ddim(landed, noisy, t_from=t_from, t_to=t_from, schedule=schedule)


def test_2_steps_with_one_clean_estimate_compose(schedule, generator):
    """Invariant 2: through any time in between, up or down, is the same as directly."""
    noisy, clean = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    t_from, middle, t_to = times(999, 999, 300), times(499, 20, 800), times(19, 400, CLEAN)
    halfway = ddim_step(clean, noisy, t_from=t_from, t_to=middle, schedule=schedule)
    through = ddim_step(clean, halfway, t_from=middle, t_to=t_to, schedule=schedule)
    directly = ddim_step(clean, noisy, t_from=t_from, t_to=t_to, schedule=schedule)
    torch.testing.assert_close(through, directly, rtol=0, atol=1e-13)


def test_ddim_is_euler_in_kappa(schedule):
    t_from, t_to = times(999, 700, 499), times(800, 680, 0)
    ratio, weight = ddim_weights(t_from, t_to, schedule=schedule)
    gap = schedule.kappa(t_to) - schedule.kappa(t_from)
    torch.testing.assert_close(ratio, schedule.sigma(t_to) / schedule.sigma(t_from))
    torch.testing.assert_close(weight, schedule.sigma(t_to) * gap)


def test_one_cannot_step_up_from_clean(schedule):
    with pytest.raises(ValueError, match="renoise"):
        ddim_weights(times(CLEAN), times(5), schedule=schedule)


def test_gradients_are_finite_at_both_ends(schedule, generator):
    """The masked branches of the coefficients never reach the graph."""
    noisy, clean = torch.randn(2, 3, 2, generator=generator).requires_grad_().unbind(0)
    landed = ddim_step(
        clean,
        noisy,
        t_from=times(999, 19, CLEAN),
        t_to=times(CLEAN, CLEAN, CLEAN),
        schedule=schedule,
    )
    grads = torch.autograd.grad(landed.sum(), (clean, noisy))
    assert all(grad.isfinite().all() for grad in grads)


def gaussian_error(schedule, *, solver, num_steps, t_first=999, t_last=99):
    """Largest end-point error of a solver against the Gaussian's exact flow."""
    teacher = Gaussian(0.7, 2.0, schedule=schedule)
    start = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    state = start
    grid = torch.linspace(t_first, t_last, num_steps + 1).round().long()
    for t_from, t_to in zip(grid[:-1].tolist(), grid[1:].tolist(), strict=True):
        where = {"t_from": torch.full((9,), t_from), "t_to": torch.full((9,), t_to)}
        if solver == "ddim":
            clean = teacher(state, where["t_from"])
            state = ddim_step(clean, state, schedule=schedule, **where)
        else:
            state = heun_step(teacher, state, schedule=schedule, **where)
    exact = teacher.solution(start, t_from=torch.full((9,), t_first), t_to=torch.full((9,), t_last))
    return (state - exact).abs().max().item()


@pytest.mark.parametrize(
    ("solver", "order", "tolerance"), [("ddim", 1.0, 0.05), ("heun", 2.0, 0.05)]
)
def test_order_of_convergence(schedule, solver, order, tolerance):
    """Error against the closed form falls as steps^-1 for DDIM and steps^-2 for Heun."""
    counts = [15, 30, 60, 120]
    errors = [gaussian_error(schedule, solver=solver, num_steps=n) for n in counts]
    log_steps = torch.tensor([math.log(n) for n in counts])
    log_error = torch.tensor([math.log(e) for e in errors])
    centred = log_steps - log_steps.mean()
    slope = (centred * log_error).sum() / centred.square().sum()
    assert -slope.item() == pytest.approx(order, abs=tolerance)


def test_heun_beats_ddim_at_the_same_number_of_evaluations(schedule):
    heun = gaussian_error(schedule, solver="heun", num_steps=20)
    assert heun < 0.2 * gaussian_error(schedule, solver="ddim", num_steps=40)


def test_heun_to_clean_never_asks_the_network_there(schedule, generator):
    asked = []

    def denoise(noisy, t):
        asked.append(t.clone())
        return noisy * 0.5

    noisy = torch.randn(2, 3, generator=generator)
    landed = heun_step(
        denoise, noisy, t_from=times(19, 500), t_to=times(CLEAN, 480), schedule=schedule
    )
    assert all((t >= 0).all() for t in asked)
    assert torch.equal(landed[0], noisy[0] * 0.5)


@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16_answers_are_stepped_in_float32(schedule, generator, autocast):
    """Precision: one step of 20 at t=499 is .0049 rms, bfloat16 arithmetic would err by .0031."""
    noisy = torch.randn(2, 64, generator=generator)
    clean = torch.randn(2, 64, generator=generator).bfloat16()
    where = {"t_from": times(499, 499), "t_to": times(479, 479), "schedule": schedule}
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        landed = ddim_step(clean, noisy, **where)
        assert landed.dtype == torch.float32
        assert guided(clean, clean, 2.5).dtype == torch.float32
        assert (
            renoise(clean, clean, t_from=times(0, 0), t_to=times(9, 9), schedule=schedule).dtype
            == torch.float32
        )
        assert heun_step(lambda x, t: x.bfloat16(), noisy, **where).dtype == torch.float32
    exact = ddim_step(clean.double(), noisy.double(), **where)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(landed.double(), exact, rtol=0, atol=1e-6)
    assert {w.dtype for w in ddim_weights(times(9), times(5), schedule=schedule)} == {torch.float64}


def test_renoise_composes_in_law(schedule):
    """From clean to t through any edge: the same clean and noise coefficients, in squares."""
    one, zero = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    for edge, t in ((CLEAN, 499), (239, 499), (0, 19), (499, 999), (499, 499)):
        up = {"t_from": times(edge), "t_to": times(t), "schedule": schedule}
        kept = renoise(one, zero, **up).item()
        added = renoise(zero, one, **up).item()
        assert kept * schedule.alpha(times(edge)).item() == pytest.approx(
            schedule.alpha(times(t)).item(), abs=1e-14
        )
        variance = (kept * schedule.sigma(times(edge)).item()) ** 2 + added**2
        assert variance == pytest.approx(schedule.sigma(times(t)).item() ** 2, abs=1e-14)
    with pytest.raises(ValueError, match="only be added"):
        renoise(one, zero, t_from=times(9), t_to=times(5), schedule=schedule)


def test_renoise_from_clean_is_the_forward_process(schedule, generator):
    clean, noise = torch.randn(2, 4, 3, generator=generator)
    t = times(0, 300, 998, 999)
    up = renoise(clean, noise, t_from=torch.full((4,), CLEAN), t_to=t, schedule=schedule)
    torch.testing.assert_close(up, schedule.add_noise(clean, noise, t))


def test_14_guidance_conventions(generator):
    """Invariant 14: g = 1 + w; g=1 is the condition alone, g=0 none of it."""
    conditional, unconditional = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64)
    weight = 2.5
    lcm_form = conditional + weight * (conditional - unconditional)
    g = guidance_from_lcm_weight(weight)
    assert g == 3.5
    torch.testing.assert_close(guided(conditional, unconditional, g), lcm_form)
    torch.testing.assert_close(guided(conditional, unconditional, 1.0), conditional)
    assert torch.equal(guided(conditional, unconditional, 0.0), unconditional)
    per_sample = guided(conditional, unconditional, torch.tensor([1.0, 0.0, g]))
    torch.testing.assert_close(per_sample[2], lcm_form[2])
    assert torch.equal(per_sample[1], unconditional[1])


def test_14_guidance_in_one_batch_equals_two_calls(schedule, generator):
    """Invariant 14: conditional and unconditional rows of one batch do not see each other."""
    means = torch.tensor([[1.0], [-0.5], [0.0], [0.0]], dtype=torch.float64)
    both = Gaussian(means, 1.0, schedule=schedule)
    conditional = Gaussian(means[:2], 1.0, schedule=schedule)
    unconditional = Gaussian(means[2:], 1.0, schedule=schedule)
    noisy, t = torch.randn(2, 3, generator=generator), times(300, 999)
    first, second = both(torch.cat([noisy, noisy]), torch.cat([t, t])).chunk(2)
    separately = guided(conditional(noisy, t), unconditional(noisy, t), 2.5)
    assert torch.equal(guided(first, second, 2.5), separately)


def test_5_clean_estimate_between_two_points_is_the_mean_over_kappa(schedule):
    """Invariant 5, identity (i): inverse DDIM of an exact pair averages the denoiser in kappa."""
    mixture = GaussianMixture(
        weights=torch.tensor([0.3, 0.7]),
        means=torch.tensor([-1.5, 0.8]),
        variances=torch.tensor([0.2, 0.4]),
        schedule=schedule,
    )
    t = torch.arange(999, 498, -4)
    top, edge = torch.full_like(t, 999), torch.full_like(t, 499)
    kappa = schedule.kappa(t)
    start = torch.full((len(t), 1), 1.2, dtype=torch.float64)
    for teacher in (Gaussian(0.7, 2.0, schedule=schedule), mixture):
        path = teacher.solution(start, t_from=top, t_to=t, num_steps=128)
        mean = torch.trapezoid(teacher(path, t)[:, 0], kappa) / (kappa[-1] - kappa[0])
        jump = inverse_ddim(path[-1:], start[:1], t_from=top[:1], t_to=edge[:1], schedule=schedule)
        assert jump.item() == pytest.approx(mean.item(), abs=5e-5)
        assert abs(jump.item() - teacher(start[:1], top[:1]).item()) > 0.05
