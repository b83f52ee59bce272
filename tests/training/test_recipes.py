"""Everything that is shipped runs: the whole chain of recipes, at toy size, to a loaded model."""

from dataclasses import replace

import pytest
import torch

from quickstep.animation.plan import make_plan
from quickstep.config import digest
from quickstep.methods.presets import PRESETS
from quickstep.networks.folder import load_model
from quickstep.networks.unianimate import UniAnimateConditions
from quickstep.teachers.generation import draw_latents
from quickstep.teachers.protocol import Denoiser
from quickstep.training.checkpoint import latest_checkpoint, read_checkpoint
from quickstep.training.recipe_kinds import AutoencoderRecipe, PeRFlowRecipe, StudentRecipe
from quickstep.training.recipes import RECIPES, find_recipe, recipe_names
from quickstep.training.record import read_log
from quickstep.training.runs import export_recipe, recipe_of_run, run_recipe

CLIPS = {"data.num_clips": "4", "data.num_frames": "4", "data.size": "32"}
TOY = {
    "train.num_steps": "2",
    "train.warmup_steps": "0",
    "train.precision": "fp32",
    "train.prefetch": "0",
    "train.log_every": "1",
}
MIX = {"clips.lengths": "2,4", "clips.clips": "2,1", "clips.shares": "1,1"}
SHAPE = {"network.width": "32", "network.multipliers": "1,1", "network.attn_scales": "1.0"}


def changes(kind: str) -> dict[str, str]:
    extra = {
        "vae": {"widths": "8,8,8", "batch_size": "2", "crop": "16", "train.preview_every": "1"},
        "clip": {"width": "16", "layers": "1", "embedding": "16", "batch_size": "4"},
        "unianimate": {**MIX, **SHAPE},
    }
    return CLIPS | TOY | extra.get(kind, {**MIX, "train.preview_every": "2"})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The four recipes of `lab`, two steps each, one after the other."""
    home = tmp_path_factory.mktemp("runs")
    for kind in ("vae", "clip", "unianimate", "dancelcm"):
        name = f"{kind}_lab"
        result = run_recipe(name, overrides=changes(kind), run_folder=home / name)
        assert result.step == 2
    return home


def test_the_chain_ends_in_a_model_that_runs(runs):
    teacher = load_model(runs / "unianimate_lab")
    student = load_model(runs / "dancelcm_lab")
    assert (teacher.settings.role, student.settings.role) == ("teacher", "student")
    assert student.settings.steps_best in student.settings.steps_allowed
    denoiser = Denoiser(student.network, student.schedule)
    channels = student.network.config.in_channels
    features = denoiser.encode(
        UniAnimateConditions(
            image=torch.zeros(1, 1, 16),
            reference=torch.zeros(1, channels, 8, 8),
            pose=torch.zeros(1, 3, 3, 32, 32),
            reference_pose=torch.zeros(1, 3, 32, 32),
            first_frame=None,
        )
    )
    latents = draw_latents(
        denoiser,
        features,
        settings=student.settings,
        shape=(1, 3, channels, 8, 8),
        num_steps=4,
        generator=torch.Generator().manual_seed(0),
    )
    assert latents.shape == (1, 3, channels, 8, 8)
    assert latents.isfinite().all()


@pytest.mark.parametrize("method", sorted(set(PRESETS) - {"dancelcm"}))
def test_every_baseline_ends_in_a_student_that_runs(runs, method):
    name = f"{method}_lab"
    run_recipe(name, overrides=changes(method), run_folder=runs / name)
    student = load_model(runs / name)
    preset = PRESETS[method](guidance=1.5, noise_offset=0.1)
    assert student.settings.method == method
    assert student.settings.sampler == preset.sampler
    assert student.settings.segments == preset.config.num_segments
    plan = make_plan(student.settings)
    assert len(plan.times) == student.settings.steps_best
    assert (runs / name / "previews" / "000002.png").is_file()


def test_an_exported_student_has_no_auxiliary_head(runs):
    trained = read_checkpoint(latest_checkpoint(runs / "dancelcm_lab")).weights
    exported = load_model(runs / "dancelcm_lab").network.state_dict()
    heads = [key for key in trained if key.startswith("auxiliary.")]
    assert heads
    assert {key.removeprefix("network.") for key in trained if key not in heads} == set(exported)


def test_methods_are_compared_at_equal_compute():
    def evaluations(recipe):
        method = recipe.method
        if isinstance(recipe, StudentRecipe):
            method = replace(method, skip_target=False)
        return recipe.train.num_steps * method.cost().total

    for size in ("dancer", "lab"):
        ours = evaluations(RECIPES[f"dancelcm_{size}"])
        for method in PRESETS:
            recipe = RECIPES[f"{method}_{size}"]
            assert evaluations(recipe) == pytest.approx(ours, rel=0.03)
            assert recipe.train.learning_rate == RECIPES[f"dancelcm_{size}"].train.learning_rate
    assert isinstance(RECIPES["perflow_dancer"], PeRFlowRecipe)


def test_an_export_knows_the_fields_that_were_changed(runs):
    recipe = recipe_of_run("vae_lab", runs / "vae_lab")
    assert isinstance(recipe, AutoencoderRecipe)
    assert recipe.widths == (8, 8, 8)
    before = load_model(runs / "unianimate_lab").network.state_dict()
    again = load_model(export_recipe("unianimate_lab", run_folder=runs / "unianimate_lab"))
    after = again.network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_previews_are_pictures(runs):
    for name, step in (("vae_lab", 1), ("dancelcm_lab", 2)):
        assert (runs / name / "previews" / f"{step:06d}.png").stat().st_size > 500


def test_a_distillation_logs_what_its_loss_does_not_say(runs):
    logged = read_log(runs / "dancelcm_lab")
    preview = next(line for line in logged if "psnr_4" in line)
    assert preview["step"] == 2
    assert {"motion_1", "contrast_8", "seam_499", "solver_error_999"} <= preview.keys()
    assert not any("seam_499" in line for line in read_log(runs / "videolcm_lab"))
    steps = next(line for line in logged if "distance" in line)
    assert {"auxiliary", "motion", "evaluations"} <= steps.keys()


def test_a_finished_run_resumes_to_nothing_new(runs):
    before = load_model(runs / "dancelcm_lab").network.state_dict()
    result = run_recipe(
        "dancelcm_lab",
        resume=True,
        overrides=changes("dancelcm"),
        run_folder=runs / "dancelcm_lab",
    )
    assert result.step == 2
    after = load_model(runs / "dancelcm_lab").network.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_a_missing_run_is_named(tmp_path):
    with pytest.raises(ValueError, match="quickstep train vae_lab"):
        run_recipe(
            "unianimate_lab", overrides=changes("unianimate"), run_folder=tmp_path / "teacher"
        )


def test_unknown_names_are_answered_with_the_known(tmp_path):
    with pytest.raises(ValueError, match="unknown recipe 'vae_dance': recipes are .*vae_dancer"):
        run_recipe("vae_dance", run_folder=tmp_path)
    with pytest.raises(ValueError, match="no field 'train.steps'"):
        run_recipe("vae_lab", overrides={"train.steps": "3"}, run_folder=tmp_path)


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_say_what_they_are(name):
    recipe = find_recipe(name)
    assert recipe is RECIPES[name]
    assert recipe.data.first_seed + recipe.data.num_clips <= 1_000_000
    assert len(digest(recipe)) == 12
