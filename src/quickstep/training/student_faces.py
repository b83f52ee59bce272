"""What a student that is told faces has beside its teacher, which is not."""

from typing import Any

from quickstep.networks.faces import FaceInput
from quickstep.networks.folder import Model
from quickstep.training.recipe_kinds import (
    ChampRecipe,
    DistillationRecipe,
    FaceSettings,
    TeacherRecipe,
)


def face_of(recipe: TeacherRecipe | ChampRecipe | DistillationRecipe) -> FaceSettings | None:
    """How the recipe's network is told faces; teachers are not."""
    return None if isinstance(recipe, TeacherRecipe | ChampRecipe) else recipe.face


def face_input(face: FaceSettings | None) -> FaceInput | None:
    """What the exported student wants to be told."""
    return None if face is None else FaceInput(feature=face.feature, size=face.size)


def face_parts(face: FaceSettings | None, teacher: Model) -> dict[str, Any]:
    """Settings of the network by which the student differs from its teacher's.

    Raises:
        ValueError: the teacher's encoders have no use for such pictures.
    """
    if face is None:
        return {}
    parts: dict[str, Any] = {"face_feature": face.feature, "face_inject": face.inject}
    if face.feature == "clip":
        return parts
    config: Any = teacher.vae.config
    cell = 2 ** (len(config.block_out_channels) - 1)
    if face.size % (cell * face.patch):
        raise ValueError(
            f"face.size must be a multiple of {cell * face.patch}, the pixels of a token of "
            f"face.patch={face.patch} cells of the teacher's autoencoder: got {face.size}"
        )
    return parts | {"face_cells": face.size // cell, "face_patch": face.patch}
