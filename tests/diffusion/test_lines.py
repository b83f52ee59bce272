"""PeRFlow's straight lines (invariant 9): ends found again from any state, finite at pure noise."""

import pytest
import torch

from quickstep.diffusion.lines import (
    Ends,
    Line,
    line_ends,
    line_state,
    line_step,
    velocity_scale,
)
from quickstep.diffusion.noise import draw_noise
from quickstep.diffusion.sampling import plan, sample, segment_times
from quickstep.diffusion.schedule import CLEAN
from quickstep.diffusion.segments import Segments
from quickstep.diffusion.solver import ddim_step, ddim_weights, inverse_ddim, solve
from quickstep.teachers.analytic import Gaussian

FOUR = Segments(count=4)


@pytest.fixture
def line():
    """Every trained time of four segments, each with its segment."""
    t = FOUR.start_times
    return t, Line(FOUR.edge_above(t), FOUR.edge_below(t))


@pytest.fixture
def ends(line, generator):
    return Ends(*torch.randn(2, len(line[0]), 3, generator=generator, dtype=torch.float64))


def directing(ends, line, schedule):
    return inverse_ddim(
        ends.end, ends.start, t_from=line.t_start, t_to=line.t_end, schedule=schedule
    )


def test_9_both_ends_come_back_from_any_state(schedule, line, ends):
    """Invariant 9: xi* is inverse DDIM of the ends, and gives them from every r."""
    t, pieces = line
    clean = directing(ends, pieces, schedule)
    state = line_state(ends, t, line=pieces)
    found = line_ends(clean, state, t=t, line=pieces, schedule=schedule)
    torch.testing.assert_close(found.start, ends.start, rtol=0, atol=1e-9)
    torch.testing.assert_close(found.end, ends.end, rtol=0, atol=1e-9)
    stepped = line_step(clean, state, t_from=t, t_to=pieces.t_end, line=pieces, schedule=schedule)
    torch.testing.assert_close(stepped, ends.end, rtol=0, atol=1e-9)


def test_9_a_step_leads_to_the_line_again(schedule, line, ends):
    """Invariant 9: any step along the line lands on the line, at its own time."""
    t, pieces = line
    clean, t_to = directing(ends, pieces, schedule), torch.maximum(t - 60, pieces.t_end)
    stepped = line_step(
        clean,
        line_state(ends, t, line=pieces),
        t_from=t,
        t_to=t_to,
        line=pieces,
        schedule=schedule,
    )
    torch.testing.assert_close(stepped, line_state(ends, t_to, line=pieces), rtol=0, atol=1e-9)


def test_9_finite_at_zero_terminal_snr(schedule, line):
    """Invariant 9: the noise form's factor is infinite at the top; nothing here is."""
    t, pieces = line
    assert schedule.alpha(pieces.t_start).min() == 0
    noisy, clean = torch.ones(2, len(t), 1)
    ends = line_ends(clean, noisy, t=t, line=pieces, schedule=schedule)
    assert ends.start.isfinite().all() and ends.end.isfinite().all()
    assert velocity_scale(t, line=pieces, schedule=schedule).isfinite().all()


def test_from_edge_to_edge_a_step_is_ddim(schedule, generator):
    t_start, t_end = FOUR.edges[1:], FOUR.edges[:-1]
    noisy, clean = torch.randn(2, 4, 3, generator=generator)
    where = {"t_from": t_start, "t_to": t_end, "schedule": schedule}
    along = line_step(clean, noisy, line=Line(t_start, t_end), **where)
    torch.testing.assert_close(along, ddim_step(clean, noisy, **where), rtol=0, atol=1e-6)
    assert torch.equal(along[0], clean[0])  # the lowest edge is clean data


def test_velocity_scale_is_what_a_residual_becomes(schedule, line, generator):
    t, pieces = line
    noisy, first, second = torch.randn(3, len(t), 2, generator=generator, dtype=torch.float64)
    velocities = []
    for clean in (first, second):
        ends = line_ends(clean, noisy, t=t, line=pieces, schedule=schedule)
        velocities.append(ends.end - ends.start)
    scale = velocity_scale(t, line=pieces, schedule=schedule)[:, None]
    torch.testing.assert_close(velocities[1] - velocities[0], scale * (second - first))


def exact_student(teacher, segments):
    """Answers, anywhere on a line, the clean estimate that directs it: the Gaussian's flow."""

    def denoise(noisy, t):
        line = Line(segments.edge_above(t), segments.edge_below(t))
        one = torch.ones(len(t), 1, dtype=torch.float64)
        # Of mean 0, so the flow from start to end is one factor.
        factor = teacher.solution(one, t_from=line.t_start, t_to=line.t_end)
        ratio, weight = (
            w[:, None] for w in ddim_weights(line.t_start, line.t_end, schedule=teacher.schedule)
        )
        share = line.share(t)[:, None]
        start = noisy / (1 - share + share * factor)
        return (factor - ratio) / weight * start

    return denoise


@pytest.mark.parametrize("num_steps", [4, 6, 8])
def test_sampling_exact_lines_is_the_exact_flow(schedule, generator, num_steps):
    """N = K and N > K alike: straight lines cost nothing to cut, and no noise is drawn."""
    teacher = Gaussian(0.0, 0.4, schedule=schedule)
    noise = draw_noise((5, 1), generator=generator, dtype=torch.float64)
    drawn = sample(
        exact_student(teacher, FOUR),
        noise,
        times=segment_times(num_steps, FOUR),
        schedule=schedule,
        sampler="perflow",
        segments=FOUR,
    )
    exact = teacher.solution(noise, t_from=torch.full((5,), 999), t_to=torch.full((5,), CLEAN))
    torch.testing.assert_close(drawn, exact, rtol=0, atol=1e-9)


def test_a_step_for_every_segment_is_needed():
    with pytest.raises(ValueError, match="'perflow' must be 4 or more.*got 2"):
        plan([999, 499], sampler="perflow", segments=FOUR)
    with pytest.raises(ValueError, match="segments must be given"):
        plan([999, 499], sampler="perflow")


def test_times_outside_the_segment_are_refused(schedule):
    line = Line(torch.tensor([499]), torch.tensor([239]))
    state = torch.zeros(1, 1)
    for t in (500, 239):
        with pytest.raises(ValueError, match="above its segment's lower edge"):
            line_ends(state, state, t=torch.tensor([t]), line=line, schedule=schedule)


def test_solving_in_many_steps_follows_the_exact_flow(schedule):
    """Every sample from and to its own time; errors fall with the number of steps."""
    teacher = Gaussian(0.5, 0.3, schedule=schedule)
    t_from, t_to = torch.tensor([999, 739, 239]), torch.tensor([739, 499, CLEAN])
    noisy = torch.tensor([[1.0], [-0.5], [2.0]], dtype=torch.float64)
    exact = teacher.solution(noisy, t_from=t_from, t_to=t_to)
    where = {"t_from": t_from, "t_to": t_to, "schedule": schedule}
    errors = [(solve(teacher, noisy, num_steps=steps, **where) - exact).abs() for steps in (4, 16)]
    assert (errors[1] < 0.35 * errors[0]).all()
    once = solve(teacher, noisy, num_steps=1, **where)
    assert torch.equal(once, ddim_step(teacher(noisy, t_from), noisy, **where))
    with pytest.raises(ValueError, match="num_steps must be at least 1: got 0"):
        solve(teacher, noisy, num_steps=0, **where)
