"""The reference alone, at any size, whole or in part: faces as sharp as a photograph has them.

A clip's reference has few pixels on the face. What a photograph would show is had by rendering the
same moment larger; of the large picture only the square round the face is drawn.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import UInt8

from quickstep.data.dancer.performance import Performance, perform
from quickstep.data.dancer.presets import Style, preset_named
from quickstep.data.dancer.rays import Window
from quickstep.data.dancer.render import render_pictures
from quickstep.data.dancer.seeds import DancerSeeds
from quickstep.data.dancer.stage import set_stage
from quickstep.data.dancer.styles import reach, restyled, style_of

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
    style: Style = ""

    @classmethod
    def of(cls, seeds: DancerSeeds, *, preset: str = "plain") -> "Portrait":
        """The reference of the clip with these seeds, whatever that clip's length."""
        look = preset_named(preset)
        return cls(perform(seeds, np.zeros(0), preset=look), style_of(look, seeds.identity))

    def face_box(self, *, size: int) -> Box:
        """x0, y0, x1, y1 of the face as `DancerClip.reference_face_box` has it, in pixels."""
        face = self.show.camera.pixels(self.show.viewed[0, 23:91], size=size)
        low, high = face.min(axis=0), face.max(axis=0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def picture(
        self, *, size: int, window: Window | None = None, device: torch.device | str = "cpu"
    ) -> UInt8[np.ndarray, "H W 3"]:
        """The picture at `size` pixels a side, or the same bits of a window of it."""
        wanted = window or Window(0, 0, size)
        window = self._looked_at(wanted, size=size)
        stage = set_stage([self.show], device=torch.device(device))
        picture = render_pictures(
            stage.dressed,
            stage.looks,
            background=stage.background(size=size, window=window),
            shadow=stage.shadow(size=size, window=window),
            part=(size, window),
        )
        rgb = restyled(picture.rgb, picture.mask, self.style, size=size)
        left, top = wanted.left - window.left, wanted.top - window.top
        cut = rgb[0, top : top + wanted.side, left : left + wanted.side]
        return cut.cpu().numpy()

    def _looked_at(self, wanted: Window, *, size: int) -> Window:
        """The window whose pixels a style looks at: square, within the picture."""
        if not self.style:
            return wanted
        around = reach(size)
        side = min(size, wanted.side + 2 * around)
        left, top = (
            min(max(start - around, 0), size - side) for start in (wanted.left, wanted.top)
        )
        return Window(left, top, side)
