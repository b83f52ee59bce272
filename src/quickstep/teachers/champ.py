"""The Champ family: how a training batch becomes what its networks are told."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from quickstep.networks.champ import ChampConditions, ChampFeatures
from quickstep.teachers.unianimate import pose_pictures


def champ_conditions(batch: Mapping[str, Tensor], *, is_still: bool = False) -> ChampConditions:
    """The conditions of a batch of prepared clips.

    Args:
        batch: ``reference`` latents (b c h w), ``pose_maps`` (b f m H W 3, uint8) and the
            reference's image embedding ``image`` (b 1 d). Of clips with faces ``face`` and
            ``face_found``, which a teacher does not look at.
        is_still: see `quickstep.networks.champ.ChampConditions`.
    """
    return ChampConditions(
        image=batch["image"],
        reference=batch["reference"],
        pose_maps=pose_pictures(batch["pose_maps"]),
        is_still=is_still,
        face=batch.get("face"),
        face_found=batch.get("face_found"),
    )


class SharedEncoding:
    """Conditions that are encoded once for all networks of a distillation.

    Teacher, target and student differ in their denoisers alone. The teacher's reference network
    and map encoders are frozen, and what they make of a batch is right for all of them; only the
    keys and values that a denoiser makes of it are its own, and the tokens of faces.

    Args:
        network: the teacher's whole network.
        is_still: see `champ_conditions`.
    """

    def __init__(self, network: nn.Module, *, is_still: bool = False) -> None:
        self.network, self.is_still = network, is_still

    @torch.no_grad()
    def __call__(self, batch: Mapping[str, Tensor]) -> ChampFeatures:
        """The features of a batch, without gradient."""
        encode: Any = self.network.encode
        return encode(champ_conditions(batch, is_still=self.is_still))
