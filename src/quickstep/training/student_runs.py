"""What distilling a teacher needs beside the loop: the student, its method, and its settings."""

import copy
from dataclasses import replace

from torch import nn

from quickstep.config import digest
from quickstep.methods.consistency import Consistency
from quickstep.methods.perflow import PeRFlow
from quickstep.networks.folder import Model, Settings
from quickstep.networks.heads import WithAuxiliaryHead
from quickstep.networks.unianimate import UniAnimateUNet
from quickstep.teachers.protocol import Denoiser
from quickstep.teachers.unianimate import conditions_of
from quickstep.training.recipe_kinds import DistillationRecipe, PeRFlowRecipe


def student_network(recipe: DistillationRecipe, teacher: Model) -> UniAnimateUNet:
    """A trainable copy of the teacher's network, in float32."""
    return copy.deepcopy(teacher.network).float().requires_grad_(True)


def student_method(
    recipe: DistillationRecipe, *, student: UniAnimateUNet, teacher: Model, settings: Settings
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
    """How the exported student is to be run, and what made it."""
    return replace(
        teacher.settings,
        role="student",
        method=name.rpartition("_")[0] or name,
        sampler=recipe.sampler,
        steps_allowed=recipe.steps_allowed,
        steps_best=recipe.steps_best,
        guidance=1.0,
        grid_skip=recipe.method.skip,
        segments=recipe.method.num_segments,
        anchor=recipe.method.anchor,
        recipe=name,
        recipe_digest=digest(recipe),
    )
