"""Everything that is shipped runs: the whole chain of recipes, at toy size, to a loaded model."""

from dataclasses import fields, replace

import pytest
import torch
from toy_recipes import ADAPTER, CLIPS, MIX, TOY, changes

from quickstep.animation.plan import make_plan
from quickstep.apps.cli import main
from quickstep.config import digest
from quickstep.data.dancer_folders import write_dancer_clips
from quickstep.data.folder_sets import FolderData
from quickstep.data.prepared import DancerData
from quickstep.methods.presets import PRESETS
from quickstep.networks.adapters import Adapted
from quickstep.networks.folder import ModelError, ScheduleSettings, load_model, save_model
from quickstep.networks.unianimate import UniAnimateConditions
from quickstep.teachers.generation import draw_latents
from quickstep.teachers.protocol import Denoiser
from quickstep.training.checkpoint import latest_checkpoint, read_checkpoint
from quickstep.training.recipe_kinds import AutoencoderRecipe, PeRFlowRecipe, StudentRecipe
from quickstep.training.recipes import RECIPES, find_recipe, recipe_names
from quickstep.training.record import read_log
from quickstep.training.runs import export_recipe, recipe_of_run, run_recipe


def latest(folder):
    place = latest_checkpoint(folder)
    assert place is not None
    return read_checkpoint(place)


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
    preset = PRESETS[method](guidance=1.5)
    assert student.settings.method == method
    assert student.settings.sampler == preset.sampler
    assert student.settings.segments == preset.config.num_segments
    plan = make_plan(student.settings)
    assert len(plan.times) == student.settings.steps_best
    assert (runs / name / "previews" / "000002.png").is_file()


def test_the_log_says_what_a_falling_loss_does_not(runs):
    """Loss terms, the error of each piece of time, the seams, the teacher's step, the samples."""
    folder = runs / "dancelcm_lab"
    numbers = {name: value for line in read_log(folder) for name, value in line.items()}
    assert {"loss", "distance", "auxiliary", "motion", "evaluations"} <= numbers.keys()
    assert any(name.startswith("distance_from_") for name in numbers)
    assert {name for name in numbers if name.startswith("seam_")} == {
        *("seam_239", "seam_499", "seam_739"),
    }
    assert {name for name in numbers if name.startswith("solver_error_")} == {
        *("solver_error_259", "solver_error_619", "solver_error_999"),
    }
    told = {f"{name}_{steps}" for name in ("motion", "contrast", "psnr") for steps in (1, 2, 4, 8)}
    assert told <= numbers.keys()
    assert all(isinstance(value, int | float) for value in numbers.values())  # null is not finite


def test_the_full_size_recipe_distils_real_clips(runs, tmp_path):
    write_dancer_clips(tmp_path / "clips", num_clips=2, num_frames=5, size=32, seed=9)
    changes = {
        **TOY,
        **MIX,
        "teacher": "unianimate_lab",
        "data.folder": str(tmp_path / "clips"),
        "data.num_frames": "4",
        "data.size": "32,32",
        "data.cell": "4",
        "train.sharding": "none",
    }
    run_recipe("dancelcm_tiktok", overrides=changes, run_folder=runs / "dancelcm_tiktok")
    student = load_model(runs / "dancelcm_tiktok")
    assert student.settings.recipe == "dancelcm_tiktok"
    again = recipe_of_run("dancelcm_tiktok", runs / "dancelcm_tiktok")
    assert isinstance(again.data, FolderData)
    with pytest.raises(ValueError, match="preview_every must be 0 without data.unseen"):
        run_recipe(
            "dancelcm_tiktok",
            overrides={**changes, "train.preview_every": "1"},
            run_folder=runs / "unseen",
        )
    with pytest.raises(ValueError, match="several ranks: launch with torchrun"):
        run_recipe(
            "dancelcm_tiktok",
            overrides={**changes, "train.sharding": "fsdp2"},
            run_folder=runs / "alone",
        )


