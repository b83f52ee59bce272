"""What `quickstep prepare` is asked for, and what it leaves out."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, kw_only=True)
class PrepareSettings:
    """How footage becomes clips. Every field decides what is in the shards.

    Attributes:
        size: (width, height) of the clips in pixels.
        fps: frames per second that the footage is brought to.
        num_frames: frames of a clip at most.
        min_frames: shorter stretches between cuts, faults and losses of the person are left out.
        people: frames with several persons are left out, or the largest is followed.
        reference: which frame of a clip is its reference: a number, or ``best``, the one that
            shows most of face and body.
        pose_maps: whether clips have Champ's maps, which must lie beside the footage.
        max_upscale: how much a picture may be enlarged to the size.
        cut_change: mean change of a picture, in grey levels, from which it may be a cut.
        cut_ratio: and how many times the usual change before and after it that must be.
        still_frames: so many equal frames in a row are a frozen picture.
        face_size: side of the stored face in pixels.
        licence: of the footage, where a clip names none itself.
    """

    size: tuple[int, int] = (512, 768)
    fps: float = 12.0
    num_frames: int = 64
    min_frames: int = 16
    people: Literal["one", "largest"] = "one"
    reference: int | Literal["best"] = "best"
    pose_maps: bool = False
    max_upscale: float = 1.25
    cut_change: float = 12.0
    cut_ratio: float = 3.0
    still_frames: int = 4
    face_size: int = 256
    licence: str = "unknown"

    def __post_init__(self) -> None:
        for name in ("num_frames", "min_frames", "still_frames", "face_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1: got {getattr(self, name)}")
        for name in ("fps", "max_upscale", "cut_change", "cut_ratio"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be positive: got {getattr(self, name)}")
        if self.min_frames > self.num_frames:
            raise ValueError(
                f"min_frames must be at most num_frames={self.num_frames}: got {self.min_frames}"
            )
        if min(self.size) < 1:
            raise ValueError(f"size must be positive: got {self.size}")
        if isinstance(self.reference, int) and not 0 <= self.reference < self.min_frames:
            raise ValueError(
                f"reference must be 'best' or a frame below min_frames={self.min_frames}: "
                f"got {self.reference}"
            )


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A part of a source that is left out, or a whole one.

    Attributes:
        reason: why, in one line.
        stage: what was being done.
        first: number of the source's first frame concerned, from 0; None for all of it.
        last: of the last one.
        picture: a small picture of it.
    """

    reason: str
    stage: str
    first: int | None = None
    last: int | None = None
    picture: UInt8[np.ndarray, "H W 3"] | None = None
