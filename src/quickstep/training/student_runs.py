"""What distilling a teacher needs beside the loop: the student, its method, and its settings."""

import copy
from dataclasses import replace
from pathlib import Path

from torch import nn

from quickstep.config import digest
from quickstep.methods.consistency import Consistency
from quickstep.methods.perflow import PeRFlow
from quickstep.networks.accelerator import network_digest
from quickstep.networks.adapters import Adapted, AdapterConfig, with_adapter
from quickstep.networks.folder import Model, Settings, built_in_models
from quickstep.networks.heads import WithAuxiliaryHead
from quickstep.networks.unianimate import UniAnimateUNet
from quickstep.networks.unianimate.extension import added_parts, extended
from quickstep.teachers.protocol import Denoiser
from quickstep.teachers.unianimate import conditions_of
from quickstep.training.recipe_kinds import DistillationRecipe, PeRFlowRecipe, StudentRecipe
from quickstep.training.student_faces import face_input, face_parts


def student_network(recipe: DistillationRecipe, teacher: Model) -> UniAnimateUNet | Adapted:
    """A student that answers as the teacher until it is trained.

    It is a copy of the teacher's network in float32, or an adapter on that network itself.

    Raises:
        ValueError: settings of an adapter for a full student, targets that are not there, an
            adapter on weights that shall be spread over ranks, or faces that do not fit.
    """
    told = isinstance(recipe, StudentRecipe) and recipe.method.tell_edge
    parts = {"told_edge": told, **face_parts(recipe.face, teacher)}
    if recipe.form == "adapter":
        if recipe.train.sharding != "none":
            raise ValueError("train.sharding must be none with form='adapter': its base is shared")
        base = extended(teacher.network, **parts)
        student = with_adapter(base, recipe.adapter, new=added_parts(teacher.network, base))
    elif recipe.adapter != AdapterConfig():
        raise ValueError(f"adapter has no effect with form='full': got {recipe.adapter}")
    else:
        student = extended(copy.deepcopy(teacher.network).float(), **parts)
        student.requires_grad_(True)
    if isinstance(recipe, StudentRecipe) and recipe.learns == "temporal":
        _freeze_but_temporal(student)
    if recipe.gradient_checkpointing:
        student.enable_gradient_checkpointing()
    return student


def _freeze_but_temporal(student: nn.Module) -> None:
    student.requires_grad_(False)
    for module in student.motion_modules():  # type: ignore[operator]
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
    student: UniAnimateUNet | Adapted,
    teacher: Model,
    settings: Settings,
) -> Consistency | PeRFlow:
    """The recipe's method; its `trainable` may hold more than the student that is exported.

    Raises:
        ValueError: the method does not fit the teacher.
    """
    denoiser = Denoiser(teacher.network, teacher.schedule, teacher.settings.parametrisation)
    conditions = conditions_of(settings)
    if isinstance(recipe, PeRFlowRecipe):
        return PeRFlow(student, denoiser, recipe.method, conditions=conditions)
    trainable: nn.Module = student
    if recipe.method.auxiliary_weight > 0:
        trainable = WithAuxiliaryHead(student)
    return Consistency(trainable, denoiser, recipe.method, conditions=conditions)


def student_settings(name: str, recipe: DistillationRecipe, teacher: Model) -> Settings:
    """How the exported student is to be run, and what made it.

    The method is the recipe's name without its variant: ``dancelcm-adapter_lab`` is DanceLCM.
    """
    settings = replace(
        teacher.settings,
        role="student",
        method=(name.rpartition("_")[0] or name).partition("-")[0],
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
        recipe_digest=digest(recipe),
    )
    if recipe.form == "full":
        return settings
    return replace(
        settings,
        teacher=_lasting_name(teacher.name),
        teacher_digest=network_digest(teacher.network),
        encoders_of="",
    )


def _lasting_name(name: str) -> str:
    """A model's name as it holds in any folder of this machine."""
    folder = Path(name).expanduser()
    return str(folder.resolve()) if folder.is_dir() and name not in built_in_models() else name