@pytest.mark.slow
def test_the_documented_command_distils_on_sharded_ranks(runs, tmp_path, run_script, monkeypatch):
    write_dancer_clips(tmp_path / "clips", num_clips=2, num_frames=5, size=32, seed=9)
    changes = {
        **MIX,
        "data.folder": str(tmp_path / "clips"),
        "data.num_frames": "4",
        "data.size": "32,32",
        "data.cell": "4",
        "teacher": str(runs / "unianimate_lab" / "model"),
        "train.num_steps": "2",
    }
    monkeypatch.chdir(tmp_path)
    run_script(
        *("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *("-m", "quickstep", "distill", "dancelcm_tiktok", "--device", "cpu"),
        *(word for name, value in changes.items() for word in ("--set", f"{name}={value}")),
    )
    assert load_model(tmp_path / "runs" / "dancelcm_tiktok").settings.role == "student"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method.lambda_1": "1"}, "no field 'method.lambda_1' in ConsistencyConfig"),
        ({"method.num_segments": "60"}, "count must be between 1 and the grid's 50"),
        ({"method.skip": "30"}, "must divide num_timesteps=1000: got skip=30"),
        ({"method.guidance": "0.5"}, "guidance must be at least 1"),
        ({"method.edge": "lower"}, "tell_edge must be true with edge='lower'"),
        ({"train.sharding": "fsdp2", "train.preview_every": "0"}, "skip_target must be false"),
        ({"form": "adapter", "train.sharding": "fsdp2"}, "preview_every must be 0"),
        ({"teacher": "nobody"}, "learns from 'nobody': unknown model 'nobody'.*--set teacher="),
        ({"teacher": "dancelcm_lab"}, "is a student itself, .* name its teacher"),
        ({"method.noise_offset": "0.2"}, r"must be 0.1, which the teacher was .*noise_offset=0.2"),
        ({"sampler": "edges"}, "steps_allowed: 8 cannot be run: times of sampler 'edges'"),
        ({"sampler": "lcm"}, "must not be 'lcm' for a student of 4 segments"),
        ({"sampler": "perflow"}, "must not be 'perflow' for a student that learns no straight"),
        ({"steps_best": "3"}, r"one of steps_allowed=\(1, 2, 4, 8\): got 3"),
        ({"steps_allowed": "1,4,60"}, "60 cannot be run: num_steps must be between 1 and 50"),
        ({"clips.lengths": "2,5"}, "clips.lengths must be at most the data's 4 frames: got 5"),
        ({"clips.clips": "2,5"}, "clips.clips must be at most the data's 4 clips: got 5"),
    ],
)
def test_what_no_distillation_could_follow_is_one_line(runs, tmp_path, changes, message):
    folder = runs / "refused"
    with pytest.raises(ValueError, match=message) as caught:
        run_recipe("dancelcm_lab", overrides={**CLIPS, **TOY, **MIX, **changes}, run_folder=folder)
    assert "\n" not in str(caught.value)
    assert not folder.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"parametrisation": "epsilon"}, "predicts epsilon on a schedule with zero terminal SNR"),
        ({"schedule": ScheduleSettings(num_timesteps=500)}, "500: they must be alike"),
    ],
)
def test_a_teacher_that_does_not_fit_is_one_line(runs, settings, message):
    teacher = load_model(runs / "unianimate_lab")
    odd = replace(teacher, settings=replace(teacher.settings, **settings))
    save_model(
        runs / "odd" / "model",
        parts={"unet": odd.network, "vae": odd.vae, "image_encoder": odd.image_encoder},
        settings=odd.settings,
        card="",
    )
    with pytest.raises(ValueError, match=message):
        run_recipe(
            "dancelcm_lab",
            overrides={**changes("dancelcm"), "teacher": "odd"},
            run_folder=runs / "refused",
        )
    assert not (runs / "refused").exists()


