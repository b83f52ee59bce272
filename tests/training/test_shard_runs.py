"""A distillation on shards, from footage to an exported student."""

import numpy as np
import pytest
import torch
from toy_recipes import CHAMP, SHAPE, TOY

from quickstep.animation.animator import Animator
from quickstep.config import with_changes
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.image import read_image
from quickstep.data.shards import ShardData, ShardError
from quickstep.networks.faces import FaceInput
from quickstep.networks.folder import load_model, read_settings
from quickstep.preparation.prepare import prepare_footage
from quickstep.preparation.settings import PrepareSettings
from quickstep.preparation.sources import find_sources
from quickstep.preparation.splits import SplitPlan
from quickstep.preparation.work import Job
from quickstep.training.ranks import Ranks
from quickstep.training.recipe_kinds import StudentRecipe, TeacherRecipe
from quickstep.training.recipes import find_recipe
from quickstep.training.run_data import RunData, unseen_data
from quickstep.training.runs import recipe_of_run, run_recipe


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Shards of three dancers with maps, one of them unseen, encoded by the built-in model's."""
    home = tmp_path_factory.mktemp("prepared")
    write_dancer_clips(home / "clips", num_clips=3, num_frames=12, size=64, seed=5)
    settings = PrepareSettings(size=(48, 64), num_frames=12, min_frames=4, pose_maps=True)
    job = Job(settings=settings, model="dancer", store=home / "store")
    found = find_sources(home / "clips", with_maps=True)
    prepare_footage(found, home / "shards", job, split=SplitPlan({"00002": "test"}))
    return home / "shards"


MIX = {"clips.lengths": "4,8", "clips.clips": "1,1", "clips.shares": "1,1"}


def test_a_teacher_learns_from_shards(out, tmp_path):
    changes = {**TOY, **SHAPE, **MIX, "encoders": "dancer", "data.shards": str(out)}
    folder = tmp_path / "runs" / "unianimate_dancer"
    overrides = {**changes, "train.preview_every": "2", "train.checkpoint_every": "1"}
    result = run_recipe("unianimate_dancer", overrides=overrides, run_folder=folder)
    assert result.step == 2
    settings = read_settings(folder / "model")
    assert (settings.role, settings.size, settings.frames) == ("teacher", (48, 64), 8)
    assert settings.fps == 12
    assert read_image(folder / "previews" / "000002.png").shape[1] == 9 * 48
    again = recipe_of_run("unianimate_dancer", folder)
    assert isinstance(again, TeacherRecipe) and again.data == ShardData(shards=str(out))
    animated = Animator.from_pretrained(folder / "model")
    assert animated.model.vae.config["latent_channels"] == 16


def test_a_unianimate_teacher_learns_from_clip_folders(out, tmp_path):
    changes = {**TOY, **SHAPE, **MIX, "encoders": "dancer", "data.size": "48,64"}
    changes |= {"data.folder": str(out.parent / "clips"), "data.num_frames": "12"}
    folder = tmp_path / "runs" / "unianimate_dancer"
    assert run_recipe("unianimate_dancer", overrides=changes, run_folder=folder).step == 2
    settings = read_settings(folder / "model")
    assert (settings.size, settings.frames) == ((48, 64), 8)


def test_both_stages_of_a_champ_learn_from_shards(out, tmp_path):
    shared = {**TOY, **CHAMP, "encoders": "dancer", "data.shards": str(out)}
    shared |= {"network.map_widths": "8,8,8,16"}
    home = tmp_path / "runs"
    frames, clips = ("champ-frames_dancer", "champ_dancer")
    run_recipe(frames, overrides=shared | {"clips.clips": "2"}, run_folder=home / frames)
    more = {**MIX, "train.preview_every": "2"}
    run_recipe(clips, overrides=shared | more, run_folder=home / clips)
    settings = [read_settings(home / name / "model") for name in (frames, clips)]
    assert [(one.family, one.frames, one.size) for one in settings] == [
        ("champ", 1, (48, 64)),
        ("champ", 8, (48, 64)),
    ]
    assert (home / clips / "previews" / "000002.png").is_file()


def test_a_teacher_stopped_on_shards_goes_on_to_the_same_weights(out, tmp_path):
    changes = {**TOY, **SHAPE, **MIX, "encoders": "dancer", "data.shards": str(out)}
    changes |= {"train.num_steps": "4", "train.checkpoint_every": "2"}
    name = "unianimate_dancer"
    run_recipe(name, overrides=changes, run_folder=tmp_path / "whole" / name)
    parts = tmp_path / "parts" / name
    run_recipe(name, overrides=changes | {"train.num_steps": "2"}, run_folder=parts)
    before = load_model(parts / "model").network.state_dict()
    run_recipe(name, overrides=changes, run_folder=parts, resume=True)
    one, other = (
        load_model(folder / name / "model").network.state_dict()
        for folder in (tmp_path / "whole", tmp_path / "parts")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not all(torch.equal(one[key], before[key]) for key in one)


@pytest.mark.slow
def test_a_student_learns_from_shards(out, tmp_path):
    changes = {
        **TOY,
        **MIX,
        "teacher": "dancer-unianimate-teacher",
        "data.shards": str(out),
        "train.preview_every": "2",
    }
    folder = tmp_path / "runs" / "dancelcm_dancer"
    result = run_recipe("dancelcm_dancer", overrides=changes, run_folder=folder)
    assert result.step == 2
    assert read_settings(folder / "model").role == "student"
    assert (folder / "previews" / "000002.png").is_file()
    assert recipe_of_run("dancelcm_dancer", folder).data == ShardData(shards=str(out))
    data = RunData(
        tmp_path, ranks=Ranks(torch.device("cpu")), device=torch.device("cpu"), report=None
    )
    model = load_model("dancer")
    told = {"with_maps": False, "vae": model.vae, "image_encoder": model.image_encoder}
    face = FaceInput(feature="vae", size=64)
    clips = data.clips(ShardData(shards=str(out)), face=face, **told)
    assert clips.faces is not None
    batch = clips.clips_at(np.array([1, 0]), np.array([[1, 3], [2, 4]]), np.array([0, 5]))
    assert batch["face_found"].tolist() == [bool(clips.faces.found[row]) for row in (1, 0)]
    assert torch.equal(batch["face"], torch.tensor(clips.faces.features[[1, 0]]).float())
    torch.nn.init.ones_(next(model.image_encoder.parameters()))
    with pytest.raises(ShardError, match="encoded by 'dancer', not by this run's encoders"):
        data.clips(ShardData(shards=str(out)), face=None, **told)


def test_full_size_recipes_take_shards(tmp_path):
    fresh = find_recipe("dancelcm_tiktok")
    recipe = with_changes(fresh, {"data.shards": "x", "data.split": "a"})
    assert recipe.data == ShardData(shards="x", split="a")
    assert isinstance(fresh, StudentRecipe)
    assert unseen_data(fresh.data) is None


def test_what_shards_cannot_tell_is_refused(tmp_path):
    data = RunData(
        tmp_path, ranks=Ranks(torch.device("cpu")), device=torch.device("cpu"), report=None
    )
    model = load_model("dancer")
    encoders = {"vae": model.vae, "image_encoder": model.image_encoder}
    nowhere = ShardData(shards=str(tmp_path / "none"))
    with pytest.raises(ShardError, match="no such file: `quickstep prepare` writes it"):
        data.clips(nowhere, face=None, with_maps=False, **encoders)
