"""Which joint or limb each pixel of a skeleton picture belongs to, told by its colour.

Joint number j has hue 20 j degrees, and limb j the same hue at 60 per cent of the brightness;
left toes and right foot are pale cyan, face points white. A video codec blurs colours at half
resolution, so that only hue classes, not exact colours, can be relied on.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

NUM_HUES = 18
PALE = 18
"""The class of pale cyan, after the 18 hues."""

NONE = 255
"""Pixels of no class."""

JOINT_CLASS = (*range(NUM_HUES), PALE, 3)
"""Colour class of each of the 20 joints; the right toes are as yellow as the right elbow."""

LIMB_CLASS = (*range(NUM_HUES), PALE)
"""Colour class of each of the 19 limbs."""

_BLACK_BELOW, _LIMB_ABOVE, _JOINT_ABOVE = 60, 100, 205
_PALE_ABOVE, _SATURATED_ABOVE = 0.2, 0.6

_CLASS_OF_HUE = (np.round(np.arange(256) * 360 / 256 / 20) % NUM_HUES).astype(np.uint8)


@dataclass(frozen=True)
class Layers:
    """One picture, pixel by pixel.

    Attributes:
        joint: colour class of bright pixels (joints, hands' bones and points), else `NONE`.
        limb: colour class of darker pixels away from bright ones, else `NONE`.
        bright: joints, hands and face: whatever is drawn over the limbs.
        unsaturated: grey or white.
        black: nothing is drawn there.
    """

    joint: UInt8[np.ndarray, "H W"]
    limb: UInt8[np.ndarray, "H W"]
    bright: Bool[np.ndarray, "H W"]
    unsaturated: Bool[np.ndarray, "H W"]
    black: Bool[np.ndarray, "H W"]

    @classmethod
    def of(cls, picture: UInt8[np.ndarray, "H W 3"]) -> "Layers":
        """Sorts the pixels of an RGB picture."""
        in_hsv = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2HSV_FULL), dtype=np.uint8)
        hue, saturation, value = in_hsv[..., 0], in_hsv[..., 1], in_hsv[..., 2]
        classes = _CLASS_OF_HUE[hue]
        saturated = saturation > _SATURATED_ABOVE * 255
        pale = ~saturated & (saturation > _PALE_ABOVE * 255) & (classes == 9)
        classes = np.where(pale, PALE, classes).astype(np.uint8)
        coloured = saturated | pale
        bright = value > _JOINT_ABOVE
        near_bright = cv2.dilate(bright.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        dim = (value > _LIMB_ABOVE) & ~near_bright
        none = np.uint8(NONE)
        return cls(
            joint=np.where(bright & coloured, classes, none),
            limb=np.where(dim & coloured, classes, none),
            bright=bright,
            unsaturated=~coloured & (saturation < _PALE_ABOVE * 255),
            black=value < _BLACK_BELOW,
        )