def test_the_full_size_recipes_are_the_papers():
    for name in ("dancelcm_tiktok", "dancelcm_ubc"):
        recipe = find_recipe(name)
        assert isinstance(recipe, StudentRecipe)
        assert isinstance(recipe.data, FolderData)
        assert recipe.data.size == (512, 768)
        assert recipe.clips.lengths == (16, 32)
        assert (recipe.train.optimizer, recipe.train.learning_rate) == ("adam", 2e-5)
        method = recipe.method
        assert (method.num_segments, method.motion_weight, method.auxiliary_weight) == (2, 0.5, 0.1)
        assert not method.skip_target


@pytest.mark.parametrize("size", ["dancer", "lab"])
@pytest.mark.parametrize(
    ("name", "departures"),
    [
        ("dancelcm", {"num_segments": 4, "pair": "anneal", "target": "student"}),
        ("dancelcm-champ", {"pair": "uniform"}),
    ],
)
def test_the_small_dancelcm_departs_from_the_paper_as_read_here_where_it_says(
    name, departures, size
):
    recipe = find_recipe(f"{name}_{size}")
    assert isinstance(recipe, StudentRecipe)
    paper = PRESETS["dancelcm"](guidance=1.5).config
    names = {each.name for each in fields(paper)} - {"person_weight"}
    changed = {name for name in names if getattr(recipe.method, name) != getattr(paper, name)}
    assert {name: getattr(recipe.method, name) for name in changed} == departures


@pytest.mark.parametrize("data", ["dancer", "lab", "tiktok", "ubc"])
def test_an_accelerator_is_trained_at_the_rate_of_its_kind(data):
    """docs/methods.md: 1e-4, more than the whole network's; nothing else of the loop differs."""
    names = ("dancelcm-adapter", "dancelcm")
    small, whole = (find_recipe(f"{name}_{data}").train for name in names)
    assert small.learning_rate == 1e-4 > whole.learning_rate
    assert replace(small, learning_rate=whole.learning_rate, sharding=whole.sharding) == whole


def test_an_exported_student_has_no_auxiliary_head(runs):
    trained = latest(runs / "dancelcm_lab").weights
    exported = load_model(runs / "dancelcm_lab").network.state_dict()
    heads = [key for key in trained if key.startswith("auxiliary.")]
    assert heads
    assert {key.removeprefix("network.") for key in trained if key not in heads} == set(exported)


@pytest.fixture(scope="module")
def accelerator(runs):
    """The adapter recipe, on the same teacher, with a target of its own."""
    name = "dancelcm-adapter_lab"
    fields = changes("dancelcm") | ADAPTER | {"method.target": "ema"}
    run_recipe(name, overrides=fields, run_folder=runs / name)
    return runs / name


def drawn(model, *, num_steps=4):
    """Latents of a model that is told next to nothing."""
    denoiser = Denoiser(model.network, model.schedule, model.settings.parametrisation)
    channels = model.network.config.in_channels
    conditions = UniAnimateConditions(
        image=torch.ones(1, 1, 16), reference=torch.ones(1, channels, 8, 8)
    )
    with torch.no_grad():
        return draw_latents(
            denoiser,
            model.network.encode(conditions, num_frames=3),
            settings=model.settings,
            shape=(1, 3, channels, 8, 8),
            num_steps=num_steps,
            generator=torch.Generator().manual_seed(0),
        )


