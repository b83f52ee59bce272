"""What an animator hands back: a finished animation, or one whose frames are still latents."""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor


@dataclass(frozen=True)
class Animation:
    """A finished animation.

    Attributes:
        frames: the video, RGB.
        skeletons: the dance as the network saw it.
        reference: the picture as the network saw it.
        fps: frames per second, the driving clip's.
        timings: wall seconds by stage: load, conditions, denoise, decode.
        num_evaluations: evaluations of the denoising network; a guided one counts twice, and
            each window of a long dance counts.
        face_found: whether the picture has a face; None for a model that is not told it.
    """

    frames: UInt8[np.ndarray, "f H W 3"]
    skeletons: UInt8[np.ndarray, "f H W 3"]
    reference: UInt8[np.ndarray, "H W 3"]
    fps: float
    timings: dict[str, float] = field(default_factory=dict)
    num_evaluations: int = 0
    face_found: bool | None = None


@dataclass(frozen=True)
class Latents:
    """A denoised clip that is not decoded yet.

    Attributes:
        clean: clean latents on the CPU.
        num_evaluations: evaluations of the denoising network that it took.
    """

    clean: Float[Tensor, "1 f c h w"]
    num_evaluations: int
