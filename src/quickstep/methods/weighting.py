"""Where in a picture a loss counts more."""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor


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