def test_an_accelerator_is_small_and_runs_on_its_teacher(runs, accelerator):
    folder = accelerator / "model"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert files == {
        *("README.md", "model_index.json", "quickstep.json", "unet/config.json"),
        *("pytorch_lora_weights.safetensors", "quickstep_extras.safetensors"),
    }
    apart, fused = load_model(accelerator, fuse=False), load_model(accelerator)
    teacher = load_model(runs / "unianimate_lab")
    assert isinstance(apart.network, Adapted)
    assert (apart.settings.method, apart.settings.role) == ("dancelcm", "student")
    assert apart.settings.teacher == str((runs / "unianimate_lab" / "model").resolve())
    assert (fused.settings.teacher, fused.settings.teacher_digest) == ("", "")
    torch.testing.assert_close(drawn(fused), drawn(apart), atol=1e-5, rtol=1e-5)
    assert not torch.equal(drawn(fused), drawn(teacher))
    for key, value in teacher.network.state_dict().items():
        assert torch.equal(apart.network.base.state_dict()[key], value)
    for key, value in teacher.vae.state_dict().items():
        assert torch.equal(fused.vae.state_dict()[key], value)


def test_an_adapters_checkpoint_holds_what_it_learns(runs, accelerator):
    small = latest(accelerator)
    own = ("network.adapter.", "network.extras.", "auxiliary.")
    assert all(name.startswith(own) for name in small.weights)
    assert all("face" in name for name in small.weights if name.startswith("network.extras."))
    assert small.weights.keys() == small.ema.keys() == small.extra.keys()
    moved = [name for name, value in small.weights.items() if "lora_B" in name and value.any()]
    assert moved


def test_an_interrupted_adapter_goes_on_to_the_same_bits(runs, accelerator):
    name = "dancelcm-adapter_lab"
    folder = runs / f"{name}-again"
    fields = changes("dancelcm") | ADAPTER | {"method.target": "ema"}
    # The same schedule of rates, stopped after one step.
    first = fields | {"train.num_steps": "1", "train.decay_fraction": "0"}
    whole = fields | {"train.decay_fraction": "0"}
    run_recipe(name, overrides=first | {"train.preview_every": "0"}, run_folder=folder)
    run_recipe(name, overrides=whole, run_folder=folder, resume=True)
    other = runs / f"{name}-whole"
    run_recipe(name, overrides=whole, run_folder=other)
    again, once = (latest(place) for place in (folder, other))
    for part in ("weights", "ema", "extra"):
        for key, value in getattr(once, part).items():
            assert torch.equal(getattr(again, part)[key], value), (part, key)


def test_another_teacher_is_refused(runs, accelerator, tmp_path):
    moved = load_model(runs / "unianimate_lab")
    with torch.no_grad():
        moved.network.out[-1].bias.add_(1.0)
    parts = {"unet": moved.network, "vae": moved.vae, "image_encoder": moved.image_encoder}
    save_model(tmp_path / "other", parts=parts, settings=moved.settings, card="")
    with pytest.raises(ModelError, match="was made for a teacher with the weights") as caught:
        load_model(accelerator, teacher=tmp_path / "other")
    assert "\n" not in str(caught.value)
    with pytest.raises(ModelError, match="is an accelerator and needs its teacher: unknown model"):
        load_model(accelerator, teacher="nobody")
    with pytest.raises(ModelError, match="is no accelerator"):
        load_model(runs / "dancelcm_lab", teacher=runs / "unianimate_lab")


