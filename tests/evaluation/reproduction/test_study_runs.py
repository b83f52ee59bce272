"""A study runs whole: its pages hold all rows, and what was done once is not done again."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from quickstep.config import digest
from quickstep.data.image import read_image
from quickstep.data.prepared import PreparedSet
from quickstep.evaluation.reproduction import study_runs
from quickstep.evaluation.reproduction.contenders import Terms, contender_recipe, unseen_clips
from quickstep.evaluation.reproduction.dancelcm import DANCELCM
from quickstep.evaluation.reproduction.pages import write_study
from quickstep.evaluation.reproduction.studies import STUDIES, find_study
from quickstep.evaluation.reproduction.study import Contender
from quickstep.evaluation.reproduction.study_runs import best_rate, run_study, swept_rates
from quickstep.networks.families import network_parts
from quickstep.networks.folder import load_model, save_model
from quickstep.training.trainer import DivergenceError

CHANGES = {"data.size": "64", "data.num_clips": "16"}


@pytest.fixture(scope="module")
def home(tmp_path_factory, model_folders):
    """Runs with three finished 'trainings': a tiny student under three names."""
    home = tmp_path_factory.mktemp("runs")
    for name in ("a-seed0", "a-seed1", "b-seed0"):
        shutil.copytree(model_folders / "student", home / name / "model")
    return home


@pytest.fixture
def terms(home, model_folders):
    return Terms(
        size="lab",
        teacher=str(model_folders / "teacher"),
        clips=2,
        frames=16,
        split="validation",
        changes=CHANGES,
        home=home,
    )


def test_judged_clips_may_be_of_another_preset(terms):
    """Students learn from one preset and are judged on another; the persons are the same."""
    plain, wild = (
        PreparedSet(unseen_clips(replace(terms, judged=preset))) for preset in (None, "wild")
    )
    assert plain.folder != wild.folder
    assert not np.array_equal(plain.frames, wild.frames)
    settings = json.loads((wild.folder / "set.json").read_text())["settings"]
    assert (settings["preset"], settings["first_seed"]) == ("wild", 1_000_000)


@pytest.fixture
def calls(monkeypatch, home):
    """Stands in for training; notes who was asked for."""
    seen = []

    def trained(contender: Contender, terms: Terms, *, seed: int, rate=None, **options):
        seen.append((contender.name, seed, rate, terms.split))
        return home / ("a-seed1" if seed else "a-seed0") / "model"

    monkeypatch.setattr(study_runs, "trained", trained)
    return seen


def test_a_study_makes_its_pages_and_goes_on_where_it_was(terms, calls, tmp_path):
    full = find_study("dancelcm-table1")
    rows = tuple(
        row
        for row in full.rows
        if row.label in ("copy", "round trip", "DanceLCM") or row.steps == 4 and not row.contender
    )
    claims = tuple(each for each in full.claims if each.worse == "Teacher, 4")
    study = replace(full, rows=rows, claims=claims)
    done = []
    report = lambda stage, part, whole: done.append(stage)  # noqa: E731
    result = run_study(study, terms, seeds=(0, 1), report=report)
    assert calls == [("dancelcm", 0, None, "validation"), ("dancelcm", 1, None, "validation")]
    assert [row.name for row in result.rows] == [
        *("copy", "round trip", "Teacher, 4", "Teacher, unguided, 4", "DanceLCM, 4"),
    ]
    assert [len(row.seeds) for row in result.rows] == [1, 1, 1, 1, 2]
    made = [result.rows[row].seeds[0].maker for row in (2, 3)]
    assert made[0]["guidance"] > 1 == made[1]["guidance"], "only the second is unguided"
    paths = write_study(result, tmp_path / "first", command="quickstep reproduce x")
    page = paths[1].read_text()
    assert "| DanceLCM | 4 | " in page and "| 2.52E-04 | 20.12 | 0.812 | 0.225 | 156.27 |" in page
    assert "DanceLCM, 4 over Teacher, 4" in page
    numbers = json.loads(paths[0].read_text())
    recipes = [contender_recipe(DANCELCM, terms, seed=seed) for seed in (0, 1)]
    digests = [digest(recipe) for recipe in recipes]
    assert numbers["contenders"]["dancelcm"][0]["digests"] == digests
    assert digests[0] != digests[1] and f"| `{digests[0]}` |" in page
    assert len(numbers["rows"][4]["scores"]["psnr"]["seeds"]) == 2
    videos = sorted(terms.home.glob("reproduce/videos/*/*/*.mp4"))
    assert len(videos) == 2 * 6
    before = [path.stat().st_mtime_ns for path in videos]
    again = write_study(
        run_study(study, terms, seeds=(0, 1)), tmp_path / "again", command="quickstep reproduce x"
    )
    assert [path.stat().st_mtime_ns for path in videos] == before
    for one, other in zip(paths, again, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        *("cosec-fig5", "cosec-fig6"),
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in STUDIES
            if name.startswith(("cosec", "quickstep")) and name[-4:] not in ("fig5", "fig6")
        ),
    ],
)
def test_every_study_of_cosec_makes_its_pages(terms, calls, tmp_path, name):
    """One tiny student stands for all: what is asked for, and what the page and picture hold."""
    study = find_study(name)
    result = run_study(study, terms, seeds=(0,))
    assert [each[0] for each in calls] == [each.name for each in study.contenders]
    numbers, page, picture = write_study(result, tmp_path, command="quickstep reproduce x")
    own = study.paper != "cosec"
    assert numbers.stem == (name if own else f"{name}-unianimate"), "whose teacher is another"
    made = json.loads(numbers.read_text())
    assert [row["row"] for row in made["rows"]] == [row.name for row in result.rows]
    assert made["judged_preset"] == study.judged
    text = page.read_text()
    assert all(f"| {row.label} | {row.steps or '-'} |" in text for row in study.rows)
    assert ("no student was trained on" in text) == (study.judged is not None)
    phases = [each for contender in study.contenders for each in contender.phases]
    assert sum(f"`{each.recipe}_lab`" in text for each in phases) == len(phases)
    sheet = read_image(picture)
    rows = 2 * (1 + len(study.rows)) * (2 if study.figure == "changes" else 1)
    side = 48 if study.figure == "details" else 64
    assert sheet.shape[0] == rows * (side + 2) - 2
    assert np.ptp(sheet) > 100


def test_a_sweep_tries_every_rate_for_every_student_on_validation(terms, calls):
    lines = []
    best = swept_rates(
        find_study("dancelcm-fig1"),
        Terms(**{**vars(terms), "split": "test"}),
        rates=(1e-4, 3e-4),
        metric="psnr",
        say=lines.append,
    )
    assert calls == [
        (name, 0, rate, "validation") for name in ("videolcm", "dancelcm") for rate in (1e-4, 3e-4)
    ]
    assert best == {"videolcm": 1e-4, "dancelcm": 1e-4}, "equal scores keep the first rate"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("name", "given", "steps"),
    [
        ("cosec-table1", ["cosec"], {"referencelcm": [2]}),
        ("quickstep-best", ["dancelcm", "quickstep-best"], {"cosec": [2, 4]}),
        ("cosec-table5", [], {"cosec": [1, 2, 4]}),
    ],
)
def test_a_sweep_judges_at_the_steps_of_the_study(terms, monkeypatch, name, given, steps):
    """The rate that is best at these steps is found, though 4 steps alone would say another."""
    judged = {}

    def judged_rows(study, terms, *, seeds, rates, **options):
        assert (study.judged, terms.split) == (None, "validation"), "another world is not looked at"
        ((contender, rate),) = rates.items()
        assert {row.contender.name for row in study.rows} == {contender}
        judged.setdefault(contender, [row.steps for row in study.rows])
        by_steps = {1: 22.0, 2: 21.0, 4: 19.0} if rate == 3e-4 else {1: 20.0, 2: 20.0, 4: 20.0}
        scores = [{"psnr": SimpleNamespace(value=by_steps[row.steps])} for row in study.rows]
        rows = [SimpleNamespace(score=score.__getitem__) for score in scores]
        return SimpleNamespace(rows=rows)

    monkeypatch.setattr(study_runs, "run_study", judged_rows)
    known, lines = dict.fromkeys(given, 5e-5), []
    options = {"rates": (1e-4, 3e-4), "metric": "psnr", "given": known, "say": lines.append}
    found = swept_rates(find_study(name), terms, **options)
    assert judged == steps
    level = name == "quickstep-best"
    assert found == {**known, **dict.fromkeys(steps, 1e-4 if level else 3e-4)}
    row = "CoSeC-LCD" if "cosec" in steps else "ReferenceLCM"
    assert f"{row}, 2: 21" in lines[1]


def test_seeds_must_differ(terms, calls):
    with pytest.raises(ValueError, match="seeds must be given, and differ"):
        run_study(find_study("dancelcm-fig1"), terms, seeds=(0, 0))


def test_a_teacher_of_the_other_family_is_refused_first(terms, calls):
    study = find_study("dancelcm-fig1")
    with pytest.raises(ValueError, match="family unianimate: set --family unianimate"):
        run_study(study, replace(terms, family="champ"), seeds=(0,))
    with pytest.raises(ValueError, match="unknown model 'nobody'"):
        run_study(study, replace(terms, teacher="nobody"), seeds=(0,))
    assert calls == []


def test_a_rate_at_which_a_student_diverges_is_out(terms, monkeypatch, home):
    def trained(contender, terms, *, seed, rate, **options):
        if rate > 2e-4:
            raise DivergenceError("step 3: the loss is nan")
        return home / "a-seed0" / "model"

    monkeypatch.setattr(study_runs, "trained", trained)
    lines = []
    study = find_study("dancelcm-fig1")
    options = {"metric": "psnr", "say": lines.append, "given": {"dancelcm": 1e-4}}
    assert swept_rates(study, terms, rates=(3e-4, 1e-4), **options)["videolcm"] == 1e-4
    assert lines[0] == "videolcm at rate 0.0003: step 3: the loss is nan"
    with pytest.raises(ValueError, match="videolcm diverges at every rate"):
        swept_rates(study, terms, rates=(3e-4,), **options)


@pytest.mark.parametrize(
    ("metric", "scores", "best"),
    [
        ("psnr", {1.0: [20.0], 2.0: [21.0], 3.0: [float("nan")]}, 2.0),
        ("psnr", {1.0: [20.0, 23.0], 2.0: [21.0, 21.0], 3.0: [99.0, float("nan")]}, 1.0),
        ("dancer_perceptual", {1.0: [0.2], 2.0: [0.3]}, 1.0),
        ("motion_energy", {1.0: [1.4], 2.0: [0.9], 3.0: [0.5]}, 2.0),
        ("motion_energy", {1.0: [1.4, 0.6], 2.0: [0.9, 0.9]}, 2.0),
        ("flicker", {1.0: [-0.1], 2.0: [0.2], 3.0: [0.05]}, 3.0),
    ],
)
def test_the_best_rate_is_the_metrics_best(metric, scores, best):
    assert best_rate(scores, metric) == best


def test_what_a_sweep_cannot_choose_by_is_refused_first(terms, calls):
    with pytest.raises(ValueError, match="no metric 'fvd' to choose by: metrics are psnr, ssim"):
        swept_rates(find_study("dancelcm-fig1"), terms, rates=(1e-4,), metric="fvd")
    assert calls == []


@pytest.fixture(params=["unianimate", "champ"])
def any_teacher(request, model_folders, small_champ, tmp_path):
    """A family, and a tiny teacher of it."""
    if request.param == "unianimate":
        return request.param, model_folders / "teacher"
    encoders = load_model(model_folders / "teacher")
    parts = {"vae": encoders.vae, "image_encoder": encoders.image_encoder}
    settings = replace(encoders.settings, family="champ", noise_offset=0.05)
    parts |= network_parts(small_champ())
    return request.param, save_model(tmp_path / "champ", parts=parts, settings=settings, card="")


@pytest.mark.slow
def test_a_study_trains_what_is_missing_phase_by_phase(any_teacher, tmp_path):
    """Nothing stands in for training here: three short runs, of which two go on from the first."""
    changes = {
        **{"data.size": "64", "data.cell": "8", "data.num_clips": "16"},
        **{"train.precision": "fp32", "train.prefetch": "0", "train.preview_every": "0"},
    }
    family, teacher = any_teacher
    terms = Terms(
        size="lab",
        family=family,
        teacher=str(teacher),
        evaluations=12,
        clips=2,
        frames=16,
        split="validation",
        changes=changes,
        home=tmp_path,
    )
    said = []
    result = run_study(find_study("cosec-fig5"), terms, seeds=(0,), say=said.append)
    runs = [line.split()[1].partition("_lab")[0] for line in said if line.startswith("training")]
    assert runs == ["cosec-frames", "eta-cons", "cosec"]
    for name in runs:
        (model,) = tmp_path.glob(f"{name}_lab-*/model")
        assert load_model(model).settings.family == family
    assert all(np.isfinite(row.score("flicker").value) for row in result.rows)
    assert result.rows[0].score("psnr").value != result.rows[1].score("psnr").value
    again = run_study(find_study("cosec-fig5"), terms, seeds=(0,), say=said.append)
    assert len(said) == 3
    assert [row.score("psnr") for row in again.rows] == [row.score("psnr") for row in result.rows]
