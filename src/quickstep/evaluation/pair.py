"""A made clip beside the truth, both as a protocol sees them, and what their metrics share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from quickstep.conditions.skeleton import Poses
from quickstep.evaluation import frames, motion

Need = Literal["mask", "face boxes", "skeletons", "window seams"]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """The true clip and what is known of it; every made video of the clip shares one.

    Attributes:
        frames: what made frames should be.
        reference: the reference picture in the same view.
        mask: the person.
        face_boxes: x0, y0, x1, y1 of the face in each frame, NaN where there is none.
        poses: of the frames, in their pixels.
    """

    frames: UInt8[np.ndarray, "f H W 3"]
    reference: UInt8[np.ndarray, "H W 3"]
    mask: Bool[np.ndarray, "f H W"] | None = None
    face_boxes: Float[np.ndarray, "f 4"] | None = None
    poses: Poses | None = None

    @cached_property
    def video(self) -> Float[Tensor, "f 3 H W"]:
        """The frames in [0, 1]."""
        return unit_video(self.frames)

    @cached_property
    def still(self) -> Float[Tensor, "3 H W"]:
        """The reference in [0, 1]."""
        return unit_video(self.reference[None])[0]

    @cached_property
    def person(self) -> Bool[Tensor, "f H W"]:
        """The mask."""
        assert self.mask is not None
        return torch.from_numpy(self.mask)

    @cached_property
    def moved(self) -> Bool[Tensor, "f H W"]:
        """Where the truth is not what the reference shows."""
        return frames.moved_mask(self.video, self.still)

    @cached_property
    def flows(self) -> Sequence[motion.Flow]:
        """The motion from each frame to the next, which takes long to find."""
        return list(motion.true_flows(self.frames))


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A made clip beside the truth.

    Attributes:
        made: what is judged.
        truth: what it should be.
        seams: frames at which the made video's windows meet; None where not known.
    """

    made: UInt8[np.ndarray, "f H W 3"]
    truth: Truth
    seams: tuple[int, ...] | None = None

    def has(self, need: Need) -> bool:
        """Whether something is known of the clip."""
        known = {
            "mask": self.truth.mask,
            "face boxes": self.truth.face_boxes,
            "skeletons": self.truth.poses,
            "window seams": self.seams,
        }
        return known[need] is not None

    @cached_property
    def video(self) -> Float[Tensor, "f 3 H W"]:
        """The made frames in [0, 1]."""
        return unit_video(self.made)

    @cached_property
    def similarity(self) -> Float[Tensor, "f h w"]:
        """SSIM of each window, averaged over colours: three metrics share it."""
        both = zip(self.video.split(1), self.truth.video.split(1), strict=True)
        return torch.cat([frames.similarity_map(*pair).mean(dim=1) for pair in both])


def unit_video(pictures: UInt8[np.ndarray, "f H W 3"]) -> Float[Tensor, "f 3 H W"]:
    """Pictures as video in [0, 1]."""
    return torch.from_numpy(pictures).movedim(-1, 1).float().div(255)
