"""Named recipes: each a full config that says what it makes, of what, and how long.

A recipe's name is ``<what>_<data>``, or ``<what>-<variant>_<data>``. ``dancer`` recipes make the
shipped models (128 px, 16 frames); ``lab`` recipes are small enough (64 px, 8 frames) to repeat
with several seeds; the others are at the papers' own size.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from quickstep.data.people import PeopleData
from quickstep.data.pose_sets import PoseData
from quickstep.data.prepared import DancerData
from quickstep.methods.consistency import ConsistencyConfig
from quickstep.methods.denoising import DenoisingConfig
from quickstep.methods.perflow import PeRFlowConfig
from quickstep.methods.phases import PHASED, Phases
from quickstep.methods.presets import PRESETS, Preset, for_short_training, with_wide_pairs
from quickstep.networks.adapters import AdapterConfig
from quickstep.networks.champ import ChampShape
from quickstep.training.config import TrainConfig
from quickstep.training.full_size import ADAPTER_RATE, FULL_SIZE
from quickstep.training.recipe_kinds import (
    AutoencoderRecipe,
    ChampRecipe,
    ClipMix,
    DistillationRecipe,
    FaceSettings,
    FeatureRecipe,
    ImageEncoderRecipe,
    PeRFlowRecipe,
    PoseRecipe,
    Recipe,
    StudentRecipe,
    TeacherRecipe,
)

Family = Literal["unianimate", "champ"]
"""Of teachers. A recipe for UniAnimate's does not say so in its name."""


def recipe_name(what: str, data: str, *, family: Family = "unianimate") -> str:
    """The name of a method's recipe for a family of teachers.

    Example:
        >>> recipe_name("cosec-frames", "dancer", family="champ")
        'cosec-frames-champ_dancer'
    """
    return f"{what}_{data}" if family == "unianimate" else f"{what}-{family}_{data}"


def _champ_shape(map_widths: tuple[int, ...]) -> ChampShape:
    """A small Champ: attention on all levels, which are as fine as the public one's three."""
    return ChampShape(
        widths=(64, 128, 128),
        attend=(True, True, True),
        layers_per_block=1,
        num_heads=4,
        norm_num_groups=16,
        map_widths=map_widths,
        map_groups=8,
        unused_layers=False,
        reference_everywhere=True,
    )


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """What `dancer` and `lab` recipes differ in.

    `clips` are for methods of one phase, `frames` and `pairs` for those of two: single frames, and
    clips in even numbers, since two may be one told with two references.
    """

    data: DancerData
    widths: tuple[int, ...]
    latent_channels: int
    clips: ClipMix
    frames: ClipMix
    pairs: ClipMix
    face: FaceSettings
    steps: dict[str, int] = field(default_factory=dict)
    champ: ChampShape
    champ_encoders: tuple[str, ...]


_DANCER = _Sizes(
    data=DancerData(num_clips=2000, num_frames=16, size=128, preset="plain", cell=8),
    widths=(16, 32, 64, 128),
    latent_channels=16,
    clips=ClipMix(),
    frames=ClipMix(lengths=(1,), clips=(8,), shares=(1.0,)),
    pairs=ClipMix(clips=(4, 2, 2)),
    face=FaceSettings(size=64, patch=2),
    steps={
        **{"vae": 3000, "clip": 1500, "unianimate": 5400, "dancelcm": 620},
        **{"champ-frames": 6000, "champ": 1500},
    },
    champ=_champ_shape(map_widths=(16, 16, 32, 64)),
    champ_encoders=("dancer-unianimate",),
)
_LAB = _Sizes(
    data=DancerData(num_clips=1200, num_frames=8, size=64, preset="plain", cell=4),
    widths=(32, 64, 96),
    latent_channels=4,
    clips=ClipMix(lengths=(4, 8), clips=(8, 4), shares=(0.6, 0.4)),
    frames=ClipMix(lengths=(1,), clips=(16,), shares=(1.0,)),
    pairs=ClipMix(lengths=(4, 8), clips=(8, 4), shares=(0.6, 0.4)),
    face=FaceSettings(size=64, patch=4),
    steps={
        **{"vae": 2000, "clip": 1000, "unianimate": 4000, "dancelcm": 400},
        **{"champ-frames": 4000, "champ": 1000},
    },
    champ=_champ_shape(map_widths=(16, 32, 64)),
    champ_encoders=("vae_lab", "clip_lab"),
)


_SHARED: dict[str, Any] = {"precision": "auto", "channels_last": True, "prefetch": 2}
_GUIDANCE = 1.5
"""Chosen on validation clips: the built-in teacher's best."""
_SETTLED = {"unianimate": for_short_training, "champ": with_wide_pairs}
"""DanceLCM, and what is built on it, on a small teacher: docs/results/small-budget.md."""
_EVALUATIONS = 6
"""Of a consistency method with a guided teacher, a clip and step (`methods.ledger`)."""
_SWEPT_RATE = 5e-5
"""Of students of one phase, and of what is built on them: docs/results/small-budget.md."""


