"""The studies compare what the paper compares, on equal terms."""

import pytest

from quickstep.data.prepared import DancerData
from quickstep.evaluation.published import published_rows
from quickstep.evaluation.reproduction.contenders import Terms, contender_recipe
from quickstep.evaluation.reproduction.studies import STUDIES, find_study
from quickstep.evaluation.reproduction.study import (
    Contender,
    only_rows,
    printed_metrics,
    printed_row,
    row_name,
)
from quickstep.methods.perflow import PeRFlowConfig
from quickstep.training.recipe_kinds import PeRFlowRecipe, StudentRecipe
from quickstep.training.recipes import full_cost

CONTENDERS = {each.name: each for study in STUDIES.values() for each in study.contenders}


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_claims_are_about_rows_of_the_study(study):
    names = [row_name(row) for row in study.rows]
    assert len(set(names)) == len(names)
    for claim in study.claims:
        assert {claim.better, claim.worse} <= set(names)
        assert claim.better != claim.worse


@pytest.mark.parametrize(
    "study", [each for each in STUDIES.values() if each.table], ids=lambda each: each.name
)
def test_the_papers_rows_stand_beside_ours(study):
    printed = {
        (each.method, each.steps)
        for each in published_rows()
        if (each.paper, each.table) == (study.paper, study.table)
    }
    if study.table in (3, 4, 5):
        assert printed <= {row.printed for row in study.rows}
    for row in study.rows:
        assert (printed_row(study, row) is None) == (row.printed is None)


def test_the_order_claimed_is_the_papers_own():
    """By its FVD; of PSNR and SSIM not all agree."""
    for study in (each for each in STUDIES.values() if each.table):
        printed = {row_name(row): printed_row(study, row) for row in study.rows}
        for claim in study.claims:
            better, worse = printed[claim.better], printed[claim.worse]
            if better is not None and worse is not None:
                lower, higher = better.value("FVD"), worse.value("FVD")
                assert lower is not None and higher is not None
                assert lower < higher


@pytest.mark.parametrize("name", CONTENDERS)
def test_contenders_spend_the_same(name):
    """Evaluations of the frames of DanceLCM's batches, all phases of a contender together."""
    terms = Terms(evaluations=3000)
    recipes = [
        contender_recipe(phase, terms, seed=3, rate=1e-4) for phase in CONTENDERS[name].phases
    ]
    frames = contender_recipe(CONTENDERS["dancelcm"], terms, seed=3).clips.mean_frames
    spent = sum(
        recipe.train.num_steps * full_cost(recipe.method, recipe.clips) * recipe.clips.mean_frames
        for recipe in recipes
    )
    assert spent == pytest.approx(3000 * frames, rel=0.01)
    recipe = recipes[-1]
    assert recipe.train.seed == 3
    assert recipe.train.learning_rate == 1e-4
    assert recipe.teacher == "dancer-unianimate-teacher"


def test_contenders_differ_in_what_they_are_named_for():
    terms = Terms()
    ours = contender_recipe(CONTENDERS["dancelcm"], terms, seed=0)
    no_motion = contender_recipe(CONTENDERS["no-motion"], terms, seed=0)
    assert isinstance(ours, StudentRecipe) and isinstance(no_motion, StudentRecipe)
    assert (ours.method.motion_weight, no_motion.method.motion_weight) == (0.5, 0.0)
    assert (ours.data, ours.clips, ours.train) == (
        no_motion.data,
        no_motion.clips,
        no_motion.train,
    )
    perflow = contender_recipe(CONTENDERS["perflow"], terms, seed=0)
    assert isinstance(perflow, PeRFlowRecipe) and isinstance(perflow.method, PeRFlowConfig)


def test_terms_reach_the_recipe():
    terms = Terms(size="lab", preset="catwalk", changes={"data.num_clips": "9"}, teacher="mine")
    recipe = contender_recipe(CONTENDERS["dancelcm"], terms, seed=0)
    assert isinstance(recipe.data, DancerData)
    assert (recipe.data.preset, recipe.data.num_clips, recipe.teacher) == ("catwalk", 9, "mine")


def test_what_cannot_be_meant_is_one_line():
    with pytest.raises(ValueError, match="no study 'table9': studies are dancelcm-table1"):
        find_study("table9")
    with pytest.raises(ValueError, match="split must be one of validation, test: got 'train'"):
        Terms(split="train")
    with pytest.raises(ValueError, match="clips must be at least 2: got 1"):
        Terms(clips=1)
    with pytest.raises(ValueError, match="frames must be at least 16, a window of .*: got 8"):
        Terms(frames=8)
    with pytest.raises(ValueError, match="distils nothing"):
        contender_recipe(Contender("x", "vae"), Terms(), seed=0)
    with pytest.raises(ValueError, match="no field 'method.lambda'"):
        contender_recipe(Contender("x", "dancelcm", {"method.lambda": "1"}), Terms(), seed=0)


