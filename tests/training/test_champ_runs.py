"""Champ's two stages and a student of it, at toy size."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from toy_recipes import ADAPTER, CHAMP, TOY, changes

from quickstep.animation.animator import Animator
from quickstep.apps.cli import main
from quickstep.config import with_changes
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.folder_sets import FolderData
from quickstep.methods.presets import PRESETS
from quickstep.networks.adapters import Adapted
from quickstep.networks.champ import ChampConditions, ChampNetwork, ChampShape, DenoisingUNet
from quickstep.networks.faces import FaceInput
from quickstep.networks.families import network_parts
from quickstep.networks.folder import ModelError, load_model, save_model
from quickstep.teachers.generation import draw_latents
from quickstep.teachers.protocol import Denoiser
from quickstep.training.checkpoint import latest_checkpoint, read_checkpoint
from quickstep.training.recipe_kinds import ChampRecipe, ClipMix, PeRFlowRecipe, StudentRecipe
from quickstep.training.recipes import RECIPES, find_recipe
from quickstep.training.runs import recipe_of_run, run_recipe
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


@pytest.mark.parametrize("method", sorted(set(PRESETS) - {"dancelcm"}))
def test_every_baseline_has_a_recipe_that_learns_from_a_champ(runs, method):
    """But for the teacher it is the recipe for UniAnimate's."""
    for size in ("dancer", "lab"):
        recipe = RECIPES[f"{method}-champ_{size}"]
        assert isinstance(recipe, StudentRecipe | PeRFlowRecipe)
        assert recipe.teacher == f"champ_{size}"
        assert replace(recipe, teacher=f"unianimate_{size}") == RECIPES[f"{method}_{size}"]
    name = f"{method}-champ_lab"
    overrides = changes(method) | {"train.num_steps": "1", "train.preview_every": "0"}
    run_recipe(name, overrides=overrides, run_folder=runs / name)
    settings = load_model(runs / name).settings
    assert (settings.method, settings.family, settings.role) == (method, "champ", "student")
    assert settings.noise_offset == load_model(runs / "champ_lab").settings.noise_offset == 0.05


def test_the_full_size_stages_train_on_real_clips(runs, tmp_path):
    """Champ's own settings; the shape is the public checkpoint's, here a toy in its place."""
    names = ("champ-frames_champ", "champ_champ")
    for name, steps, size, length in zip(
        names, (100_000, 50_000), (768, 512), (1, 24), strict=True
    ):
        recipe = find_recipe(name)
        assert isinstance(recipe, ChampRecipe)
        assert recipe.network == ChampShape() and recipe.parametrisation == "v"
        assert (recipe.method.noise_offset, recipe.method.min_snr) == (0.05, 5.0)
        assert (recipe.train.num_steps, recipe.train.learning_rate) == (steps, 1e-5)
        assert isinstance(recipe.data, FolderData)
        assert (recipe.data.size, recipe.clips.lengths) == ((size, size), (length,))
        assert recipe.gradient_checkpointing == (length > 1)
    write_dancer_clips(tmp_path / "clips", num_clips=4, num_frames=7, size=32, seed=9)
    toy = {
        **TOY,
        **CHAMP,
        "network.unused_layers": "false",
        "encoders": str(runs / "champ_lab" / "model"),
        "data.folder": str(tmp_path / "clips"),
        "data.num_frames": "4",
        "data.size": "32,32",
        "data.cell": "4",
    }
    clips = {"data.stride": "2", "clips.lengths": "4", "clips.clips": "2"}
    for name, more in zip(names, ({"clips.clips": "4"}, clips), strict=True):
        run_recipe(name, overrides=toy | more, run_folder=runs / name)
    frames, moving = (load_model(runs / name) for name in names)
    assert (frames.settings.parametrisation, frames.settings.noise_offset) == ("v", 0.05)
    assert (frames.settings.frames, moving.settings.frames) == (1, 4)
    before, after = frames.network.state_dict(), moving.network.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed and all("motion_modules" in key for key in changed)
    again = recipe_of_run(names[1], runs / names[1])
    assert isinstance(again, ChampRecipe) and again.gradient_checkpointing


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


@pytest.fixture(scope="module")
def faced(runs):
    """A student that is told faces, two steps."""
    name = "dancelcm-champ_lab"
    run_recipe(name, overrides=changes("dancelcm"), run_folder=runs / name)
    return runs / name


