"""A stopped training is gone on with, a finished one is used again."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from quickstep.evaluation.reproduction import contenders
from quickstep.evaluation.reproduction.contenders import (
    Terms,
    contender_recipe,
    run_folder,
    trained,
    unseen_clips,
)
from quickstep.evaluation.reproduction.cosec import CONS, COSEC
from quickstep.evaluation.reproduction.dancelcm import DANCELCM, SEGMENTS
from quickstep.networks.folder import SETTINGS_FILE
from quickstep.training.checkpoint import Checkpoint, save_checkpoint
from quickstep.training.recipe_kinds import StudentRecipe


@pytest.fixture
def terms(tmp_path, model_folders):
    return Terms(size="lab", teacher=str(model_folders / "teacher"), evaluations=60, home=tmp_path)


@pytest.fixture
def runs(monkeypatch):
    """Stands in for training: makes so many steps, and exports as a real run does."""
    calls = []

    def run_recipe(name, *, recipe, resume, run_folder, **options):
        reached = stops.pop(0) if stops else recipe.train.num_steps
        calls.append((resume, reached))
        names.append(name)
        checkpoint = Checkpoint(step=reached, weights={"a": torch.zeros(1)}, optimizer={})
        save_checkpoint(run_folder, checkpoint, keep=1)
        (run_folder / "model").mkdir(exist_ok=True)
        (run_folder / "model" / SETTINGS_FILE).write_text("{}")
        return SimpleNamespace(step=reached)

    stops: list[int] = []
    names: list[str] = []
    monkeypatch.setattr(contenders, "run_recipe", run_recipe)
    return SimpleNamespace(calls=calls, stops=stops, names=names)


def test_a_stopped_training_is_not_taken_for_a_finished_one(terms, runs):
    runs.stops.append(4)
    with pytest.raises(KeyboardInterrupt):
        trained(DANCELCM, terms, seed=0)
    model = trained(DANCELCM, terms, seed=0)
    assert trained(DANCELCM, terms, seed=0) == model
    assert runs.calls == [(False, 4), (True, 10)], "the third call finds it finished"


def test_a_run_is_named_by_what_it_learns(terms):
    def folder(**changes):
        changed = Terms(**{**vars(terms), **changes})
        return run_folder(DANCELCM, contender_recipe(DANCELCM, changed, seed=0), changed)

    watched = {"train.num_threads": "1", "train.preview_every": "0", "train.log_every": "5"}
    assert folder() == folder(changes=watched)
    others = [
        {"evaluations": 66},
        {"changes": {"train.decay_fraction": "0"}},
        {"preset": "catwalk"},
    ]
    names = {folder(**each).name for each in ({}, *others)}
    assert len(names) == 4


@pytest.mark.parametrize(("family", "own"), [("unianimate", 4), ("champ", 2)])
def test_the_recipe_s_own_number_of_segments_is_no_further_run(terms, monkeypatch, family, own):
    monkeypatch.setattr(contenders, "_weights_of", lambda model: "the same")
    terms = replace(terms, family=family)

    def folder(contender):
        return run_folder(contender, contender_recipe(contender, terms, seed=0), terms)

    folders = {count: folder(contender) for count, contender in SEGMENTS.items()}
    assert len(set(folders.values())) == 3
    assert folders[own] == folder(DANCELCM)


def test_a_phase_is_trained_once_for_all_that_go_on_from_it(terms, runs):
    trained(COSEC, terms, seed=0)
    trained(CONS, terms, seed=0)
    assert runs.names == ["cosec-frames_lab", "cosec_lab", "cosec_lab"]
    steps = [reached for _, reached in runs.calls]
    assert steps[0] > steps[1]
    recipe, other = (contender_recipe(COSEC, terms, seed=seed) for seed in (0, 1))
    assert isinstance(recipe, StudentRecipe) and isinstance(other, StudentRecipe)
    assert (terms.home / recipe.start / "model").is_dir()
    assert other.start != recipe.start


def test_the_place_of_runs_does_not_name_them(terms, tmp_path):
    moved = Terms(**{**vars(terms), "home": tmp_path / "elsewhere"})
    names = {
        run_folder(COSEC, contender_recipe(COSEC, each, seed=0), each).name
        for each in (terms, moved)
    }
    assert len(names) == 1


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"data.folder": "clips", "train.preview_every": "0"}, "data.folder='clips'"),
        ({"data.shards": "prepared"}, "data.shards='prepared'"),
    ],
)
def test_real_clips_are_refused_in_one_line(terms, changes, named):
    """A study's presets and its unseen clips are of procedural dancers."""
    for preset in (None, "catwalk"):
        real = Terms(**{**vars(terms), "preset": preset, "changes": changes})
        for refused in (
            lambda real=real: contender_recipe(DANCELCM, real, seed=0),
            lambda real=real: unseen_clips(real),
        ):
            with pytest.raises(ValueError, match=f"procedural dancers.*got {named}") as caught:
                refused()
            assert "\n" not in str(caught.value)