def _people(data: DancerData) -> PeopleData:
    """600 persons in three places each, pictures as those of `data`."""
    return PeopleData(
        num_clips=1800,
        num_frames=1,
        size=data.size,
        preset=data.preset,
        cell=data.cell,
        first_seed=100_000,
        scenes=3,
    )


def _denoising() -> DenoisingConfig:
    return DenoisingConfig(person_weight=1.0)


def _recipes(name: str, sizes: _Sizes) -> dict[str, Recipe]:
    return {
        f"vae_{name}": AutoencoderRecipe(
            data=replace(sizes.data, num_clips=480),
            widths=sizes.widths,
            latent_channels=sizes.latent_channels,
            train=TrainConfig(
                num_steps=sizes.steps["vae"], learning_rate=4e-4, warmup_steps=50, **_SHARED
            ),
        ),
        f"clip_{name}": ImageEncoderRecipe(
            data=_people(sizes.data),
            train=TrainConfig(
                num_steps=sizes.steps["clip"],
                learning_rate=1e-3,
                warmup_steps=50,
                weight_decay=0.05,
                **_SHARED,
            ),
        ),
        f"unianimate_{name}": TeacherRecipe(
            data=sizes.data,
            encoders=(f"vae_{name}", f"clip_{name}"),
            clips=sizes.clips,
            method=_denoising(),
            guidance=_GUIDANCE,
            train=TrainConfig(
                num_steps=sizes.steps["unianimate"],
                learning_rate=5e-4,
                warmup_steps=100,
                weight_decay=0.01,
                **_SHARED,
            ),
        ),
        **_champ(name, sizes),
        **_students(name, sizes),
        **_students(name, sizes, family="champ"),
    }


def _students(
    name: str, sizes: _Sizes, *, family: Family = "unianimate"
) -> dict[str, DistillationRecipe]:
    """Every method on the teacher of this size and family."""
    return {
        **{
            recipe_name(method, name, family=family): _student(method, name, sizes, family=family)
            for method in PRESETS
        },
        **_phased(name, sizes, family=family),
        **_variants(name, sizes, family=family),
    }


