"""The camera: where it stands, how much of the person it shows, and projection to pixels.

A pinhole with square pixels and its principal point at the picture's centre. Camera axes are
OpenCV's: x right, y down, z forward. Pixel coordinates span 0..size; the first pixel's centre is
at 0.5.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quickstep.data.dancer.presets import Preset
from quickstep.data.dancer.seeds import stream


@dataclass(frozen=True)
class Camera:
    """A camera that stands still.

    Attributes:
        rotation: world axes to camera axes.
        position: metres, world axes.
        focal: in picture widths; times the size it is in pixels.
    """

    rotation: Float[np.ndarray, "3 3"]
    position: Float[np.ndarray, " 3"]
    focal: float

    def view(self, points: Float[np.ndarray, "*n 3"]) -> Float[np.ndarray, "*n 3"]:
        """World points in camera axes, metres."""
        return (points - self.position) @ self.rotation.T

    def pixels(self, viewed: Float[np.ndarray, "*n 3"], *, size: int) -> Float[np.ndarray, "*n 2"]:
        """Where points in camera axes appear in a picture of `size` pixels a side."""
        return viewed[..., :2] / viewed[..., 2:] * (self.focal * size) + 0.5 * size


def draw_camera(seed: int, *, preset: Preset, stature: float) -> Camera:
    """The camera of a seed, set up for a person of this height so that the head is in the frame.

    The seed gives framing (from half body to full body), direction, height and distance; the
    person's height only scales them, as a photographer would.
    """
    rng = stream(seed, role="camera")
    pick, spread = rng.random(), rng.random()
    _, low, high = next(framing for framing in preset.framings if pick < framing[0])
    shown = low + (high - low) * spread
    azimuth = np.deg2rad(rng.uniform(-1, 1) * preset.azimuth)
    distance = rng.uniform(2.5, 4.2) * (1.0 + 0.25 * (shown - 1.0))
    rise = rng.uniform(-0.06, 0.16)
    aside = rng.uniform(-0.06, 0.06) * shown
    headroom = rng.uniform(0.13, 0.19) if shown < 1.08 else 0.5 - 0.5 / shown + 0.03
    target = np.array((0.0, (1.0 - shown * (0.5 - headroom)) * stature, 0.0))
    height = (shown * stature) * preset.margin
    position = target + distance * np.array((np.sin(azimuth), rise, np.cos(azimuth)))
    ahead = (target - position) / np.linalg.norm(target - position)
    right = np.cross(ahead, np.array((0.0, 1.0, 0.0)))
    right /= np.linalg.norm(right)
    matrix = np.stack((right, np.cross(ahead, right), ahead))
    position = position + right * aside * stature
    return Camera(rotation=matrix, position=position, focal=float(distance / height))
