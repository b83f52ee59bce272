"""Recipes at the papers' own size, on real clips.

DanceLCM's section 4.1 names the optimiser and rate, the frames and their size, and four A100
GPUs. It does not name batch, length, weight decay or warm-up; these are ours.
"""

from dataclasses import replace

from quickstep.data.folder_sets import FolderData
from quickstep.methods.consistency import ConsistencyConfig
from quickstep.methods.presets import dancelcm
from quickstep.training.config import TrainConfig
from quickstep.training.recipe_kinds import ClipMix, FaceSettings, StudentRecipe

TEACHER = "runs/unianimate/model"
"""Where the recipes look for UniAnimate's weights, unless told otherwise."""


def _dancelcm(folder: str) -> StudentRecipe:
    preset = dancelcm(guidance=2.5, noise_offset=0.1)
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


FULL_SIZE: dict[str, StudentRecipe] = {
    "dancelcm_tiktok": _dancelcm("data/tiktok"),
    "dancelcm_ubc": _dancelcm("data/ubc"),
    "dancelcm-adapter_tiktok": _adapter("data/tiktok"),
    "dancelcm-adapter_ubc": _adapter("data/ubc"),
}
"""By name."""
