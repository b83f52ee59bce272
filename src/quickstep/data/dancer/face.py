"""Where a face's features are: the 68 landmarks of iBUG, and the numbers that faces are painted by.

Face coordinates are those of `body.HeadShape`: x to the person's left, y up, metres.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quickstep.data.dancer.body import HeadShape
from quickstep.data.dancer.identity import Face

OPEN_MOUTH = 0.016
"""Half the gap between the lips of a wide open mouth, in metres at head scale 1."""


@dataclass(frozen=True)
class FaceLayout:
    """Places and sizes of the features, in metres."""

    eye_x: float
    eye_y: float
    eye_wide: float
    eye_high: float
    brow_y: float
    brow_half: float
    brow_thick: float
    brow_tilt: float
    mouth_y: float
    mouth_half: float
    lip: float
    curve: float
    nose_y: float
    gap: float


def face_layout(face: Face, shape: HeadShape) -> FaceLayout:
    """Where this person's features sit on this skull."""
    scale = shape.scale
    return FaceLayout(
        eye_x=0.0335 * scale * face.eye_spacing * face.width,
        eye_y=0.066 * scale,
        eye_wide=0.0200 * scale * face.eye_size,
        eye_high=0.0118 * scale * face.eye_size,
        brow_y=0.089 * scale + 0.004 * (face.eye_size - 1),
        brow_half=0.0215 * scale,
        brow_thick=0.0050 * scale * face.brow_weight,
        brow_tilt=face.brow_tilt,
        mouth_y=-0.006 * scale,
        mouth_half=0.0290 * scale * face.mouth_width,
        lip=0.0090 * scale * face.lips,
        curve=0.010 * scale * face.smile,
        nose_y=0.031 * scale,
        gap=OPEN_MOUTH * scale,
    )


def landmarks(
    layout: FaceLayout, shape: HeadShape, *, blink: np.ndarray, mouth: np.ndarray
) -> Float[np.ndarray, "n 68 3"]:
    """The 68 landmarks of each moment in the head's frame (origin: the jaw sphere's centre).

    Points lie on the painted features and on the skull's surface; eyes close with `blink`, lips
    part with `mouth` (both 0 to 1). Order: iBUG 300-W, person's right first.
    """
    count = len(blink)
    plane = np.zeros((count, 68, 2))
    plane[:, 0:17] = _jaw(shape)
    for side, start in ((-1.0, 17), (1.0, 22)):
        along = np.linspace(-1.0, 1.0, 5)
        plane[:, start : start + 5, 0] = side * layout.eye_x + along * layout.brow_half
        lift = layout.brow_tilt * side * along * 0.4 - 0.3 * along**2
        plane[:, start : start + 5, 1] = layout.brow_y + lift * layout.brow_half
    plane[:, 27:31, 1] = np.linspace(layout.eye_y, layout.nose_y, 4)
    plane[:, 31:36, 0] = np.linspace(-0.5, 0.5, 5) * 0.03 * shape.scale
    plane[:, 31:36, 1] = layout.nose_y - np.array((8, 10.5, 12, 10.5, 8)) * 1e-3 * shape.scale
    for side, start in ((-1.0, 36), (1.0, 42)):
        angle = np.deg2rad(np.array((180, 120, 60, 0, -60, -120)))
        high = layout.eye_high * (1 - 0.85 * blink)[:, None]
        plane[:, start : start + 6, 0] = side * layout.eye_x + layout.eye_wide * np.cos(angle)
        plane[:, start : start + 6, 1] = layout.eye_y + high * np.sin(angle) * 0.9
    plane[:, 48:60] = _lips(layout, mouth, count=12, outer=True)
    plane[:, 60:68] = _lips(layout, mouth, count=8, outer=False)
    depth = shape.surface(plane[..., 0], plane[..., 1])
    ridge = np.array((2.0, 6.0, 11.0, 16.0)) * 1e-3 * shape.scale
    depth[:, 27:31] += ridge
    depth[:, 31:36] += np.array((2, 5, 8, 5, 2)) * 1e-3 * shape.scale
    return np.concatenate((plane, depth[..., None]), axis=-1)


def _jaw(shape: HeadShape) -> np.ndarray:
    side = np.linspace(-1.0, 1.0, 17)
    y = -0.97 * shape.jaw + np.abs(side) ** 1.6 * (0.97 * shape.jaw + 0.07 * shape.scale)
    edge = shape.surface(np.zeros(17), y) / shape.deep * shape.wide
    return np.stack((np.sign(side) * 0.95 * edge, y), axis=-1)


def _lips(layout: FaceLayout, mouth: np.ndarray, *, count: int, outer: bool) -> np.ndarray:
    """Lip points from the person's right corner over the upper lip, then back under the lower."""
    top = count // 2 + 1
    x = np.concatenate((np.linspace(-1, 1, top), np.linspace(1, -1, top)[1:-1]))
    upper = np.where(np.arange(count) < top, 1.0, -1.0)
    arch = np.maximum(1 - x**2, 0.0)
    gap = layout.gap * mouth[:, None] * arch
    thick = layout.lip * np.sqrt(arch) if outer else 0.0 * arch
    y = layout.mouth_y + layout.curve * (x**2 - 0.5) + upper * (gap + thick)
    wide = layout.mouth_half * (1.0 if outer else 0.9)
    return np.stack((np.broadcast_to(x * wide, y.shape), y), axis=-1)
