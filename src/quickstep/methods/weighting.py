"""Where in a picture a loss counts more."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.losses.motion import MotionNorm, motion_weight


def person_weight(batch: Mapping[str, Tensor], strength: float) -> Float[Tensor, "..."]:
    """Weights of latent cells, 1 on average, larger where the person is.

    Args:
        batch: holds ``person`` (b f h w), the share of each cell that the person covers.
        strength: how many times more than the ground such a cell counts, minus 1; at 0 every
            cell counts the same and ``person`` is not read.

    Returns:
        ``(b f 1 h w)``, or one scalar at strength 0.
    """
    if not strength:
        return torch.ones(())
    weight = 1 + strength * batch["person"].float()[:, :, None]
    return weight / weight.mean()


def motion_weight_of(
    batch: Mapping[str, Tensor], strength: float, *, norm: MotionNorm = "mean"
) -> Float[Tensor, "..."]:
    """Weights of latent cells, larger where the real clip moves (DanceLCM, Eq. 7).

    Args:
        batch: holds ``motion`` (b f h w), 1 in cells that move, else 0
            (`quickstep.losses.motion.moving_cells` of the clip's frames).
        strength: lambda_1; at 0 every cell counts the same and ``motion`` is not read.
        norm: see `quickstep.losses.motion.motion_weight`.

    Returns:
        ``(b f 1 h w)``, or one scalar at strength 0.

    Raises:
        ValueError: there is a strength but no ``motion``.
    """
    if not strength:
        return torch.ones(())
    if "motion" not in batch:
        raise ValueError(
            f"motion_weight={strength} needs clips with their moving cells, and this data has no "
            "'motion': prepare it anew, or set method.motion_weight=0"
        )
    return motion_weight(batch["motion"], strength=strength, norm=norm)
