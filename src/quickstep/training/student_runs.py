"""What distilling a teacher needs beside the loop: the student, its method, and its settings."""

import copy
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from quickstep.config import digest
from quickstep.methods.consistency import Consistency
from quickstep.methods.perflow import PeRFlow
from quickstep.methods.phases import PHASED
from quickstep.methods.presets import PRESETS
from quickstep.networks.accelerator import network_digest
from quickstep.networks.adapters import Adapted, AdapterConfig, with_adapter
from quickstep.networks.champ import ChampNetwork, DenoisingUNet
from quickstep.networks.extension import added_parts, extended
from quickstep.networks.families import network_parts
from quickstep.networks.folder import Model, ModelError, Settings, built_in_models, load_model
from quickstep.networks.heads import WithAuxiliaryHead
from quickstep.networks.unianimate import UniAnimateUNet
from quickstep.teachers.champ import SharedEncoding
from quickstep.teachers.families import conditions_of
from quickstep.teachers.protocol import Denoiser
from quickstep.training.recipe_kinds import DistillationRecipe, PeRFlowRecipe, StudentRecipe
from quickstep.training.student_faces import face_input, face_parts

Student = UniAnimateUNet | DenoisingUNet | Adapted


def load_teacher(
    name: str, recipe: DistillationRecipe, *, source: str | Path, device: torch.device | str
) -> Model:
    """The teacher of a recipe.

    Args:
        name: of the recipe.
        recipe: whose teacher it is.
        source: the model of the run of that name, or the name itself.
        device: where it runs.

    Raises:
        ModelError: there is none, with the way to one.
    """
    try:
        # A teacher that shall be of a type of its own is not made float32 in between.
        dtype = torch.float32 if recipe.teacher_dtype == "float32" else None
        return load_model(source, device=device, dtype=dtype)
    except ModelError as error:
        raise ModelError(
            f"{name} learns from {recipe.teacher!r}: {error}. Train it first, or name another "
            "teacher: --set teacher=MODEL"
        ) from error


def student_network(recipe: DistillationRecipe, teacher: Model) -> Student:
    """A student that answers as the teacher until it is trained.

    It is a copy of the teacher's network in float32 (of a Champ only the denoiser), or an adapter
    on that network itself.

    Raises:
        ValueError: the teacher is a student; settings of an adapter for a full student, targets
            that are not there, an adapter on weights that shall be spread over ranks, or faces
            that do not fit.
    """
    if teacher.settings.role == "student":
        raise ValueError(
            f"teacher {teacher.name} is a student itself, whose answers jump where a teacher's "
            "lead one small step: name its teacher (teacher=MODEL), or start from it (--init)"
        )
    told = isinstance(recipe, StudentRecipe) and recipe.method.tell_edge
    parts = {"told_edge": told, **face_parts(recipe.face, teacher)}
    own = network_parts(teacher.network)["unet"]
    if recipe.form == "adapter":
        if recipe.train.sharding != "none":
            raise ValueError("train.sharding must be none with form='adapter': its base is shared")
        base = extended(own, **parts)
        student = with_adapter(base, recipe.adapter, new=added_parts(own, base))
    elif recipe.adapter != AdapterConfig():
        raise ValueError(f"adapter has no effect with form='full': got {recipe.adapter}")
    else:
        student = extended(copy.deepcopy(own).float(), **parts).requires_grad_(True)
    if isinstance(recipe, StudentRecipe) and recipe.learns == "temporal":
        _freeze_but_temporal(student)
    if recipe.gradient_checkpointing:
        student.enable_gradient_checkpointing()
    return student


def _freeze_but_temporal(student: nn.Module) -> None:
    modules: list[nn.Module] = student.motion_modules()  # type: ignore[operator]
    if not modules:
        raise ValueError("learns='temporal' needs adapter.targets with layers along the frames")
    student.requires_grad_(False)
    for module in modules:
        module.requires_grad_(True)


def student_start(name: str, recipe: DistillationRecipe, *, home: Path) -> Path | None:
    """The model of the phase before, in a run beside this one or anywhere; None for the first.

    Raises:
        ValueError: it is not there.
    """
    if not isinstance(recipe, StudentRecipe) or not recipe.start:
        return None
    for folder in (home / recipe.start / "model", Path(recipe.start)):
        if folder.is_dir():
            return folder
    raise ValueError(
        f"{name} goes on from {home / recipe.start}, which holds no model: run "
        f"`quickstep distill {recipe.start}` first, or set start= to begin as the teacher"
    )


def student_method(
    recipe: DistillationRecipe,
    *,
    student: Student,
    teacher: Model,
    settings: Settings,
) -> Consistency | PeRFlow:
    """The recipe's method; its `trainable` may hold more than the student that is exported.

    The teacher's weights take the recipe's type here: the student is made of them before, and they
    are named by what they were.

    Raises:
        ValueError: the method does not fit the teacher.
    """
    nn.Module.to(teacher.network, getattr(torch, recipe.teacher_dtype))
    known = teacher.settings
    denoiser = Denoiser(
        teacher.network, teacher.schedule, known.parametrisation, known.noise_offset
    )
    conditions = conditions_of(settings)
    if isinstance(teacher.network, ChampNetwork):
        conditions = SharedEncoding(teacher.network, is_still=settings.frames == 1)
    if isinstance(recipe, PeRFlowRecipe):
        return PeRFlow(student, denoiser, recipe.method, conditions=conditions)
    trainable: nn.Module = student
    if recipe.method.auxiliary_weight > 0:
        trainable = WithAuxiliaryHead(student)
    return Consistency(trainable, denoiser, recipe.method, conditions=conditions)


def student_settings(name: str, recipe: DistillationRecipe, teacher: Model) -> Settings:
    """How the exported student is to be run, and what made it.

    The method is the recipe's without its variant: ``dancelcm-adapter_lab`` is DanceLCM.
    """
    settings = replace(
        teacher.settings,
        role="student",
        method=_method_of(name),
        sampler=recipe.sampler,
        steps_allowed=recipe.steps_allowed,
        steps_best=recipe.steps_best,
        guidance=1.0,
        grid_skip=recipe.method.skip,
        segments=recipe.method.num_segments,
        anchor=recipe.method.anchor,
        recipe=name,
        face=face_input(recipe.face),
        told_edge=isinstance(recipe, StudentRecipe) and recipe.method.tell_edge,
        frames=_clip_length(recipe, teacher.settings),
        recipe_digest=digest(recipe),
    )
    if recipe.form == "full":
        return settings
    return replace(
        settings,
        teacher=_lasting_name(teacher.name),
        teacher_digest=network_digest(teacher.network),
        encoders_of="",
        reference_of="",
    )


def _method_of(name: str) -> str:
    """The method that a recipe's name begins with."""
    what = name.rpartition("_")[0] or name
    known = [method for method in (*PRESETS, *PHASED) if f"{what}-".startswith(f"{method}-")]
    return max(known, key=len, default=what.partition("-")[0])


def _clip_length(recipe: DistillationRecipe, settings: Settings) -> int:
    """Frames of a student's windows: 1 for a Champ's that learned from still frames."""
    if settings.family == "champ" and max(recipe.clips.lengths) == 1:
        return 1
    return settings.frames


def _lasting_name(name: str) -> str:
    """A model's name as it holds in any folder of this machine."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() and name not in built_in_models() else name
