"""The consistency target: invariants 3, 4, 7 and 8."""

import math

import pytest
import torch

from quickstep.diffusion.consistency import (
    boundary_scalings,
    consistency_target,
    mixture_weight,
    residual_scale,
)
from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.segments import Anchor, Grid, PairPolicy, Segments, possible_pairs
from quickstep.diffusion.solver import ddim_step, ddim_weights
from quickstep.teachers.analytic import Gaussian, GaussianMixture

SETTINGS: list[tuple[int, Anchor, PairPolicy]] = [
    (count, anchor, policy)
    for count in (1, 2, 4)
    for anchor in ("clean", "first")
    for policy in ("skip", "uniform")
]


def all_pairs(count, *, anchor: Anchor = "clean", policy: PairPolicy = "skip", skip=20):
    segments = Segments(count=count, grid=Grid(skip=skip), anchor=anchor)
    return possible_pairs(segments, policy=policy)[0]


@pytest.mark.parametrize(("count", "anchor", "policy"), SETTINGS)
def test_4_mixing_clean_estimates_is_stepping_twice(schedule, generator, count, anchor, policy):
    """Invariant 4, identity (ii): a jump with the mixture lands where both steps land."""
    t_from, t_to, edge = all_pairs(count, anchor=anchor, policy=policy)
    noisy, teacher, target = torch.randn(
        3, len(t_from), 2, generator=generator, dtype=torch.float64
    )
    halfway = ddim_step(teacher, noisy, t_from=t_from, t_to=t_to, schedule=schedule)
    expected = ddim_step(target, halfway, t_from=t_to, t_to=edge, schedule=schedule)
    mixed = consistency_target(
        teacher, target, t_from=t_from, t_to=t_to, edge=edge, schedule=schedule
    )
    landed = ddim_step(mixed, noisy, t_from=t_from, t_to=edge, schedule=schedule)
    torch.testing.assert_close(landed, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("count", "anchor", "policy"), SETTINGS)
def test_4_the_teachers_share_is_a_share(schedule, count, anchor, policy):
    """Invariant 4: lam in [0, 1], float64, and exactly 1 where the teacher reached the edge."""
    t_from, t_to, edge = all_pairs(count, anchor=anchor, policy=policy)
    share = mixture_weight(t_from, t_to, edge, schedule=schedule)
    assert share.dtype == torch.float64
    assert ((share >= 0) & (share <= 1)).all()
    assert (share[t_to == edge] == 1).all()
    assert (share[t_to != edge] < 1).all()


def test_4_the_teacher_enters_more_strongly_with_more_segments(schedule):
    """Invariant 4: lam at t=999 with skip 20 is .0003, .016, .047 for K = 1, 2, 4."""
    t = torch.tensor([999])
    shares = [
        mixture_weight(
            t, t - 20, Segments(count=count, anchor="first").edge_below(t), schedule=schedule
        ).item()
        for count in (1, 2, 4)
    ]
    assert shares == pytest.approx([0.0003, 0.016, 0.047], rel=0.15)


def test_4_disordered_times_are_refused(schedule):
    with pytest.raises(ValueError, match="edge <= t_to <= t_from"):
        mixture_weight(
            torch.tensor([500]), torch.tensor([400]), torch.tensor([499]), schedule=schedule
        )


def test_target_may_be_left_out_on_the_edge(schedule, generator):
    """Where the teacher reached the edge, NaN from the target changes nothing."""
    t_from, t_to = torch.tensor([19, 519, 999]), torch.tensor([CLEAN, 499, 979])
    edge = torch.tensor([CLEAN, 499, 499])
    teacher, target = torch.randn(2, 3, 4, generator=generator)
    target[:2] = float("nan")
    teacher.requires_grad_()
    target.requires_grad_()
    mixed = consistency_target(
        teacher, target, t_from=t_from, t_to=t_to, edge=edge, schedule=schedule
    )
    assert torch.equal(mixed[:2], teacher[:2])
    mixed.sum().backward()
    assert teacher.grad is not None and target.grad is not None
    assert (teacher.grad[:2] == 1).all() and (target.grad[:2] == 0).all()
    assert teacher.grad.isfinite().all() and target.grad.isfinite().all()


def test_target_is_float32_whatever_the_networks_answer(schedule, generator):
    t_from, t_to, edge = all_pairs(2)
    teacher, target = torch.randn(2, 50, 4, generator=generator).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = consistency_target(
            teacher, target, t_from=t_from, t_to=t_to, edge=edge, schedule=schedule
        )
    assert mixed.dtype == torch.float32


def test_3_boundary_scalings_of_lcm_mark_time_zero():
    """Invariant 3: c_skip(0)=1, c_out(0)=0, and c_skip(20) is below 1e-5 already."""
    c_skip, c_out = boundary_scalings(torch.tensor([0, 19, 20]))
    assert (c_skip[0].item(), c_out[0].item()) == (1.0, 0.0)
    assert c_skip[1].item() == pytest.approx(6.9e-6, rel=0.01)
    assert c_skip[2].item() == pytest.approx(6.2e-6, rel=0.01)
    assert (c_out[1:] > 0.9999).all()


