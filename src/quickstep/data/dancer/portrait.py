"""The reference alone, at any size, whole or in part: faces as sharp as a photograph has them.

A clip's reference has few pixels on the face. What a photograph would show is had by rendering the
same moment larger; of the large picture only the square round the face is drawn.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from quickstep.data.dancer.performance import Performance, perform
from quickstep.data.dancer.presets import preset_named
from quickstep.data.dancer.rays import Window
from quickstep.data.dancer.render import render_pictures
from quickstep.data.dancer.seeds import DancerSeeds
from quickstep.data.dancer.stage import set_stage

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Portrait:
    """The moment of a clip's reference, before any pixel is drawn.

    Example:
        >>> portrait = Portrait.of(DancerSeeds.of(7))
        >>> portrait.picture(size=64, window=Window(24, 8, 16)).shape
        (16, 16, 3)
    """

    show: Performance

    @classmethod
    def of(cls, seeds: DancerSeeds, *, preset: str = "plain") -> "Portrait":
        """The reference of the clip with these seeds, whatever that clip's length."""
        return cls(perform(seeds, np.zeros(0), preset=preset_named(preset)))

    def face_box(self, *, size: int) -> Box:
        """x0, y0, x1, y1 of the face as `DancerClip.reference_face_box` has it, in pixels."""
        face = self.show.camera.pixels(self.show.viewed[0, 23:91], size=size)
        low, high = face.min(axis=0), face.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def picture(
        self, *, size: int, window: Window | None = None, device: torch.device | str = "cpu"
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture at `size` pixels a side, or the same bits of a window of it."""
        window = window or Window(0, 0, size)
        stage = set_stage([self.show], device=torch.device(device))
        picture = render_pictures(
            stage.dressed,
            stage.looks,
            background=stage.background(size=size, window=window),
            shadow=stage.shadow(size=size, window=window),
            part=(size, window),
        )
        return picture.rgb[0].cpu().numpy()
