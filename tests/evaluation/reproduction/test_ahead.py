"""What several processes do of a study: each thing once, in an order that lets the next begin."""

from types import SimpleNamespace

import pytest

from quickstep.evaluation.reproduction import ahead, contenders
from quickstep.evaluation.reproduction.ahead import Wanted, tries, work_ahead
from quickstep.evaluation.reproduction.contenders import Terms
from quickstep.evaluation.reproduction.studies import find_study
from quickstep.evaluation.reproduction.study import only_rows
from quickstep.evaluation.reproduction.study_runs import run_study
from quickstep.processes import GivenUp


@pytest.fixture
def terms(model_folders, tmp_path):
    changes = {"data.size": "64", "data.cell": "8", "data.num_clips": "16"}
    changes["train.preview_every"] = "0"
    return Terms(
        size="lab",
        teacher=str(model_folders / "teacher"),
        evaluations=6,
        clips=2,
        split="validation",
        changes=changes,
        home=tmp_path / "runs",
    )


@pytest.fixture
def done(monkeypatch):
    """Stands in for processes: notes what they are given, and what shall come of it."""
    notes = SimpleNamespace(stages=[], finished=set(), answers={})

    def answers_of(tasks, opener, *, workers):
        if tasks:
            notes.stages.append(list(map(ahead._name, tasks)))
        for number, task in enumerate(tasks):
            answer = notes.answers.get(ahead._name(task), "")
            if not answer and isinstance(task, ahead._Training):
                notes.finished.add((task.contender.name, task.seed))
            yield number, answer

    def is_trained(contender, terms, *, seed, rate=None):
        recipe = contenders.contender_recipe(contender, terms, seed=seed, rate=rate)
        folder = contenders.run_folder(contender, recipe, terms)
        return folder, (contender.name, seed) in notes.finished

    monkeypatch.setattr(ahead, "answers_of", answers_of)
    monkeypatch.setattr(ahead, "is_trained", is_trained)
    return notes


def test_phases_then_students_then_rows_of_most_steps_first(terms, done):
    study = only_rows(find_study("quickstep-best"), ["CoSeC-LCD", "DanceLCM, 4"])
    seen = []
    report = lambda stage, part, whole: seen.append((stage, part, whole))  # noqa: E731
    work_ahead([Wanted(study, terms, (0, 1), {})], workers=2, report=report)
    assert done.stages == [
        ["cosec-frames, seed 0", "cosec-frames, seed 1"],
        ["cosec, seed 0", "dancelcm, seed 0", "cosec, seed 1", "dancelcm, seed 1"],
        [
            *("DanceLCM, seed 0", "DanceLCM, seed 1", "CoSeC-LCD, seed 0", "CoSeC-LCD, seed 1"),
            *("CoSeC-LCD, seed 0", "CoSeC-LCD, seed 1"),
        ],
    ]
    assert seen[0] == ("first phases", 1, 2) and seen[-1] == ("rows", 6, 6)


def test_what_two_rows_share_is_trained_once_and_what_is_finished_not_at_all(terms, done):
    done.finished.add(("no-face", 0))
    wanted = [
        Wanted(find_study(f"dancelcm-{name}"), terms, (0,), {}) for name in ("table3", "fig5")
    ]
    work_ahead(wanted, workers=3)
    students = ["dancelcm", "one-segment", "no-head", "no-motion", "clip-face"]
    assert done.stages[0] == [f"{name}, seed 0" for name in students]


def test_a_failed_training_is_told_and_its_rows_are_left_to_the_study(terms, done):
    study = find_study("dancelcm-fig1")
    done.answers = {"videolcm, seed 0": "the loss is nan", "dancelcm, seed 0": GivenUp(2)}
    told = []
    work_ahead([Wanted(study, terms, (0,), {})], workers=2, say=told.append)
    assert told == [
        "students, videolcm, seed 0: the loss is nan",
        "students, dancelcm, seed 0: 2 processes ended while at it: "
        f"{terms.home / 'processes'} has what they said",
    ]
    assert len(done.stages) == 1


def test_nothing_goes_on_from_a_first_phase_that_failed(terms, done):
    study = only_rows(find_study("quickstep-best"), ["CoSeC-LCD, 2", "DanceLCM, 4"])
    done.answers = {"cosec-frames, seed 0": "the loss is nan"}
    told = []
    work_ahead([Wanted(study, terms, (0,), {})], workers=2, say=told.append)
    assert told == ["first phases, cosec-frames, seed 0: the loss is nan"]
    assert done.stages[1:] == [["dancelcm, seed 0"], ["DanceLCM, seed 0"]]


def test_a_sweep_is_every_rate_of_every_student_that_has_none(terms):
    study = find_study("dancelcm-table1")
    found = tries(study, terms, rates=(1e-4, 2e-4), given={"perflow": 5e-5})
    names = ("videolcm", "multistep-cm", "dancelcm")
    assert [each.rates for each in found] == [{n: r} for r in (1e-4, 2e-4) for n in names]
    for each in found:
        assert {row.contender.name for row in each.study.rows if row.contender} == each.rates.keys()
        assert (each.terms.split, each.seeds, each.study.claims) == ("validation", (0,), ())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_leave_nothing_to_the_study(terms, monkeypatch):
    study = find_study("dancelcm-fig1")
    work_ahead([Wanted(study, terms, (0,), {})], workers=2, say=pytest.fail)
    told = [path.read_text() for path in (terms.home / ahead.LOGS).iterdir()]
    assert sum("done after step 1" in text for text in told) == 2
    videos = {path: path.stat().st_mtime_ns for path in terms.home.rglob("*.mp4")}
    assert len(videos) == 2 * len(study.rows)
    monkeypatch.setattr(contenders, "run_recipe", None)
    result = run_study(study, terms, seeds=(0,))
    assert {path: path.stat().st_mtime_ns for path in terms.home.rglob("*.mp4")} == videos
    assert [len(row.seeds) for row in result.rows] == [1, 1]
