"""Recipes at the papers' own size, on real clips.

DanceLCM's section 4.1 names the optimiser and rate, the frames and their size, and four A100
GPUs. It does not name batch, length, weight decay or warm-up; these are ours. CoSeC's appendix C
names steps, weights, guidance, rate and EMA, about 800 videos and four A800 GPUs; frames, their
size and the batch are its teacher's (24 frames, 512 x 512) or ours.
"""

from dataclasses import replace

from quickstep.data.folder_sets import FolderData
from quickstep.methods.consistency import ConsistencyConfig
from quickstep.methods.phases import PHASED, STEPS
from quickstep.methods.presets import dancelcm
from quickstep.training.config import TrainConfig
from quickstep.training.recipe_kinds import ClipMix, FaceSettings, StudentRecipe

TEACHER = "runs/unianimate/model"
"""Where the recipes look for UniAnimate's weights, unless told otherwise."""

CHAMP = "runs/champ/model"
"""Where the recipes look for Champ's weights, unless told otherwise."""


def _dancelcm(folder: str) -> StudentRecipe:
    preset = dancelcm(guidance=2.5)
    assert isinstance(preset.config, ConsistencyConfig)
    return StudentRecipe(
        data=FolderData(folder=folder, num_frames=64, size=(512, 768)),
        teacher=TEACHER,
        clips=ClipMix(lengths=(16, 32), clips=(1, 1), shares=(0.5, 0.5), any_reference=1.0),
        # Sharded weights are gathered by all ranks together.
        method=replace(preset.config, skip_target=False),
        sampler=preset.sampler,
        steps_allowed=preset.steps,
        gradient_checkpointing=True,
        face=FaceSettings(size=256, patch=2),
        train=TrainConfig(
            num_steps=10_000,
            learning_rate=2e-5,
            optimizer="adam",
            warmup_steps=100,
            decay_fraction=0.0,
            precision="bf16",
            sharding="fsdp2",
            prefetch=2,
        ),
    )


def _adapter(folder: str) -> StudentRecipe:
    """The same as an accelerator, of rank 64: one set of weights, which every rank holds whole."""
    full = _dancelcm(folder)
    return replace(
        full,
        form="adapter",
        method=replace(full.method, skip_target=True),
        train=replace(full.train, learning_rate=1e-4, sharding="none"),
    )


def _champ(method: str) -> dict[str, StudentRecipe]:
    """Both phases of a method on Champ: 3,000 steps on frames, 2,000 on clips of 24 (appendix C).

    Champ's guidance of 3.5 is the paper's w = 2.5. Two sources with two references a rank.
    """
    phases = PHASED[method](guidance=3.5)
    first = f"{method}-frames_champ"
    mixes = (
        ClipMix(lengths=(1,), clips=(4,), shares=(1.0,), any_reference=1.0),
        ClipMix(lengths=(24,), clips=(2,), shares=(1.0,), any_reference=1.0),
    )
    names, starts = (first, f"{method}_champ"), ("", first)
    return {
        name: StudentRecipe(
            data=FolderData(folder="data/champ", num_frames=96, size=(512, 512)),
            teacher=CHAMP,
            clips=replace(mix, references=phase.references),
            method=phase.config,
            sampler=phase.sampler,
            steps_allowed=phase.steps,
            steps_best=2,
            gradient_checkpointing=True,
            start=start,
            learns=phase.learns,
            train=TrainConfig(
                num_steps=count,
                learning_rate=1e-6,
                optimizer="adam",
                decay_fraction=0.0,
                precision="bf16",
                prefetch=2,
            ),
        )
        for name, start, phase, mix, count in zip(names, starts, phases, mixes, STEPS, strict=True)
    }


FULL_SIZE: dict[str, StudentRecipe] = {
    "dancelcm_tiktok": _dancelcm("data/tiktok"),
    "dancelcm_ubc": _dancelcm("data/ubc"),
    "dancelcm-adapter_tiktok": _adapter("data/tiktok"),
    "dancelcm-adapter_ubc": _adapter("data/ubc"),
    **_champ("referencelcm"),
    **_champ("cosec"),
}
"""By name."""
