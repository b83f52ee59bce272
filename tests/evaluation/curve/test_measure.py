import dataclasses
import json
import math

import pytest

from quickstep.evaluation.cache import WorkFolder, json_text
from quickstep.evaluation.curve.assemble import assembled, numbers_json, timings_json
from quickstep.evaluation.curve.measure import (
    PEAK,
    CurveError,
    Request,
    measure,
    model_settings,
    steps_of,
    steps_of_all,
)
from quickstep.evaluation.curve.page import page_html
from quickstep.evaluation.curve.points import STAGES
from quickstep.evaluation.judging import Judge
from quickstep.evaluation.makers import ModelMaker
from quickstep.evaluation.networks import open_networks
from quickstep.evaluation.protocols import find_protocol
from quickstep.evaluation.report import Origin
from quickstep.evaluation.samples import open_samples
from quickstep.evaluation.statistics import Interval
from quickstep.networks.folder import Settings, load_model, save_model

ORIGIN = Origin(command="quickstep curve teacher student clips", data="clips")
METRICS = ("psnr", "ssim", "psnr_moved", "motion_energy")


def request_of(folder, model_folders, clips, **changes) -> Request:
    """Two clips, two metrics of pictures, one shown clip."""
    protocol = dataclasses.replace(find_protocol("dancer"), metrics=METRICS, main="psnr")
    given = {
        "models": [str(model_folders / "teacher"), str(model_folders / "student")],
        "samples": open_samples(clips).chosen(limit=2),
        "judge": Judge(protocol, open_networks(protocol, {}), WorkFolder(folder / "work")),
        "folder": folder,
        "num_shown": 1,
    }
    return Request(**{**given, **changes})


