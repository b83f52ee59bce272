"""Champ's two stages and a student of it, at toy size."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from toy_recipes import MIX, changes

from quickstep.config import with_changes
from quickstep.networks.champ import ChampNetwork, DenoisingUNet
from quickstep.networks.folder import load_model
from quickstep.training.checkpoint import latest_checkpoint, read_checkpoint
from quickstep.training.recipe_kinds import ChampRecipe, ClipMix
from quickstep.training.recipes import find_recipe
from quickstep.training.runs import run_recipe
from quickstep.training.student_runs import student_method, student_network, student_settings


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Encoders and both stages of `lab`, two steps each."""
    home = tmp_path_factory.mktemp("runs")
    for kind in ("vae", "clip", "champ-frames", "champ"):
        name = f"{kind}_lab"
        run_recipe(name, overrides=changes(kind), run_folder=home / name)
    return home


def test_the_first_stage_learns_all_but_motion_and_the_second_motion_alone(runs):
    frames, clips = (load_model(runs / name) for name in ("champ-frames_lab", "champ_lab"))
    assert isinstance(frames.network, ChampNetwork)
    assert {frames.settings.family, clips.settings.family} == {"champ"}
    assert (frames.settings.frames, clips.settings.frames) == (1, 4)
    before = load_model(runs / "champ-frames_lab").network.state_dict()
    after = clips.network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all("motion_modules" in key for key in changed)
    still = [key for key in before if "motion_modules" in key and ".proj_out." in key]
    assert still and not any(before[key].any() for key in still)
    assert (runs / "champ_lab" / "previews" / "000002.png").is_file()


def test_a_students_denoiser_is_its_own_and_all_else_its_teachers(runs):
    name = "referencelcm_lab"
    run_recipe(
        name,
        overrides={**changes("referencelcm"), "teacher": "champ_lab", "start": ""},
        run_folder=runs / name,
    )
    teacher, student = load_model(runs / "champ_lab").network, load_model(runs / name).network
    assert isinstance(student, ChampNetwork)
    for part in ("reference_unet", "pose_encoders"):
        own, known = student.parts[part].state_dict(), teacher.parts[part].state_dict()
        assert all(torch.equal(own[key], known[key]) for key in known)
    place = latest_checkpoint(runs / name)
    assert place is not None
    # Nothing that is shared is trained, averaged or kept.
    assert all("reference_unet" not in key for key in read_checkpoint(place).weights)


@pytest.mark.parametrize("method", ["referencelcm", "dancelcm", "perflow"])
def test_a_step_runs_the_reference_network_once(runs, method):
    name = f"{method}_lab"
    toy = {**changes(method), "teacher": "champ_lab"}
    if method == "dancelcm":
        toy["face"] = "none"
    recipe: Any = with_changes(find_recipe(name), toy)
    teacher = load_model(runs / "champ_lab")
    student = student_network(recipe, teacher)
    assert isinstance(student, DenoisingUNet)
    settings = student_settings(name, recipe, teacher)
    distil = student_method(recipe, student=student, teacher=teacher, settings=settings)
    count = []
    teacher.network.reference_unet.register_forward_hook(lambda *_: count.append(1))
    generator = torch.Generator().manual_seed(0)
    batch = {
        "latents": torch.randn(2, 2, 4, 8, 8, generator=generator),
        "reference": torch.randn(2, 4, 8, 8, generator=generator),
        "image": torch.randn(2, 1, 16, generator=generator),
        "pose_maps": torch.randint(0, 256, (2, 2, 4, 32, 32, 3), generator=generator).byte(),
        "person": torch.rand(2, 2, 8, 8, generator=generator),
        "motion": torch.rand(2, 2, 8, 8, generator=generator),
    }
    distil.loss(batch, generator=generator, progress=0.0).value.backward()
    assert len(count) == 1
    frozen = [*teacher.network.parameters()]
    assert all(weight.grad is None for weight in frozen)
    assert any(weight.grad is not None for weight in student.parameters())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stage": "clips", "start": ""}, "start must name the first stage's run"),
        ({"stage": "frames", "clips": ClipMix()}, "clips.lengths must be 1 for stage='frames'"),
        (
            {"clips": ClipMix(lengths=(64,), clips=(1,), shares=(1.0,))},
            "at most network.max_frames",
        ),
    ],
)
def test_stages_that_cannot_be_are_refused(change, message):
    recipe = find_recipe("champ_lab")
    assert isinstance(recipe, ChampRecipe)
    with pytest.raises(ValueError, match=message):
        replace(recipe, **change)


def test_a_missing_first_stage_is_named(runs, tmp_path):
    with pytest.raises(ValueError, match="run `quickstep train champ-frames_lab` first"):
        run_recipe(
            "champ_lab",
            overrides={**changes("champ"), "encoders": "dancer-unianimate"},
            run_folder=tmp_path / "champ_lab",
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"form": "adapter"}, "form must be full with a Champ teacher: got 'adapter'"),
        ({"method.tell_edge": "true"}, "method.tell_edge must be False with a Champ teacher"),
    ],
)
def test_what_champ_students_lack_is_refused(runs, change, message):
    overrides = {**changes("videolcm"), **MIX, "teacher": "champ_lab", **change}
    with pytest.raises(ValueError, match=message):
        run_recipe("videolcm_lab", overrides=overrides, run_folder=runs / "refused")