def test_an_accelerator_is_handed_on_small_or_fused(runs, accelerator, tmp_path):
    assert main(["export", str(runs / "unianimate_lab"), str(tmp_path / "half")]) == 0
    small, whole = tmp_path / "small", tmp_path / "whole"
    teacher = str(tmp_path / "half")
    assert main(["export", str(accelerator), str(small), "--teacher", teacher]) == 0
    assert main(["export", str(accelerator), str(whole), "--fuse", "--no-half"]) == 0
    assert load_model(small).settings.recipe == "dancelcm-adapter_lab"
    assert load_model(small, fuse=False).settings.teacher == teacher
    assert f"its teacher `{teacher}`" in load_model(small).card
    full = load_model(whole)
    fused = load_model(accelerator)
    exact = fused.network.state_dict()
    assert all(torch.equal(exact[key], each) for key, each in full.network.state_dict().items())
    # The same bits at other addresses take other kernels.
    torch.testing.assert_close(drawn(full), drawn(fused), atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(drawn(load_model(small)), drawn(full), atol=0.05, rtol=0.05)


def test_perflow_takes_an_adapter_too(runs):
    name = "perflow_lab"
    folder = runs / "perflow_adapter"
    fields = changes("perflow") | {"form": "adapter", "adapter.rank": "2"}
    fields |= {"gradient_checkpointing": "true"}
    run_recipe(name, overrides=fields, run_folder=folder)
    assert isinstance(load_model(folder, fuse=False).network, Adapted)


def test_settings_of_an_adapter_without_one_are_refused(runs):
    with pytest.raises(ValueError, match="adapter has no effect with form='full'"):
        run_recipe(
            "dancelcm_lab",
            overrides=changes("dancelcm") | {"adapter.rank": "2"},
            run_folder=runs / "nothing",
        )
    with pytest.raises(ValueError, match="train.sharding must be none with form='adapter'"):
        run_recipe(
            "dancelcm-adapter_lab",
            overrides=changes("dancelcm")
            | {
                "train.sharding": "fsdp2",
                "train.preview_every": "0",
                "method.skip_target": "false",
            },
            run_folder=runs / "nothing",
        )
    with pytest.raises(ValueError, match="is no accelerator: an adapter starts as its teacher"):
        run_recipe(
            "dancelcm-adapter_lab",
            overrides=changes("dancelcm"),
            init=runs / "dancelcm_lab",
            run_folder=runs / "nothing",
        )


@pytest.mark.parametrize("form", ["full", "adapter"])
def test_a_told_student_takes_one_step_over_all_segments(runs, form):
    name, folder = "dancelcm-told_lab", runs / f"told_{form}"
    fields = changes("dancelcm") | ({} if form == "full" else ADAPTER | {"form": "adapter"})
    run_recipe(name, overrides=fields, run_folder=folder)
    model = load_model(folder)
    assert model.settings.told_edge and model.settings.segments == 4
    assert (folder / "model" / "quickstep_extras.safetensors").is_file() is (form == "adapter")
    assert model.network.edge_embed[-1].weight.any()
    plan = make_plan(model.settings, num_steps=1)
    assert plan.times == (999,)
    assert drawn(model, num_steps=1).isfinite().all()  # warnings are errors
    with pytest.warns(UserWarning, match="^1 step for a student of 4 segments: .* blurs"):
        drawn(load_model(runs / "dancelcm_lab"), num_steps=1)
    torch.testing.assert_close(
        drawn(model), drawn(load_model(folder, fuse=False)), atol=1e-5, rtol=1e-5
    )


def test_a_told_student_can_start_from_one_that_is_not(runs):
    folder = runs / "told_from"
    fields = changes("dancelcm") | {"train.num_steps": "1"} | {"train.preview_every": "0"}
    run_recipe("dancelcm-told_lab", overrides=fields, init=runs / "dancelcm_lab", run_folder=folder)
    assert load_model(folder).settings.told_edge


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


@pytest.mark.parametrize(
    ("resume", "refused"),
    [(True, "data.num_clips cannot change on resume"), (False, "already holds a run")],
)
def test_another_run_in_the_folder_is_refused_before_its_data_is_prepared(runs, resume, refused):
    prepared = sorted((runs / "data").iterdir())
    other = {**changes("dancelcm"), "data.num_clips": "7"}
    with pytest.raises(ValueError, match=refused):
        run_recipe("dancelcm_lab", resume=resume, overrides=other, run_folder=runs / "dancelcm_lab")
    assert sorted((runs / "data").iterdir()) == prepared


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
    if isinstance(recipe.data, DancerData):
        assert recipe.data.first_seed + recipe.data.num_clips <= 1_000_000
    assert len(digest(recipe)) == 12