@pytest.mark.parametrize(
    ("study", "name", "message"),
    [
        ("dancelcm-table5", "method.num_segments", "one-segment is the student with method.num_s"),
        ("dancelcm-table3", "face.size", "no-face is the student with face=none; leave its rows"),
        ("dancelcm-table2", "data.preset", "data.preset has no effect on a study of 'catwalk'"),
        ("dancelcm-fig1", "train.num_steps", "has no effect on a study: the budget sets it"),
        ("dancelcm-fig1", "train.seed", "has no effect on a study: .*: --seeds"),
        ("dancelcm-fig1", "teacher", "has no effect on a study: it is one for all: --teacher"),
    ],
)
def test_a_change_for_all_that_makes_rows_alike_or_does_nothing_is_refused(study, name, message):
    wanted = find_study(study)
    with pytest.raises(ValueError, match=message):
        terms = Terms(preset=wanted.preset, changes={name: "2"})
        for contender in wanted.contenders:
            contender_recipe(contender, terms, seed=0)


def test_terms_are_added_one_by_one():
    """Table 4: each row is the one before and one thing more, on the same batches but the first."""
    rows = {row.label: row.contender for row in find_study("cosec-table4").rows}
    weights = {}
    for label, contender in rows.items():
        assert contender is not None
        first, second = (contender_recipe(phase, Terms(), seed=0) for phase in contender.phases)
        assert isinstance(first, StudentRecipe) and isinstance(second, StudentRecipe)
        assert second.start.startswith(f"{next(iter(contender.phases)).recipe}_dancer-")
        spatial, temporal = first.method.cosec, second.method.cosec
        weights[label] = (
            (first.clips.references, second.clips.references),
            spatial.eta_weight,
            spatial.cons_weight,
            temporal.temporal_weight,
        )
    assert weights == {
        "ReferenceLCM, in pairs": ((2, 2), 0.0, 0.0, 0.0),
        "ReferenceLCM": ((1, 1), 0.0, 0.0, 0.0),
        "+ ETA (spatial)": ((2, 2), 0.1, 0.0, 0.0),
        "+ CoNS (spatial)": ((2, 2), 0.1, 0.02, 0.0),
        "+ ETA (temporal)": ((2, 2), 0.1, 0.02, 0.05),
    }


def test_each_papers_metrics_stand_beside_its_table():
    assert printed_metrics(find_study("dancelcm-table3")) == ["PSNR", "SSIM", "LPIPS", "FVD"]
    assert printed_metrics(find_study("cosec-table1")) == [
        *("SSIM", "LPIPS", "FID", "FID-VID", "FVD"),
    ]
    assert printed_metrics(find_study("cosec-fig4")) == []


def test_what_is_judged_elsewhere_is_trained_at_home():
    study = find_study("cosec-table5")
    assert (study.preset, study.judged) == (None, "wild")
    recipe = contender_recipe(study.contenders[0], Terms(judged="wild"), seed=0)
    assert isinstance(recipe.data, DancerData) and recipe.data.preset == "plain"


def test_some_rows_keep_the_claims_that_are_of_them():
    whole = find_study("cosec-table3")
    some = only_rows(whole, ["CoSeC-LCD", "Teacher, 8", "Teacher, 2"])
    assert [row_name(row) for row in some.rows] == ["Teacher, 2", "Teacher, 8", "CoSeC-LCD, 2"]
    assert [(each.better, each.worse) for each in some.claims] == [
        ("CoSeC-LCD, 2", "Teacher, 2"),
        ("CoSeC-LCD, 2", "Teacher, 8"),
    ]
    assert some.left_out == ("Teacher, 4", "Teacher, 6")
    teachers = only_rows(whole, ["Teacher"])
    assert (teachers.contenders, teachers.claims) == ((), ())
    assert only_rows(whole, ["Teacher", "CoSeC-LCD"]) == whole
    pairs = only_rows(find_study("cosec-table4"), ["ReferenceLCM"])
    assert [row_name(row) for row in pairs.rows] == ["ReferenceLCM, 2"], "not the one in pairs"


def test_a_row_that_is_not_there_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="no row 'Teacher, 3' in cosec-fig4: rows are Teacher, 2;"):
        only_rows(find_study("cosec-fig4"), ["Teacher", "Teacher, 3"])