def test_a_student_is_told_faces_and_its_teacher_is_not(runs, faced, tmp_path):
    """DanceLCM whole on Champ: segments, motion, head and faces, from training to a dance."""
    teacher, student = load_model(runs / "champ_lab"), load_model(faced)
    assert (teacher.settings.face, student.settings.face) == (None, FaceInput("vae", 64))
    assert (student.settings.family, student.settings.segments) == ("champ", 2)
    state = student.network.state_dict()
    added = set(state) - set(teacher.network.state_dict())
    assert added and all("face" in key for key in added)
    assert all(state[key].any() for key in added if key.endswith("faces.to_out.weight"))
    assert (faced / "previews" / "000002.png").is_file()
    write_dancer_clips(tmp_path, num_clips=1, num_frames=3, size=32, seed=9)
    (clip,) = (path.parent for path in tmp_path.glob("*/clip.json"))
    animator = Animator.from_pretrained(faced)
    for key, weight in animator.model.network.named_parameters():
        if key.endswith("faces.to_out.weight"):  # two steps change no rounded pixel
            torch.nn.init.normal_(weight)
    picture = clip / "reference.png"
    seeds = [torch.Generator().manual_seed(0) for _ in range(2)]
    seen = animator(picture, clip, num_inference_steps=4, generator=seeds[0])
    unseen = animator(picture, clip, num_inference_steps=4, generator=seeds[1], face=None)
    assert (seen.face_found, unseen.face_found) == (True, False)
    assert seen.frames.shape == (3, 32, 32, 3)
    assert not np.array_equal(seen.frames, unseen.frames)


@pytest.fixture(scope="module")
def accelerator(runs):
    """An adapter with faces that is told its edge, two steps."""
    name = "dancelcm-adapter-champ_lab"
    told = {"method.edge": "lower", "method.tell_edge": "true"}
    overrides = changes("dancelcm") | ADAPTER | told | {"gradient_checkpointing": "true"}
    run_recipe(name, overrides=overrides, run_folder=runs / name)
    return runs / name


def drawn(model):
    """One step of a student, which it is told to go all the way."""
    generator = torch.Generator().manual_seed(3)
    denoiser = Denoiser(model.network, model.schedule, model.settings.parametrisation)
    features = denoiser.encode(
        ChampConditions(
            image=torch.randn(1, 1, 16, generator=generator),
            reference=torch.randn(1, 4, 8, 8, generator=generator),
            pose_maps=torch.rand(1, 2, 4, 3, 32, 32, generator=generator),
            face=torch.randn(1, 4, 16, 16, generator=generator),
        )
    )
    return draw_latents(
        denoiser,
        features,
        settings=model.settings,
        shape=(1, 2, 4, 8, 8),
        num_steps=1,
        generator=torch.Generator().manual_seed(0),
    )


def test_an_accelerator_is_put_on_its_champ(runs, accelerator):
    files = {path.name for path in (accelerator / "model").rglob("*") if path.is_file()}
    assert {"pytorch_lora_weights.safetensors", "quickstep_extras.safetensors"} <= files
    assert not any(name.startswith("diffusion_pytorch_model") for name in files)
    apart, fused = load_model(accelerator, fuse=False), load_model(accelerator)
    teacher = load_model(runs / "champ_lab")
    assert isinstance(apart.network, ChampNetwork) and isinstance(fused.network, ChampNetwork)
    assert isinstance(apart.network.denoiser, Adapted)
    assert isinstance(fused.network.denoiser, DenoisingUNet)
    assert fused.settings.told_edge and fused.settings.face is not None
    torch.testing.assert_close(drawn(fused), drawn(apart), atol=1e-5, rtol=1e-5)
    base = apart.network.denoiser.base.state_dict()
    for key, value in teacher.network.denoiser.state_dict().items():
        assert torch.equal(base[key], value)
    place = latest_checkpoint(accelerator)
    assert place is not None
    own = ("network.adapter.", "network.extras.", "auxiliary.")
    assert all(name.startswith(own) for name in read_checkpoint(place).weights)


def test_an_accelerator_is_handed_on_small_or_fused(runs, accelerator, tmp_path):
    small, whole, fused = tmp_path / "small", tmp_path / "whole", load_model(accelerator)
    teacher = str(runs / "champ_lab" / "model")
    assert main(["export", str(accelerator), str(small), "--no-half", "--teacher", teacher]) == 0
    options = ["--fuse", "--no-half", "--encoders-of", teacher, "--reference-of", teacher]
    assert main(["export", str(accelerator), str(whole), *options]) == 0
    assert not (whole / "reference_unet").exists()
    for folder in (small, whole):
        torch.testing.assert_close(drawn(load_model(folder)), drawn(fused), atol=1e-6, rtol=1e-5)
    other = load_model(runs / "champ_lab")
    with torch.no_grad():
        other.network.reference_unet.conv_in.bias.add_(1.0)
    parts = {**network_parts(other.network), "vae": other.vae, "image_encoder": other.image_encoder}
    save_model(tmp_path / "other", parts=parts, settings=other.settings, card="")
    with pytest.raises(ModelError, match="was made for a teacher with the weights"):
        load_model(small, teacher=tmp_path / "other")


def test_a_told_student_goes_on_from_one_that_is_not(runs, faced):
    name = "dancelcm-told-champ_lab"
    overrides = changes("dancelcm") | {"train.num_steps": "1", "train.preview_every": "0"}
    run_recipe(name, overrides=overrides, init=faced, run_folder=runs / name)
    model = load_model(runs / name)
    assert model.settings.told_edge and model.network.denoiser.edge_embed[-1].weight.any()
    assert drawn(model).isfinite().all()