def _champ(name: str, sizes: _Sizes) -> dict[str, Recipe]:
    """Champ's two stages: everything but motion from single frames, then motion alone."""
    frames = ChampRecipe(
        data=sizes.data,
        encoders=sizes.champ_encoders,
        stage="frames",
        network=sizes.champ,
        clips=ClipMix(lengths=(1,), clips=(16,), shares=(1.0,)),
        parametrisation="clean",
        method=replace(_denoising(), noise_offset=0.05),
        guidance=_GUIDANCE,
        train=TrainConfig(
            num_steps=sizes.steps["champ-frames"],
            learning_rate=5e-4,
            warmup_steps=100,
            weight_decay=0.01,
            **_SHARED,
        ),
    )
    lengths = tuple(sorted({4, 8, sizes.data.num_frames}))
    clips = ClipMix(
        lengths=lengths,
        clips=tuple(max(1, 16 // length) for length in lengths),
        shares=(1.0,) * len(lengths),
    )
    train = replace(frames.train, num_steps=sizes.steps["champ"], ema_decay=0.99)
    return {
        f"champ-frames_{name}": frames,
        f"champ_{name}": replace(
            frames, stage="clips", start=f"champ-frames_{name}", clips=clips, train=train
        ),
    }


def _student(method: str, name: str, sizes: _Sizes, *, family: Family) -> DistillationRecipe:
    """A method with its paper's settings on the teacher of this size; DanceLCM with a short one's.

    Teacher, data and training are the same for all methods. They are compared at equal compute,
    so that one whose step asks the networks more often makes fewer steps.
    """
    preset = PRESETS[method](guidance=_GUIDANCE)
    if method == "dancelcm":
        preset = _SETTLED[family](preset)
    face = sizes.face if method == "dancelcm" else None
    teacher = f"{family}_{name}"
    return _distillation(
        preset, sizes, teacher=teacher, clips=sizes.clips, rate=_SWEPT_RATE, face=face
    )


def _phased(name: str, sizes: _Sizes, *, family: Family) -> dict[str, DistillationRecipe]:
    """The methods of two phases: on frames, and from there on clips.

    What is built on DanceLCM has the settings that DanceLCM has here, so that both compare.
    """
    found: dict[str, DistillationRecipe] = {}
    for method, phases_of in PHASED.items():
        phases, more = phases_of(guidance=_GUIDANCE), {}
        if method == "quickstep-best":
            phases = Phases(*map(_SETTLED[family], phases))
            more = {"face": sizes.face, "rate": _SWEPT_RATE}
        names = [recipe_name(each, name, family=family) for each in (f"{method}-frames", method)]
        starts, mixes = ("", names[0]), (sizes.frames, sizes.pairs)
        for key, start, phase, mix in zip(names, starts, phases, mixes, strict=True):
            found[key] = _distillation(
                phase,
                sizes,
                teacher=f"{family}_{name}",
                clips=replace(mix, references=phase.references),
                share=phase.share,
                start=start,
                learns=phase.learns,
                **more,
            )
    return found


def _distillation(
    preset: Preset,
    sizes: _Sizes,
    *,
    teacher: str,
    clips: ClipMix,
    rate: float = 2e-4,
    share: float = 1.0,
    **more: Any,
) -> DistillationRecipe:
    """Distils a teacher of this size, with a share of the compute that all methods have."""
    config = replace(preset.config, person_weight=_denoising().person_weight)
    budget = share * sizes.steps["dancelcm"] * _EVALUATIONS * sizes.clips.mean_frames
    common: dict[str, Any] = {
        "data": sizes.data,
        "teacher": teacher,
        "clips": clips,
        "sampler": preset.sampler,
        "steps_allowed": preset.steps,
        "steps_best": 4,
        "train": TrainConfig(
            num_steps=round(budget / (full_cost(config, clips) * clips.mean_frames)),
            learning_rate=rate,
            warmup_steps=20,
            ema_decay=0.99,
            decay_fraction=0.5,
            preview_every=150,
            **_SHARED,
        ),
    }
    if isinstance(config, PeRFlowConfig):
        return PeRFlowRecipe(method=config, **common)
    return StudentRecipe(method=config, **common, **more)


def _variants(name: str, sizes: _Sizes, *, family: Family) -> dict[str, DistillationRecipe]:
    """DanceLCM's student in other forms."""
    forms = {"dancelcm-adapter": _adapter, "dancelcm-told": _told}
    return {
        recipe_name(what, name, family=family): make(name, sizes, family)
        for what, make in forms.items()
    }


def _adapter(name: str, sizes: _Sizes, family: Family) -> StudentRecipe:
    """DanceLCM as an accelerator: the same method, the same steps, low-rank weights.

    The rate is LCM-LoRA's (Luo et al. 2023); its rank of 64 is for networks five times as wide.
    """
    full = _student("dancelcm", name, sizes, family=family)
    assert isinstance(full, StudentRecipe)
    adapter = AdapterConfig(rank=16, alpha=16.0)
    train = replace(full.train, learning_rate=ADAPTER_RATE)
    return replace(full, form="adapter", adapter=adapter, train=train)


def _told(name: str, sizes: _Sizes, family: Family) -> StudentRecipe:
    """DanceLCM's student told its edge, now and then a lower one: one step is exact, too."""
    full = _student("dancelcm", name, sizes, family=family)
    assert isinstance(full, StudentRecipe)
    return replace(full, method=replace(full.method, edge="lower", tell_edge=True))


def full_cost(config: ConsistencyConfig | PeRFlowConfig, clips: ClipMix) -> float:
    """Evaluations a clip and step, a skipped target counted: what each method's paper spends."""
    if isinstance(config, PeRFlowConfig):
        return config.cost().total
    return replace(config, skip_target=False).cost(references=clips.references).total


_FEATURES = FeatureRecipe(
    data=_DANCER.data,
    people=_people(_DANCER.data),
    train=TrainConfig(
        num_steps=2000,
        learning_rate=1e-3,
        warmup_steps=50,
        decay_fraction=0.4,
        weight_decay=0.01,
        ema_decay=0.99,
        **_SHARED,
    ),
)

_POSES = PoseRecipe(
    data=PoseData(num_clips=5000),
    train=TrainConfig(
        num_steps=2400,
        learning_rate=1.5e-3,
        warmup_steps=30,
        decay_fraction=0.4,
        weight_decay=0.05,
        ema_decay=0.99,
        preview_every=400,
        **_SHARED,
    ),
)

RECIPES: dict[str, Recipe] = {
    **_recipes("dancer", _DANCER),
    **_recipes("lab", _LAB),
    "features_dancer": _FEATURES,
    "pose_dancer": _POSES,
    **FULL_SIZE,
}
"""All recipes by name."""


def recipe_names() -> list[str]:
    """The names that `quickstep train` and `quickstep distill` know."""
    return sorted(RECIPES)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        ValueError: there is none, with the names there are.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown recipe {name!r}: recipes are {', '.join(recipe_names())}")
    return RECIPES[name]
