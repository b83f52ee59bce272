"""Distances of whole clips, as the settings of consistency distillation name them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from quickstep.diffusion.schedule import Schedule
from quickstep.losses.distance import euclidean, pseudo_huber, squared
from quickstep.methods.consistency_config import ConsistencyConfig

TIME_BINS = 5
"""Equal pieces of the time axis for which the log has a distance of its own."""


def clip_distance(
    estimate: Float[Tensor, "b f c h w"],
    target: Float[Tensor, "b f c h w"],
    *,
    config: ConsistencyConfig,
    weight: Float[Tensor, "..."],
) -> Float[Tensor, " b"]:
    """The weighted distance of every clip; for all but the norm, a mean over its elements."""
    if config.distance == "euclidean":
        return euclidean(estimate, target, weight=weight)
    if config.distance == "squared":
        elements = squared(estimate, target)
    else:
        elements = pseudo_huber(estimate, target, scale=config.huber_scale)
    return (elements * weight).flatten(1).mean(dim=1)


def bounded_snr(t: Int[Tensor, " b"], *, schedule: Schedule) -> Float[Tensor, " b"]:
    """``min(1, SNR)``: 0 where a state shows nothing of the data, 1 where it shows most."""
    return schedule.kappa(t).square().clamp(max=1).float()


def distances_by_time(
    distance: Float[Tensor, " b"], t: Int[Tensor, " b"], *, num_timesteps: int = 1000
) -> dict[str, Tensor]:
    """Mean distances of the clips of each piece of the time axis, named by its first time."""
    width = num_timesteps // TIME_BINS
    pieces = (t // width).clamp(max=TIME_BINS - 1)
    return {
        f"distance_from_{piece * width:03d}": distance[rows.to(distance.device)].mean()
        for piece in pieces.unique().tolist()
        for rows in (torch.nonzero(pieces == piece)[:, 0],)
    }
