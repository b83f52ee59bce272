"""Students that are told faces: from the recipe to the animation (DanceLCM, section 3.2)."""

import numpy as np
import pytest
from toy_recipes import changes

from quickstep.animation.animator import Animator
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.dancer_poses import dancer_poses
from quickstep.data.faces import dancer_face
from quickstep.networks.faces import FaceInput
from quickstep.networks.folder import load_model
from quickstep.training.runs import run_recipe


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A teacher and a student that is told faces, two steps each, and what they build on."""
    home = tmp_path_factory.mktemp("runs")
    for kind in ("vae", "clip", "unianimate", "dancelcm"):
        run_recipe(f"{kind}_lab", overrides=changes(kind), run_folder=home / f"{kind}_lab")
    return home


def test_a_student_is_told_faces_and_its_teacher_is_not(runs):
    teacher, student = load_model(runs / "unianimate_lab"), load_model(runs / "dancelcm_lab")
    assert teacher.settings.face is None
    assert student.settings.face == FaceInput(feature="vae", size=64)
    added = set(student.network.state_dict()) - set(teacher.network.state_dict())
    assert added and all("face" in key for key in added)
    trained = [key for key in added if key.endswith("faces.to_out.weight")]
    assert all(student.network.state_dict()[key].any() for key in trained)
    found = [path for path in (runs / "data").glob("*/faces-64/vae-*.npy")]
    assert len(found) == 2  # clips to learn from and to preview


def test_a_student_told_faces_animates_with_and_without(runs):
    animator = Animator.from_pretrained(runs / "dancelcm_lab")
    clip = render_clip(DancerSeeds.of(9), num_frames=3, size=32)
    reference, dance = clip.reference_rgb.numpy(), dancer_poses(clip)
    face = dancer_face(DancerSeeds.of(9), size=32)
    seen = animator(reference, dance, num_inference_steps=4, face=face)
    unseen = animator(reference, dance, num_inference_steps=4, face=None)
    assert (seen.face_found, unseen.face_found) == (True, False)
    wall = np.repeat(np.linspace(60, 180, 40).astype(np.uint8), 120).reshape(40, 40, 3)
    blank = animator(wall, dance, num_inference_steps=4)
    assert blank.face_found is False and blank.frames.shape == (3, 32, 32, 3)
    told = animator.scene(reference, dance, face=face)
    assert told.face is not None and told.face.shape == (64, 64, 3)
    teacher = Animator.from_pretrained(runs / "unianimate_lab")
    assert teacher.face_found(teacher.scene(reference, dance, face=face)) is None
    assert "nets" not in vars(teacher.faces)


@pytest.mark.parametrize(
    "settings",
    [
        {"face.feature": "clip"},
        {"face.inject": "joined", "face.patch": "8"},
        {"face": "none"},
    ],
)
def test_faces_are_settings_of_a_recipe(runs, settings):
    name = "dancelcm_lab"
    overrides = changes("dancelcm") | settings | {"train.preview_every": "0"}
    folder = runs / f"faces-{'-'.join(settings.values())}"
    run_recipe(name, overrides=overrides, run_folder=folder)
    student = load_model(folder)
    assert (student.settings.face is None) == ("face" in settings)
    assert student.network.config.face_feature == {"none": None, "clip": "clip"}.get(
        next(iter(settings.values())), "vae"
    )


def test_faces_that_do_not_fit_are_refused_before_training(runs):
    for settings, message in (
        ({"face.size": "60"}, "face.size must be a multiple of 16.*got 60"),
        ({"face.patch": "0"}, "face.patch must be at least 1: got 0"),
        ({"face.drop": "1.0"}, "face.drop must be from 0 to below 1: got 1.0"),
        ({"face.feature": "dino"}, "face.feature must be one of vae, clip"),
    ):
        with pytest.raises(ValueError, match=message):
            run_recipe(
                "dancelcm_lab",
                overrides=changes("dancelcm") | settings,
                run_folder=runs / "refused",
            )
