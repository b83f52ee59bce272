"""Invariant 6: what distillation converges to, when the teacher is a Gaussian.

Data of unit variance, a student whose clean estimate is one number per time times the noisy state,
a squared loss. The student's jump from the top of a segment should keep the standard deviation at
1; its fixed point says how much a policy of time pairs shrinks the data.
"""

import pytest
import torch

from quickstep.diffusion.consistency import consistency_target
from quickstep.diffusion.segments import Grid, Segments, draw_pair, possible_pairs
from quickstep.diffusion.solver import ddim_step
from quickstep.losses.distance import squared
from quickstep.teachers.analytic import Gaussian


def target_parts(pair, *, schedule):
    """The engine's target for a unit state at `t_from`, as ``first + second * student(t_to)``."""
    teacher = Gaussian(0.0, 1.0, schedule=schedule)
    noisy = torch.ones(len(pair.t_from), 1, dtype=torch.float64)
    clean_teacher = teacher(noisy, pair.t_from)
    noisy_to = ddim_step(
        clean_teacher, noisy, t_from=pair.t_from, t_to=pair.t_to, schedule=schedule
    )
    times = {**pair._asdict(), "schedule": schedule}
    nothing = torch.zeros_like(noisy)
    first = consistency_target(clean_teacher, nothing, **times)
    second = consistency_target(nothing, noisy_to, **times)
    return first[:, 0], second[:, 0]


def fixed_point(segments, *, policy, schedule):
    """The student of least squared loss: the mean target of each time, from the clean end up."""
    pairs, chance = possible_pairs(segments, policy=policy)
    first, second = target_parts(pairs, schedule=schedule)
    # The last entry is the noise-free time, of which no target is ever asked.
    student = torch.zeros(schedule.num_timesteps + 1, dtype=torch.float64)
    rows = torch.unique_consecutive(pairs.t_from, return_counts=True)[1].tolist()
    for row in torch.arange(len(chance)).split(rows):
        target = first[row] + second[row] * student[pairs.t_to[row]]
        student[pairs.t_from[row[0]]] = (target * chance[row]).sum() / chance[row].sum()
    return student


def kept_deviation(student, segments, *, schedule):
    """Standard deviation after the jump from each segment's top, noisiest first; 1 is right."""
    tops = segments.edges[1:].flip(0)
    noisy = torch.ones(len(tops), 1, dtype=torch.float64)
    clean = student[tops][:, None] * noisy
    return ddim_step(clean, noisy, t_from=tops, t_to=segments.edge_below(tops), schedule=schedule)[
        :, 0
    ].tolist()


@pytest.mark.parametrize(
    ("count", "policy", "skip", "expected"),
    [
        (1, "skip", 20, [0.9705]),
        (2, "skip", 20, [0.9941, 0.9762]),
        (1, "uniform", 20, [0.5482]),
        (2, "uniform", 20, [0.9368, 0.7755]),
        (1, "uniform", 1, [0.5663]),
        (2, "uniform", 1, [0.9402, 0.7922]),
    ],
    ids=lambda value: str(value),
)
def test_6_fixed_points(schedule, count, policy, skip, expected):
    """Invariant 6: published to four digits; K=2 lists [499, 999], then [0, 499]."""
    segments = Segments(count=count, grid=Grid(skip=skip), anchor="first")
    student = fixed_point(segments, policy=policy, schedule=schedule)
    kept = kept_deviation(student, segments, schedule=schedule)
    assert kept == pytest.approx(expected, abs=6e-5)


def test_6_small_gaps_lead_to_the_exact_map(schedule):
    """Invariant 6: as the skip goes to 1, the standard deviation is kept."""
    lost = []
    for skip in (20, 10, 5, 2):
        segments = Segments(count=1, grid=Grid(skip=skip), anchor="first")
        student = fixed_point(segments, policy="skip", schedule=schedule)
        lost.append(1 - kept_deviation(student, segments, schedule=schedule)[0])
    assert lost == sorted(lost, reverse=True)
    assert 0 < lost[-1] < 0.004


@pytest.mark.parametrize("policy", ["skip", "uniform"])
def test_6_training_by_gradient_reaches_the_fixed_point(schedule, generator, policy):
    """Invariant 6: drawn pairs, a stop-gradient target and SGD end where the recursion does."""
    segments = Segments(count=2, grid=Grid(skip=100), anchor="first")
    expected = fixed_point(segments, policy=policy, schedule=schedule)
    student = torch.zeros(schedule.num_timesteps + 1, dtype=torch.float64, requires_grad=True)
    steps = 100
    for step in range(steps):
        pair = draw_pair(segments, batch=512, generator=generator, policy=policy)
        first, second = target_parts(pair, schedule=schedule)
        target = first + second * student.detach()[pair.t_to]
        loss = squared(student[pair.t_from], target).sum()
        (gradient,) = torch.autograd.grad(loss, student)
        with torch.no_grad():
            student -= 0.008 * 0.02 ** (step / steps) * gradient
    starts = segments.start_times
    torch.testing.assert_close(
        student.detach()[starts], expected[starts], rtol=0, atol=2e-3 if policy == "skip" else 1e-2
    )
