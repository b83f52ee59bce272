import warnings
from dataclasses import replace

import pytest

from quickstep.animation.plan import make_plan
from quickstep.networks.folder import Settings

TEACHER = Settings(role="teacher", method="denoising", steps_best=50, guidance=2.5)
STUDENT = Settings(
    role="student",
    method="dancelcm",
    sampler="segment",
    segments=2,
    steps_allowed=(2, 4),
    steps_best=4,
)
LINES = replace(STUDENT, method="perflow", sampler="perflow")


def test_what_is_not_asked_for_comes_from_the_model():
    plan = make_plan(STUDENT)
    assert (plan.times, plan.sampler, plan.guidance) == ((999, 759, 499, 259), "segment", 1.0)
    teacher = make_plan(TEACHER)
    assert (len(teacher.times), teacher.times[0], teacher.guidance) == (50, 999, 2.5)


def test_upstreams_grid_is_an_option_of_the_teacher():
    plan = make_plan(TEACHER, num_steps=4, times="upstream")
    assert (plan.times, plan.end) == ((751, 501, 251, 1), 0)
    with pytest.raises(ValueError, match="teacher"):
        make_plan(STUDENT, times="upstream")


def test_a_student_at_untrained_steps_warns():
    with pytest.warns(UserWarning, match="trained for 2, 4 steps and is run with 3"):
        make_plan(STUDENT, num_steps=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make_plan(STUDENT, num_steps=2)
        make_plan(TEACHER, num_steps=7)


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range_are_refused(steps):
    with pytest.raises(ValueError, match=f"steps must be between 1 and 1000: got {steps}"):
        make_plan(TEACHER, num_steps=steps)


@pytest.mark.parametrize("guidance", [0.5, float("nan"), float("inf")])
def test_guidance_out_of_range_is_refused(guidance):
    with pytest.raises(ValueError, match="guidance"):
        make_plan(TEACHER, guidance=guidance)


def test_samplers_need_what_they_need():
    with pytest.raises(ValueError, match="segmented student"):
        make_plan(TEACHER, sampler="segment")
    with pytest.raises(ValueError, match="edges"):
        make_plan(replace(STUDENT, steps_allowed=()), sampler="edges", num_steps=4)
    assert make_plan(STUDENT, sampler="edges", num_steps=2).times == (999, 499)
    assert make_plan(STUDENT, sampler="ddim").times[0] == 999


@pytest.mark.parametrize(
    ("model", "sampler", "message"),
    [
        (STUDENT, "lcm", "must not be 'lcm' for a student of 2 segments"),
        (STUDENT, "perflow", "must not be 'perflow' for a student that learns no straight lines"),
        (LINES, "segment", "must be 'perflow' for a student that learns straight lines"),
        (LINES, "ddim", "must be 'perflow' for a student that learns straight lines"),
    ],
)
def test_a_student_is_not_run_as_another_one(model, sampler, message):
    """Its answer would be taken for another thing: an edge for clean data, a line for a jump."""
    with pytest.raises(ValueError, match=message):
        make_plan(model, sampler=sampler)


def test_one_segment_or_a_told_edge_runs_as_lcm():
    assert make_plan(replace(STUDENT, segments=1), sampler="lcm").times[0] == 999
    assert make_plan(replace(STUDENT, told_edge=True), sampler="lcm").times[0] == 999
    assert make_plan(LINES).times == (999, 759, 499, 259)
