"""How the frames of a video depend on each other, and videos that should move alike (CoSeC)."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from quickstep.losses.contrastive import target_aggregation

Center = Literal["none", "time"]
"""What is taken off the frames before they are compared; see `self_dependency`."""

SMALLEST_NORM = 1e-6
"""Frames shorter than this count as this long, so that an empty frame is like no other."""


def self_dependency(
    video: Float[Tensor, "*b f c h w"], *, center: Center = "none"
) -> Float[Tensor, "*b f f"]:
    """Cosine similarity between every two frames of each video (Eq. 6).

    The paper stacks frames as rows of Z and writes Z^T Z, which would be elements x elements. Its
    text and its use in Eq. 7 need frames x frames, so this computes Z Z^T.

    Args:
        video: frames or latents.
        center: "none" as in the paper; "time" takes the mean frame off first. Latents share
            most of their length (background, brightness), so that all similarities are near 1
            and have little gradient; what is left after centring is what changes.

    Returns:
        Symmetric matrices in float32 (float64 for float64 input), ones on the diagonal.

    Example:
        >>> video = torch.tensor([3.0, -1.0, 2.0]).view(1, 3, 1, 1, 1)
        >>> self_dependency(video)[0].tolist()
        [[1.0, -1.0, 1.0], [-1.0, 1.0, -1.0], [1.0, -1.0, 1.0]]
    """
    frames = video.to(torch.promote_types(torch.float32, video.dtype)).flatten(-3)
    if center == "time":
        frames = frames - frames.mean(dim=-2, keepdim=True)
    norms = torch.linalg.vector_norm(frames, dim=-1, keepdim=True).clamp(min=SMALLEST_NORM)
    unit = frames / norms
    # Float32 under autocast, too: similarities near 1 are told apart by what bfloat16 rounds off.
    with torch.autocast(video.device.type, enabled=False):
        return unit @ unit.mT


def temporal_aggregation(
    estimates: Float[Tensor, "g k f c h w"], *, center: Center = "none", scale: float = 0.001
) -> Float[Tensor, " g"]:
    """How differently the estimates of equal targets move: D between their matrices (Eq. 7).

    Args:
        estimates: clips of g groups, each of k >= 2 references of one video, noise shared.
        center: see `self_dependency`.
        scale: c of the pseudo-Huber distance.

    Returns:
        Per group, the mean over its pairs; 0 where the frames depend on each other alike, and
        always 0 for one frame.
    """
    return target_aggregation(self_dependency(estimates, center=center), scale=scale)
