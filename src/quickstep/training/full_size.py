"""Recipes at the papers' own size, on real clips.

DanceLCM's section 4.1 names the optimiser and rate, the frames and their size, and four A100
GPUs. It does not name batch, length, weight decay or warm-up; these are ours. CoSeC's appendix C
names steps, weights, guidance, rate and EMA, about 800 videos and four A800 GPUs; frames, their
size and the batch are its teacher's (24 frames, 512 x 512) or ours. Champ's own two stages are its
published training settings'.
"""

from dataclasses import replace

from quickstep.data.folder_sets import FolderData
from quickstep.methods.consistency import ConsistencyConfig
from quickstep.methods.denoising import DenoisingConfig
from quickstep.methods.phases import PHASED, STEPS
from quickstep.methods.presets import dancelcm
from quickstep.training.config import TrainConfig
from quickstep.training.recipe_kinds import (
    ChampRecipe,
    ClipMix,
    FaceSettings,
    StudentRecipe,
)

TEACHER = "runs/unianimate/model"
"""Where the recipes look for UniAnimate's weights, unless told otherwise."""

CHAMP = "runs/champ/model"
"""Where the recipes look for Champ's weights, unless told otherwise."""


ADAPTER_RATE = 1e-4
"""Of low-rank weights, LCM-LoRA's; a whole network is trained at less."""


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
    """The same as an accelerator, of rank 64: one set of weights, which every rank holds whole.

    The frozen weights are held in the type that products are made in anyway.
    """
    full = _dancelcm(folder)
    return replace(
        full,
        form="adapter",
        teacher_dtype="bfloat16",
        method=replace(full.method, skip_target=True),
        train=replace(full.train, learning_rate=ADAPTER_RATE, sharding="none"),
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


def _champ_teacher() -> dict[str, ChampRecipe]:
    """Champ's own two stages: 100,000 steps on single frames, 50,000 on clips of 24 (its yaml).

    AdamW at 1e-5 with decay 0.01, v and min-SNR 5, everything dropped in a tenth. Its 8-bit Adam
    is AdamW here. It starts from Stable Diffusion 1.5 and AnimateDiff; `start` names a model to
    start from, as the public one's to go on from that.
    """
    frames = ChampRecipe(
        data=FolderData(folder="data/champ", num_frames=96, size=(768, 768)),
        encoders=(CHAMP,),
        stage="frames",
        clips=ClipMix(lengths=(1,), clips=(4,), shares=(1.0,), any_reference=1.0),
        method=DenoisingConfig(noise_offset=0.05, min_snr=5.0),
        train=TrainConfig(
            num_steps=100_000,
            learning_rate=1e-5,
            weight_decay=0.01,
            decay_fraction=0.0,
            ema_decay=0.0,
            precision="bf16",
            prefetch=2,
        ),
    )
    clips = replace(
        frames,
        # 24 frames, 4 of the video apart.
        data=FolderData(folder="data/champ", num_frames=24, stride=4, size=(512, 512)),
        stage="clips",
        start="champ-frames_champ",
        clips=replace(frames.clips, lengths=(24,), clips=(1,)),
        gradient_checkpointing=True,
        train=replace(frames.train, num_steps=50_000),
    )
    return {"champ-frames_champ": frames, "champ_champ": clips}


FULL_SIZE: dict[str, StudentRecipe | ChampRecipe] = {
    "dancelcm_tiktok": _dancelcm("data/tiktok"),
    "dancelcm_ubc": _dancelcm("data/ubc"),
    "dancelcm-adapter_tiktok": _adapter("data/tiktok"),
    "dancelcm-adapter_ubc": _adapter("data/ubc"),
    **_champ_teacher(),
    **_champ("referencelcm"),
    **_champ("cosec"),
}
"""By name."""
