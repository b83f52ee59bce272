"""The UniAnimate family: how a training batch becomes what its network is told."""

from collections.abc import Mapping

from jaxtyping import Float, UInt8
from torch import Tensor

from quickstep.networks.unianimate import UniAnimateConditions


def unianimate_conditions(
    batch: Mapping[str, Tensor], *, reference_everywhere: bool = False
) -> UniAnimateConditions:
    """The conditions of UniAnimate's normal mode for a batch of prepared clips.

    Args:
        batch: ``reference`` latents (b c h w), ``pose`` pictures (b f H W 3, uint8),
            ``reference_pose`` (b H W 3, uint8) and the reference's image embedding ``image``
            (b 1 d); ``picture`` (b H W 3, uint8) too, if the reference is told everywhere. Of
            clips with faces ``face`` and ``face_found``, which a teacher does not look at.
        reference_everywhere: see `quickstep.networks.folder.Settings`.
    """
    picture = pose_pictures(batch["picture"])[:, None] if reference_everywhere else None
    return UniAnimateConditions(
        image=batch["image"],
        reference=batch["reference"],
        pose=pose_pictures(batch["pose"]),
        reference_pose=pose_pictures(batch["reference_pose"]),
        first_frame=picture,
        face=batch.get("face"),
        face_found=batch.get("face_found"),
    )


def pose_pictures(pictures: UInt8[Tensor, "*b H W 3"]) -> Float[Tensor, "*b 3 H W"]:
    """Drawn skeletons and pose maps as networks read them: float32 in [0, 1], channels first."""
    return pictures.movedim(-1, -3).float().div(255)
