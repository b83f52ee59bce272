"""Sampler "tcd" (invariant 12), and students that are told where to land."""

import pytest
import torch

from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.sampling import Jump, plan, sample, segment_times
from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.segments import Segments
from quickstep.diffusion.solver import ddim_weights
from quickstep.teachers.analytic import Gaussian


def drawn(schedule, sampler, *, count=1, gamma=0.3, num_steps=4):
    segments = Segments(count=count)
    return sample(
        lambda noisy, t: (0.4 * noisy).tanh() + t[:, None] / 1000,
        torch.randn(6, 3, generator=torch.Generator().manual_seed(1)),
        times=segment_times(num_steps, segments),
        schedule=schedule,
        sampler=sampler,
        segments=segments,
        gamma=gamma,
        generator=torch.Generator().manual_seed(2),
    )


def test_12_gamma_0_is_ddim(schedule):
    """Invariant 12: bit for bit, with one segment or two; and no noise is needed."""
    for count in (1, 2):
        tcd = drawn(schedule, "tcd", count=count, gamma=0.0)
        assert torch.equal(tcd, drawn(schedule, "ddim", count=count))
    jumps = plan([999, 499], sampler="tcd", gamma=0.0)
    assert not any(jump.draws_noise for jump in jumps)


def test_12_gamma_1_is_lcm(schedule):
    """Invariant 12: bit for bit with the clean anchor; with more segments it is `segment`."""
    assert torch.equal(drawn(schedule, "tcd", gamma=1.0), drawn(schedule, "lcm"))
    two = drawn(schedule, "tcd", gamma=1.0, count=2)
    assert torch.equal(two, drawn(schedule, "segment", count=2))


def test_12_without_the_clean_anchor_some_noise_is_kept(schedule):
    """Invariant 12: landing on t=0 as TCD's code does keeps .023 of the predicted noise at 259."""
    jump = plan([499, 259], sampler="tcd", gamma=1.0, end=0)[0]
    assert jump == Jump(499, 0, 259)
    kept = schedule.sigma(torch.tensor([0])) * schedule.alpha(torch.tensor([259]))
    kept = kept / schedule.alpha(torch.tensor([0]))
    assert kept.item() == pytest.approx(0.023, abs=5e-4)


def test_landings_lie_a_share_of_the_way_under_the_next_time():
    """floor((1 - gamma) t_next), counted from the end; .3 * 760 is not rounded down."""
    landings = [jump.edge for jump in plan([999, 759, 499, 259], sampler="tcd", gamma=0.3)]
    assert landings == [-1 + 532, -1 + 350, -1 + 182, CLEAN]
    from_zero = plan([999, 759], sampler="tcd", gamma=0.3, end=0)
    assert from_zero[0].edge == 531
    two = plan([999, 759, 499, 259], sampler="tcd", gamma=0.5, segments=Segments(count=2))
    assert [jump.edge for jump in two] == [629, 499, 129, CLEAN]
    for gamma in (-0.1, 1.1):
        with pytest.raises(ValueError, match=f"gamma.*{gamma}"):
            plan([999], sampler="tcd", gamma=gamma)


@pytest.mark.parametrize("gamma", [0.0, 0.3, 1.0])
def test_an_exact_student_of_any_landing_keeps_the_law(schedule, gamma):
    """A trajectory student that is told its landing draws the data for every gamma."""
    teacher = Gaussian(0.5, 0.3, schedule=schedule)
    segments, size = Segments(count=1), (4000, 1)
    generator = torch.Generator().manual_seed(3)
    made = sample(
        lambda noisy, t, edge: teacher.edge_clean(noisy, t=t, edge=edge),
        draw_noise(size, generator=generator),
        times=segment_times(4, segments),
        schedule=schedule,
        sampler="tcd",
        segments=segments,
        gamma=gamma,
        told=True,
        generator=generator,
    )
    assert made.mean().item() == pytest.approx(0.5, abs=0.03)
    assert made.var().item() == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize(("count", "num_steps"), [(2, 1), (4, 1), (4, 2), (4, 3)])
def test_a_told_student_needs_no_step_for_every_segment(schedule, generator, count, num_steps):
    """Fewer steps than segments: exact, deterministic and without a warning."""
    teacher, segments = Gaussian(0.5, 0.3, schedule=schedule), Segments(count=count)
    noise = draw_noise((5, 1), generator=generator, dtype=torch.float64)
    made = sample(
        lambda noisy, t, edge: teacher.edge_clean(noisy, t=t, edge=edge),
        noise,
        times=segment_times(num_steps, segments, told=True),
        schedule=schedule,
        sampler="segment",
        segments=segments,
        told=True,
    )
    exact = teacher.solution(noise, t_from=torch.full((5,), 999), t_to=torch.full((5,), CLEAN))
    torch.testing.assert_close(made, exact, rtol=0, atol=1e-9)


def test_a_student_that_is_not_told_shrinks_the_data(schedule, generator):
    """The clean jump of one step over two segments: blur, by the mean over the top segment."""
    teacher, segments = Gaussian(0.0, 1.0, schedule=schedule), Segments(count=2)
    noise = draw_noise((4, 1), generator=generator, dtype=torch.float64)
    with pytest.warns(UserWarning, match="^1 step for a student of 2 segments"):
        made = sample(
            lambda noisy, t: teacher.edge_clean(noisy, t=t, edge=segments.edge_below(t)),
            noise,
            times=segment_times(1, segments),
            schedule=schedule,
            sampler="segment",
            segments=segments,
        )
    top, edge = torch.tensor([999]), torch.tensor([499])
    ratio, weight = ddim_weights(top, edge, schedule=schedule)
    torch.testing.assert_close(made, ((1 - ratio) / weight) * noise)
    assert ((1 - ratio) / weight).item() < 0.35


def test_times_of_a_told_student_are_upper_edges():
    four = Segments(count=4)
    assert segment_times(3, four, told=True) == [999, 739, 499]
    assert segment_times(2, four, told=True) == [999, 499]
    assert segment_times(8, four, told=True) == segment_times(8, four)
    with pytest.raises(ValueError, match=r"among \[999, 739, 499, 239\].*\[999, 639\]"):
        plan([999, 639], sampler="segment", segments=four, told=True)
