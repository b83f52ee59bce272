"""Methods of two phases: from the teacher over frames to clips, and what each phase may touch."""

from dataclasses import replace

import pytest
import torch
from toy_recipes import TOY, changes

from quickstep.diffusion.solver import guidance_from_lcm_weight
from quickstep.methods.consistency_config import ConsistencyConfig
from quickstep.methods.cosec import CoSeCConfig
from quickstep.methods.phases import PHASED
from quickstep.networks.folder import load_model
from quickstep.training.checkpoint import latest_checkpoint, read_checkpoint
from quickstep.training.config import TrainConfig
from quickstep.training.recipe_kinds import ClipMix, StudentRecipe
from quickstep.training.recipes import RECIPES, full_cost, recipe_name
from quickstep.training.record import read_log
from quickstep.training.runs import run_recipe

MIXES = {
    "frames": {"clips.lengths": "1", "clips.clips": "4", "clips.shares": "1"},
    "clips": {"clips.lengths": "2,4", "clips.clips": "4,2", "clips.shares": "1,1"},
}


def fields(phase: str, **more: str) -> dict[str, str]:
    plain = changes("cosec") | MIXES[phase] | {"train.preview_every": "0"}
    return plain | {name.replace("__", "."): value for name, value in more.items()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A toy teacher and what it builds on, and the first phase of quickstep-best."""
    home = tmp_path_factory.mktemp("runs")
    for kind in ("vae", "clip", "unianimate"):
        run_recipe(f"{kind}_lab", overrides=changes(kind), run_folder=home / f"{kind}_lab")
    name = "quickstep-best-frames_lab"
    run_recipe(name, overrides=fields("frames"), run_folder=home / name)
    return home


def test_both_papers_go_on_from_frames_to_clips(runs):
    """Segments, motion, head, faces, ETA, CoNS and the temporal term, from end to end."""
    name = "quickstep-best_lab"
    first = load_model(runs / "quickstep-best-frames_lab")
    run_recipe(name, overrides=fields("clips"), run_folder=runs / name)
    second = load_model(runs / name)
    assert (second.settings.segments, second.settings.sampler) == (4, "segment")
    assert first.settings.method == second.settings.method == "quickstep-best"
    assert second.settings.face is not None
    logged = [read_log(runs / each)[0] for each in ("quickstep-best-frames_lab", name)]
    assert {"same_source", "cross_source", "source_ratio", "auxiliary"} <= logged[0].keys()
    assert {"temporal", "motion", "auxiliary", "same_source"} <= logged[1].keys()
    # What runs along the frames has moved, and nothing else has.
    temporal = {
        parameter for module in second.network.motion_modules() for parameter in module.parameters()
    }
    before = dict(first.network.named_parameters())
    for key, parameter in second.network.named_parameters():
        if parameter not in temporal:
            assert torch.equal(parameter, before[key]), key
    assert any(
        not torch.equal(parameter, before[key])
        for key, parameter in second.network.named_parameters()
        if parameter in temporal
    )


def test_a_phase_goes_on_to_the_same_bits(runs):
    """Invariant 28: stopped after a step and resumed, in weights, average and target."""
    name, whole = "cosec-frames_lab", fields("frames", train__decay_fraction="0")
    for step in ("1", "2"):
        part = whole | {"train.num_steps": step}
        run_recipe(name, overrides=part, run_folder=runs / "parts", resume=step == "2")
    run_recipe(name, overrides=whole, run_folder=runs / "whole")
    places = [latest_checkpoint(runs / each) for each in ("parts", "whole")]
    assert None not in places
    again, once = (read_checkpoint(place) for place in places if place is not None)
    assert again.step == once.step == 2
    for part in ("weights", "ema", "extra"):
        for key, value in getattr(once, part).items():
            assert torch.equal(getattr(again, part)[key], value), (part, key)


def test_a_phase_without_the_one_before_is_one_line(runs):
    with pytest.raises(ValueError, match="run `quickstep distill cosec-frames_lab` first") as info:
        run_recipe("cosec_lab", overrides=fields("clips"), run_folder=runs / "cosec_lab")
    assert "\n" not in str(info.value)
    assert not (runs / "cosec_lab").exists()


def test_a_phase_can_begin_as_the_teacher(runs):
    alone = fields("clips", start="", learns="all", train__num_steps="1")
    run_recipe("referencelcm_lab", overrides=alone, run_folder=runs / "alone")
    assert load_model(runs / "alone").settings.method == "referencelcm"


def test_the_full_size_recipe_runs_on_any_family(runs, tmp_path):
    """Its teacher is a model's name: here the toy UniAnimate stands where Champ shall."""
    from quickstep.data.dancer_folders import write_dancer_clips

    write_dancer_clips(tmp_path / "clips", num_clips=2, num_frames=5, size=32, seed=9)
    common = {
        "teacher": "unianimate_lab",
        "data.folder": str(tmp_path / "clips"),
        "data.num_frames": "4",
        "data.size": "32,32",
        "data.cell": "4",
    }
    for name, phase in (("cosec-frames_champ", "frames"), ("cosec_champ", "clips")):
        overrides = TOY | MIXES[phase] | common
        run_recipe(name, overrides=overrides, run_folder=runs / name)
    assert load_model(runs / "cosec_champ").settings.steps_best == 2


def test_phases_hold_the_papers_numbers():
    """Appendix C, w in LCM's form."""
    frames, clips = PHASED["cosec"](guidance=3.5)
    assert frames.config.guidance == guidance_from_lcm_weight(2.5)
    assert clips.config.guidance == guidance_from_lcm_weight(1.5)
    assert (frames.share, clips.share) == (0.6, 0.4)
    assert frames.config.cosec == CoSeCConfig(eta_weight=0.1, cons_weight=0.02)
    assert clips.config.cosec == CoSeCConfig(temporal_weight=0.05)
    assert (frames.config.num_segments, frames.config.target_decay) == (1, 0.95)
    assert (frames.learns, clips.learns) == ("all", "temporal")
    for name, steps, start, length in (
        ("cosec-frames_champ", 3000, "", 1),
        ("cosec_champ", 2000, "cosec-frames_champ", 24),
    ):
        recipe = RECIPES[name]
        assert isinstance(recipe, StudentRecipe)
        assert (recipe.train.num_steps, recipe.train.learning_rate) == (steps, 1e-6)
        assert (recipe.start, recipe.clips.lengths) == (start, (length,))


@pytest.mark.parametrize("family", ["unianimate", "champ"])
@pytest.mark.parametrize("size", ["dancer", "lab"])
def test_both_papers_together_differ_from_dancelcm_by_what_cosec_adds(size, family):
    """Terms, pairs of references, phases and the second one's weaker guidance; nothing else."""
    alone, *phases = (
        RECIPES[recipe_name(name, size, family=family)]
        for name in ("dancelcm", "quickstep-best-frames", "quickstep-best")
    )
    assert isinstance(alone, StudentRecipe)
    for phase in phases:
        assert isinstance(phase, StudentRecipe)
        plain = replace(phase.method, cosec=CoSeCConfig(), guidance=alone.method.guidance)
        assert plain == alone.method
        assert (phase.face, phase.sampler) == (alone.face, alone.sampler)
        rates = [each.train.learning_rate for each in (phase, alone)]
        assert rates[0] == rates[1]


@pytest.mark.parametrize("size", ["dancer", "lab"])
def test_two_phases_cost_what_one_does(size):
    def spent(name):
        recipe = RECIPES[f"{name}_{size}"]
        assert isinstance(recipe, StudentRecipe)
        cost = full_cost(recipe.method, recipe.clips)
        return recipe.train.num_steps * cost * recipe.clips.mean_frames

    for method in PHASED:
        both = spent(f"{method}-frames") + spent(method)
        assert both == pytest.approx(spent("dancelcm"), rel=0.01)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": {"eta_weight": 0.1}}, "eta_weight=0.1 needs clips with several references"),
        (
            {"method": {"cons_weight": 0.1}, "clips": {"clips": (2, 2, 2), "references": 2}},
            "needs two sources in a batch",
        ),
        (
            {
                "method": {"temporal_weight": 0.1},
                "clips": {"lengths": (1,), "clips": (4,), "shares": (1.0,), "references": 2},
            },
            "no effect on single frames",
        ),
        (
            {
                "teacher_dtype": "bfloat16",
                "clips": {"lengths": (4,), "clips": (2,), "shares": (1.0,)},
                "train": TrainConfig(num_steps=1, learning_rate=1e-4),
            },
            "teacher_dtype must be float32 but with",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_recipe(settings, message):
    recipe = RECIPES["dancelcm_lab"]
    assert isinstance(recipe, StudentRecipe)
    made = dict(settings)
    if "method" in made:
        made["method"] = ConsistencyConfig(cosec=CoSeCConfig(**made["method"]))
    if "clips" in made:
        made["clips"] = ClipMix(**made["clips"])
    with pytest.raises(ValueError, match=message):
        StudentRecipe(
            **{"data": recipe.data, "teacher": recipe.teacher, "train": recipe.train} | made
        )