def lcm_target(clean_target, noisy_to, t_to):
    """VideoLCM's target: ``c_skip * noisy + c_out * clean`` at the earlier time."""
    c_skip, c_out = boundary_scalings(t_to)
    return c_skip[:, None] * noisy_to + c_out[:, None] * clean_target


def test_8_one_segment_is_videolcm(schedule, generator):
    """Invariant 8: K=1, anchor clean: VideoLCM's target at every grid time but the first."""
    t_from, t_to, edge = all_pairs(1)
    noisy, teacher, target = torch.randn(
        3, len(t_from), 8, generator=generator, dtype=torch.float64
    )
    ours = consistency_target(
        teacher, target, t_from=t_from, t_to=t_to, edge=edge, schedule=schedule
    )
    first = t_to.clamp(min=0)  # the reference code's time under the first grid time is t=0
    noisy_to = ddim_step(teacher, noisy, t_from=t_from, t_to=first, schedule=schedule)
    theirs = lcm_target(target, noisy_to, first)
    relative = (ours - theirs).norm(dim=1) / theirs.norm(dim=1)
    assert (relative[1:] <= 1.5e-5).all()
    assert relative[0] > 1e-3


def test_8_the_first_grid_time_agrees_on_the_edge(schedule, generator):
    """Invariant 8: with anchor "first" both land on one state, sigma_0 noise and all."""
    t_from, t_to, edge = (t[:1] for t in all_pairs(1, anchor="first"))
    noisy, teacher, target = torch.randn(3, 1, 8, generator=generator, dtype=torch.float64)
    mixed = consistency_target(
        teacher, target, t_from=t_from, t_to=t_to, edge=edge, schedule=schedule
    )
    ours = ddim_step(mixed, noisy, t_from=t_from, t_to=edge, schedule=schedule)
    noisy_to = ddim_step(teacher, noisy, t_from=t_from, t_to=t_to, schedule=schedule)
    torch.testing.assert_close(ours, lcm_target(target, noisy_to, t_to), rtol=0, atol=1e-14)


@pytest.mark.parametrize("anchor", ["clean", "first"])
def test_8_a_segment_per_grid_step_leaves_the_teacher_alone(schedule, generator, anchor):
    """Invariant 8: K=N, target == the teacher's clean estimate, bit for bit."""
    t_from, t_to, edge = all_pairs(50, anchor=anchor)
    teacher, target = torch.randn(2, 50, 4, generator=generator)
    mixed = consistency_target(
        teacher, target, t_from=t_from, t_to=t_to, edge=edge, schedule=schedule
    )
    assert torch.equal(t_to, edge) and torch.equal(mixed, teacher)


def test_7_residual_of_the_exact_student_is_second_order(schedule):
    """Invariant 7: an exact student has no loss as the gap goes to 0, and O(gap^2) before."""
    mixture = GaussianMixture(
        weights=torch.tensor([0.4, 0.6]),
        means=torch.tensor([-1.2, 0.9]),
        variances=torch.tensor([0.1, 0.3]),
        schedule=schedule,
    )
    gaps = torch.tensor([40, 20, 10, 5])
    t_from, edge = torch.full((4,), 849), torch.full((4,), 499)
    times = {"t_from": t_from, "t_to": t_from - gaps}
    noisy = torch.full((4, 1), 1.1, dtype=torch.float64)
    for teacher in (Gaussian(0.4, 1.7, schedule=schedule), mixture):
        clean_teacher = teacher(noisy, t_from)
        noisy_to = ddim_step(clean_teacher, noisy, **times, schedule=schedule)
        clean_target = teacher.edge_clean(noisy_to, t=times["t_to"], edge=edge)
        mixed = consistency_target(
            clean_teacher, clean_target, **times, edge=edge, schedule=schedule
        )
        exact = teacher.edge_clean(noisy, t=t_from, edge=edge)
        residuals = (mixed - exact).abs()[:, 0].tolist()
        slope = math.log(residuals[0] / residuals[-1]) / math.log(8)
        assert slope == pytest.approx(2, abs=0.15)
        assert residuals[-1] < 1e-3


def test_residual_scales(schedule):
    """ "edge" is what a clean residual becomes on the edge; "v" squared is SNR + 1."""
    t_from, edge = torch.tensor([999, 519, 499]), torch.tensor([499, 499, CLEAN])
    on_edge = residual_scale(t_from, edge, schedule=schedule, space="edge")
    assert torch.equal(on_edge, ddim_weights(t_from, edge, schedule=schedule)[1])
    # .49 at T and .035 one grid step above the edge of K=2, against 1 towards clean data.
    assert on_edge.tolist() == pytest.approx([0.492, 0.035, 1.0], abs=2e-3)
    snr = schedule.kappa(t_from) ** 2
    v = residual_scale(t_from, edge, schedule=schedule, space="v")
    torch.testing.assert_close(v**2, snr + 1)
    assert (residual_scale(t_from, edge, schedule=schedule) == 1).all()
