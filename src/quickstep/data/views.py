"""What part of a picture is used, and at which size: a crop and a resize, of all that is known."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from quickstep.conditions.skeleton import Poses

Filter: TypeAlias = Literal["opencv-bilinear", "pillow-bilinear", "pillow-bicubic"]
"""How pictures are resized. OpenCV's does not filter before shrinking; Pillow's do."""

ASPECT_TOLERANCE = 0.01
"""Largest relative difference of two aspect ratios that still count as the same."""

_PILLOW = {
    "pillow-bilinear": Image.Resampling.BILINEAR,
    "pillow-bicubic": Image.Resampling.BICUBIC,
}


@dataclass(frozen=True)
class View:
    """A rectangle of a picture, brought to a size.

    Attributes:
        corner: left and top of the rectangle, pixels of the picture.
        extent: its width and height.
        size: width and height that it is brought to.
    """

    corner: tuple[int, int]
    extent: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def whole(cls, picture: tuple[int, int], *, size: tuple[int, int] | None = None) -> "View":
        """All of a picture (width, height), at its own size unless one is given."""
        return cls(corner=(0, 0), extent=picture, size=size or picture)

    @classmethod
    def centred(cls, picture: tuple[int, int], *, size: tuple[int, int]) -> "View":
        """The largest centred rectangle with the shape of `size`, as usual crops cut it.

        Example:
            >>> View.centred((604, 1080), size=(256, 256))
            View(corner=(0, 238), extent=(604, 604), size=(256, 256))
        """
        width, height = picture
        extent = (width, height)
        if width * size[1] > height * size[0]:
            extent = (round(height * size[0] / size[1]), height)
        elif width * size[1] < height * size[0]:
            extent = (width, round(width * size[1] / size[0]))
        corner = ((width - extent[0]) // 2, (height - extent[1]) // 2)
        return cls(corner=corner, extent=extent, size=size)

    def frames(
        self, frames: UInt8[np.ndarray, "f H W 3"], *, by: Filter
    ) -> UInt8[np.ndarray, "f h w 3"]:
        """The rectangle of every frame at the view's size; untouched where it has it already."""
        (left, top), (width, height) = self.corner, self.extent
        cut = frames[:, top : top + height, left : left + width]
        if self.extent == self.size:
            return np.ascontiguousarray(cut)
        if by == "opencv-bilinear":
            resized = [cv2.resize(each, self.size, interpolation=cv2.INTER_LINEAR) for each in cut]
            return np.stack(resized)
        resized = [Image.fromarray(each).resize(self.size, _PILLOW[by]) for each in cut]
        return np.stack([np.asarray(each) for each in resized])

    def mask(self, mask: Bool[np.ndarray, "f H W"]) -> Bool[np.ndarray, "f h w"]:
        """The same of a mask: a pixel is in it when half of it is."""
        grey = np.repeat(mask[..., None].astype(np.uint8) * 255, 3, axis=-1)
        return self.frames(grey, by="pillow-bilinear")[..., 0] > 127

    def boxes(self, boxes: Float[np.ndarray, "f 4"]) -> Float[np.ndarray, "f 4"]:
        """Boxes x0, y0, x1, y1 in the view's pixels; they may lie outside."""
        corner, scale = np.array(self.corner * 2), np.array(self._scale * 2)
        return ((boxes - corner) * scale).astype(np.float32)

    def poses(self, poses: Poses) -> Poses:
        """Poses in the view's pixels; they may lie outside."""
        corner = (-float(self.corner[0]), -float(self.corner[1]))
        return poses.moved(scale=1.0, offset=corner, size=self.extent).scaled_to(self.size)

    @property
    def _scale(self) -> tuple[float, float]:
        return self.size[0] / self.extent[0], self.size[1] / self.extent[1]


def same_aspect(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether two sizes (width, height) have one shape, up to the rounding of a resize."""
    difference = abs(one[0] * other[1] - other[0] * one[1])
    slack = ASPECT_TOLERANCE * one[0] * other[1]
    return difference <= max(slack, max(one), max(other))
