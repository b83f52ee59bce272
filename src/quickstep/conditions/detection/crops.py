"""One person cut out of a picture for a keypoint network, and its SimCC answer read back."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

MEAN = np.array([123.675, 116.28, 103.53], dtype=np.float32)
DEVIATION = np.array([58.395, 57.12, 57.375], dtype=np.float32)
"""ImageNet's, in the order red, green, blue; DWPose applies them to blue, green, red."""

ROOM = 1.25
"""Sides of a crop in sides of the person's box."""

BINS = 2
"""Bins a pixel: SimCC (Li et al., 2022) tells a place as one class of a row and one of a column."""


@dataclass(frozen=True)
class Crop:
    """A part of a picture, turned upright, and the size it is resized to.

    Attributes:
        centre: x and y of its middle in pixels.
        sides: its width and height in pixels of the picture.
        size: (width, height) of the resized crop.
        turn: how far its upper edge is turned clockwise in the picture, in radians.
    """

    centre: tuple[float, float]
    sides: tuple[float, float]
    size: tuple[int, int]
    turn: float = 0.0

    @classmethod
    def round_box(cls, box: Float[np.ndarray, " 4"], size: tuple[int, int]) -> "Crop":
        """The smallest crop of that shape round a box with some room beside it.

        Example:
            >>> Crop.round_box(np.array([0.0, 0.0, 8.0, 80.0]), (288, 384)).sides
            (75.0, 100.0)
        """
        x0, y0, x1, y1 = (float(edge) for edge in box)
        width, height = max(x1 - x0, 1.0) * ROOM, max(y1 - y0, 1.0) * ROOM
        aspect = size[0] / size[1]
        sides = (width, width / aspect) if width > height * aspect else (height * aspect, height)
        return cls(((x0 + x1) / 2, (y0 + y1) / 2), sides, size)

    @property
    def matrix(self) -> Float[np.ndarray, "2 3"]:
        """The way from the picture's pixels to the crop's: ``matrix @ (x, y, 1)``."""
        scale = self.size[0] / self.sides[0]
        cosine, sine = np.cos(self.turn) * scale, np.sin(self.turn) * scale
        turned = np.array([[cosine, sine], [-sine, cosine]])
        offset = np.array(self.size) / 2 - turned @ np.array(self.centre)
        return np.concatenate([turned, offset[:, None]], axis=1)

    def cut(self, picture: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "h w 3"]:
        """The crop itself, black where it leaves the picture."""
        return np.asarray(
            cv2.warpAffine(picture, self.matrix, self.size, flags=cv2.INTER_LINEAR),
            dtype=np.uint8,
        )

    def inside(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Points of the picture in pixels of the crop."""
        return points @ self.matrix[:, :2].T + self.matrix[:, 2]

    def outside(self, points: Float[np.ndarray, "*n 2"]) -> Float[np.ndarray, "*n 2"]:
        """Points of the crop in pixels of the picture: the inverse of `inside`."""
        inverse = np.linalg.inv(self.matrix[:, :2])
        return (points - self.matrix[:, 2]) @ inverse.T


def normalised_crops(crops: UInt8[np.ndarray, "n h w 3"]) -> Float[np.ndarray, "n 3 h w"]:
    """Crops as a keypoint network takes them, channels first, in the order they came in."""
    count, height, width, channels = crops.shape
    values = np.empty((count, channels, height, width), dtype=np.float32)
    for channel in range(channels):
        plane = values[:, channel]
        np.subtract(crops[..., channel], MEAN[channel], out=plane)
        plane /= DEVIATION[channel]
    return values


def simcc_points(
    across: Float[np.ndarray, "n k x"], down: Float[np.ndarray, "n k y"]
) -> tuple[Float[np.ndarray, "n k 2"], Float[np.ndarray, "n k"]]:
    """Places in the crop's pixels and their scores, from the highest bin of each axis.

    The score is the smaller of the two maxima. At 0 or below nothing was found: its place is
    (-1, -1).
    """
    places = np.stack([across.argmax(axis=2), down.argmax(axis=2)], axis=-1) / BINS
    scores = np.minimum(across.max(axis=2), down.max(axis=2))
    return np.where((scores > 0)[..., None], places, -1.0).astype(np.float32), scores
