"""A distillation on shards, from footage to an exported student."""

import numpy as np
import pytest
import torch
from toy_recipes import TOY

from quickstep.config import with_changes
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.shards import ShardData, ShardError
from quickstep.networks.faces import FaceInput
from quickstep.networks.folder import load_model, read_settings
from quickstep.preparation.prepare import prepare_footage
from quickstep.preparation.settings import PrepareSettings
from quickstep.preparation.sources import find_sources
from quickstep.preparation.splits import SplitPlan
from quickstep.preparation.work import Job
from quickstep.training.ranks import Ranks
from quickstep.training.recipe_kinds import StudentRecipe
from quickstep.training.recipes import find_recipe
from quickstep.training.run_data import RunData, unseen_data
from quickstep.training.runs import recipe_of_run, run_recipe


@pytest.mark.slow
def test_a_student_learns_from_shards(tmp_path):
    write_dancer_clips(tmp_path / "clips", num_clips=3, num_frames=12, size=64, seed=5)
    settings = PrepareSettings(size=(64, 64), num_frames=12, min_frames=4)
    job = Job(settings=settings, model="dancer", store=tmp_path / "store")
    out = tmp_path / "shards"
    prepare_footage(find_sources(tmp_path / "clips"), out, job, split=SplitPlan({"00002": "test"}))
    changes = {
        **TOY,
        "teacher": "dancer-unianimate-teacher",
        "data.shards": str(out),
        "clips.lengths": "4,8",
        "clips.clips": "1,1",
        "clips.shares": "1,1",
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
