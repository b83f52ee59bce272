from dataclasses import replace

import pytest

from quickstep.evaluation.curve.metrics import metric_named
from quickstep.evaluation.curve.points import (
    Score,
    answer_of,
    count_text,
    memory_text,
    seconds_text,
    times_text,
)

SPACE = "\N{NO-BREAK SPACE}"


def plain(text: str) -> str:
    return text.replace(SPACE, " ")


def test_the_answer_is_the_student_at_its_own_steps_against_the_teacher_at_its_own(report):
    answer = answer_of(report)
    assert (answer.point.role, answer.point.steps) == ("student", 4)
    assert answer.teacher is not None
    assert (answer.teacher.role, answer.teacher.steps) == ("teacher", 50)
    # 0.21 + 0.18 * 100 + 0.24 + 0.05 = 18.50 s against 0.21 + 0.18 * 4 + 0.24 + 0.05 = 1.22 s.
    assert answer.speedup == pytest.approx(18.50 / 1.22)
    assert plain(answer.headline) == "4 steps: 23.40 dB at 15×"


def test_without_a_teacher_the_answer_is_in_seconds(report):
    students = [point for point in report.points if point.role == "student"]
    answer = answer_of(replace(report, points=students))
    assert answer.teacher is None
    assert plain(answer.headline) == "4 steps: 23.40 dB in 1.22 s"


def test_a_teacher_alone_is_answered_for(report):
    teachers = [point for point in report.points if point.role == "teacher"]
    answer = answer_of(replace(report, points=teachers))
    assert (answer.point.steps, answer.teacher) == (50, None)


def test_a_model_that_was_not_measured_at_its_own_steps_answers_with_most(report):
    others = [point for point in report.points if not point.best]
    answer = answer_of(replace(report, points=others))
    assert (answer.point.steps, answer.teacher and answer.teacher.steps) == (8, 8)


def test_a_headline_without_a_unit_names_its_metric(report):
    answer = answer_of(replace(report, metrics=("ssim",)))
    assert plain(answer.headline) == "4 steps: SSIM 0.790 at 15×"


def test_a_value_that_could_not_be_measured_is_a_dash(report):
    point = replace(report.points[0], best=True, scores={"psnr": Score(float("nan"))})
    answer = answer_of(replace(report, points=[point]))
    assert plain(answer.headline).startswith("1 step: PSNR –") or ": –" in answer.headline


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.1234, "0.12 s"),
        (1.0, "1.00 s"),
        (18.46, "18.5 s"),
        (100.4, "100 s"),
        (126.6, "2 min 7 s"),
    ],
)
def test_seconds_are_short(seconds, text):
    assert plain(seconds_text(seconds)) == text


def test_evaluations_are_whole_unless_clips_differ():
    assert [count_text(count) for count in (4.0, 100.0, 32 / 3)] == ["4", "100", "10.67"]


def test_a_mark_stands_behind_the_metric_that_the_notes_explain(report):
    marked = replace(report, metrics=("fvd",), marks={"fvd": "*†"})
    assert marked.metric("fvd").title == "FVD*†"
    assert answer_of(marked).headline.startswith(f"4{SPACE}steps: FVD*† –")


def test_ratios_and_memory_are_short():
    assert times_text(0.023) == "0.023×"
    assert [times_text(ratio) for ratio in (0.52, 2.44, 9.96, 25.4)] == [
        "0.5×",
        "2.4×",
        "10.0×",
        "25×",
    ]
    assert plain(memory_text(3 * 2**29)) == "1.50 GiB"
    assert memory_text(None) == "–"


def test_metrics_say_which_way_is_better():
    assert metric_named("psnr").direction == "higher is better"
    assert metric_named("fvd").direction == "lower is better"
    assert metric_named("motion_energy").direction == "1 is right"
    best_first = sorted([0.2, 0.9, 2.5], key=metric_named("motion_energy").badness)
    assert best_first == [0.9, 0.2, 2.5]
    assert sorted([20.0, 30.0], key=metric_named("psnr").badness) == [30.0, 20.0]


def test_values_are_written_with_their_unit():
    assert plain(metric_named("psnr").text(20.123)) == "20.12 dB"
    assert metric_named("psnr").text(20.123, unit=False) == "20.12"
    assert plain(metric_named("flicker").text(-0.5)) == "\N{MINUS SIGN}0.50 levels"
    assert metric_named("something_new").title == "something new"