@pytest.fixture(scope="module", autouse=True)
def _same_code():
    """Keeps records valid while somebody edits the package under a running test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quickstep.evaluation.curve.measure.code_digest", lambda: "0" * 64)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("curve")


@pytest.fixture(scope="module")
def steps_seen():
    """What a progress bar was told."""
    return []


@pytest.fixture(scope="module")
def measured(folder, model_folders, clips, steps_seen):
    request = request_of(folder, model_folders, clips)
    return measure(request, progress=lambda *told: steps_seen.append(told))


@pytest.fixture(scope="module")
def report(measured):
    return assembled(measured, ORIGIN)


def test_models_run_at_their_own_numbers_of_steps(report):
    found = [(point.model, point.role, point.steps) for point in report.points]
    teacher = [("teacher", "teacher", steps) for steps in (1, 2, 3, 4, 8)]
    assert found == [*teacher, ("student", "student", 2), ("student", "student", 4)]
    assert [point.steps for point in report.points if point.best] == [3, 2]


def test_a_guided_step_counts_twice_and_every_window_counts(report):
    # Five frames run through two windows of the tiny model's four.
    for point in report.points:
        guided = 2 if point.role == "teacher" else 1
        assert point.evaluations == point.steps * guided * 2


def test_every_stage_is_timed_and_memory_is_known(measured, report):
    for point in report.points:
        assert set(point.seconds) == set(STAGES)
        assert min(point.seconds.values()) > 0
        assert point.clip_seconds == pytest.approx(
            sum(point.seconds[stage] for stage in STAGES[1:])
        )
    timings = measured.points[0].row.records[0].timings
    assert PEAK not in timings or timings[PEAK] > 0


def test_scores_are_means_over_clips(measured, report):
    first = measured.points[0].row.records
    mean = sum(record.scores["psnr"] for record in first) / 2
    assert report.points[0].scores["psnr"].value == pytest.approx(mean)
    assert report.metrics == list(METRICS)


def test_progress_ends_at_all_of_the_work(measured, steps_seen):
    done = [told[1] for told in steps_seen]
    assert done == sorted(done)
    assert steps_seen[-1][1] == steps_seen[-1][2]
    assert {told[0] for told in steps_seen} == {"measuring"}


def test_what_costs_nothing_is_there_once(report):
    names = [baseline.name for baseline in report.baselines]
    assert names == ["copying the reference", "the autoencoder alone"]
    assert all(baseline.scores["psnr"].value > 0 for baseline in report.baselines)


def test_student_and_teacher_are_compared_on_the_same_clips(report):
    assert set(report.comparisons) == set(METRICS)
    assert "2 clips" in report.comparisons["psnr"]
    told = " ".join(report.comparisons.values())
    assert "-" not in told
    assert "95 %" not in told and "95\N{NO-BREAK SPACE}%" in told


def test_a_metric_without_any_value_is_not_drawn(measured):
    rows = [each.row for each in measured.points]
    nothing = Interval(math.nan, math.nan, math.nan, 0.95, 0, 2)
    points = [
        dataclasses.replace(
            point, row=dataclasses.replace(row, scores=dict.fromkeys(row.scores, nothing))
        )
        for point, row in zip(measured.points, rows, strict=True)
    ]
    with pytest.raises(CurveError, match="no clip gave a value of psnr, ssim"):
        assembled(dataclasses.replace(measured, points=points), ORIGIN)


def test_the_page_shows_what_was_measured(measured, report):
    text = page_html(report, numbers=numbers_json(measured, ORIGIN))
    assert "dancer protocol · 2 clips of 7 frames" in text
    assert text.count('class="panel"') == 1
    assert len(report.showcases[0].made) == 7
    assert report.showcases[0].ceiling is not None


def test_only_shown_clips_keep_their_videos(measured, folder):
    kept = sorted(path.stem for path in (folder / "videos").rglob("*.mp4"))
    assert kept == ["00000"] * 9
    assert not list(folder.glob(".write-*"))


def test_a_second_run_makes_nothing_anew(measured, folder, model_folders, clips, monkeypatch):
    def refuse(*_):
        raise AssertionError("a video was made again")

    monkeypatch.setattr(ModelMaker, "make", refuse)
    again = measure(request_of(folder, model_folders, clips))
    assert timings_json(again)["points"] == timings_json(measured)["points"]
    assert numbers_json(again, ORIGIN) == numbers_json(measured, ORIGIN)


def test_a_stopped_run_goes_on(folder, model_folders, clips, monkeypatch, measured):
    records = sorted((folder / "work").rglob("00001-*.json"))
    records[0].unlink()
    made = []
    original = ModelMaker.make
    monkeypatch.setattr(
        ModelMaker, "make", lambda self, sample: made.append(sample.name) or original(self, sample)
    )
    again = measure(request_of(folder, model_folders, clips))
    assert len(made) <= 1
    assert numbers_json(again, ORIGIN) == numbers_json(measured, ORIGIN)


def test_the_same_run_elsewhere_gives_the_same_numbers(
    measured, model_folders, clips, tmp_path_factory
):
    other = tmp_path_factory.mktemp("again")
    models = [str(model_folders / "student")]
    request = request_of(other, model_folders, clips, models=models, num_shown=0)
    found = [
        row for row in numbers_json(measure(request), ORIGIN)["rows"] if row["kind"] == "model"
    ]
    before = {row["name"]: row for row in numbers_json(measured, ORIGIN)["rows"]}
    assert all(json_text(row) == json_text(before[row["name"]]) for row in found)
    assert not list((other / "videos").rglob("*.mp4"))


def test_numbers_have_no_times_and_times_have_every_clip(measured):
    text = json.dumps(numbers_json(measured, ORIGIN))
    assert "seconds" not in text
    points = timings_json(measured)["points"]
    assert all(set(point["clips"]) == {"00000", "00001"} for point in points)
    assert timings_json(measured)["threads"] >= 1


def test_steps_are_for_all_models_guidance_for_teachers_and_untrained_steps_are_marked(
    folder, model_folders, clips, measured
):
    request = request_of(folder, model_folders, clips, steps=(1,), guidance=1.0, num_shown=0)
    report = assembled(measure(request), ORIGIN)
    found = [(point.model, point.steps, point.trained) for point in report.points]
    assert found == [("teacher", 1, True), ("student", 1, False)]
    assert [(point.guidance, point.evaluations) for point in report.points] == [(1.0, 2.0)] * 2
    assert any("trained for 2, 4 steps" in note for note in report.notes)


@pytest.mark.parametrize(
    ("settings", "asked", "steps"),
    [
        (Settings(role="student", method="a", steps_allowed=(8, 1)), (), [1, 8]),
        (Settings(role="teacher", method="a"), (), [1, 2, 4, 8, 50]),
        (Settings(role="teacher", method="a", steps_best=4), (), [1, 2, 4, 8]),
        (Settings(role="student", method="a", steps_allowed=(2,)), (5, 3, 5), [3, 5]),
    ],
)
def test_numbers_of_steps(settings, asked, steps):
    assert steps_of(settings, asked) == steps


def test_teachers_can_have_steps_of_their_own(model_folders):
    models = [str(model_folders / name) for name in ("teacher", "student")]
    found = [steps for _, steps in steps_of_all(models, steps=(2, 4), teacher_steps=(10, 5))]
    assert found == [[5, 10], [2, 4]]
    assert [steps for _, steps in steps_of_all(models, teacher_steps=(7,))] == [[7], [2, 4]]
    with pytest.raises(CurveError, match="none of the models is a teacher"):
        steps_of_all(models[1:], teacher_steps=(10,))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range_are_refused(steps):
    with pytest.raises(ValueError, match=f"between 1 and 1000: got {steps}"):
        steps_of(Settings(role="teacher", method="a"), (4, steps))


def test_models_that_cannot_be_measured_are_refused(model_folders, clips, tmp_path):
    student = str(model_folders / "student")
    with pytest.raises(CurveError, match="at least one model"):
        model_settings([])
    with pytest.raises(CurveError, match="given twice"):
        model_settings([student, f"{student}/"])
    with pytest.raises(CurveError, match="folder of videos"):
        model_settings([str(clips)])
    with pytest.raises(ValueError, match="unknown model 'nobody'"):
        model_settings(["nobody"])
    model = load_model(student)
    parts = {"unet": model.network, "vae": model.vae, "image_encoder": model.image_encoder}
    save_model(tmp_path / "student", parts=parts, settings=model.settings, card="")
    with pytest.raises(CurveError, match="two models are called 'student'"):
        model_settings([student, str(tmp_path / "student")])
