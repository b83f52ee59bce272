"""The 133 keypoints of COCO-WholeBody as points on the body, in metres.

Order: 17 body, 6 feet, 68 face (iBUG), 21 left hand, 21 right hand.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quickstep.data.dancer.body import HeadShape, finger_points
from quickstep.data.dancer.face import FaceLayout, landmarks
from quickstep.data.dancer.identity import Body
from quickstep.data.dancer.motion import Pose
from quickstep.data.dancer.skeleton import JOINT, Skeleton, apply

NUM_KEYPOINTS = 133
FACE = slice(23, 91)
LEFT_HAND = slice(91, 112)
RIGHT_HAND = slice(112, 133)

_BODY = "shoulder elbow wrist hip knee ankle".split()


@dataclass(frozen=True)
class BodyPoints:
    """Keypoints in space.

    Attributes:
        points: metres, world axes.
        depth_inside: how far below the visible surface each point may lie, in metres: a joint
            lies inside its limb, a mouth corner on the skin.
    """

    points: Float[np.ndarray, "n 133 3"]
    depth_inside: Float[np.ndarray, " 133"]


def body_points(
    body: Body, shape: HeadShape, layout: FaceLayout, *, pose: Pose, skeleton: Skeleton
) -> BodyPoints:
    """All keypoints in every moment of `skeleton`."""
    joints, frames = skeleton.joints, skeleton.frames
    count, tall = len(joints), body.stature / 1.72
    points = np.zeros((count, NUM_KEYPOINTS, 3))
    head, origin = frames[:, 15], joints[:, 15] + apply(frames[:, 15], shape.origin)

    def on_head(place: np.ndarray) -> np.ndarray:
        return origin[:, None] + np.einsum("nij,nkj->nki", head, place)

    face = landmarks(layout, shape, blink=pose.blink, mouth=pose.mouth)
    points[:, FACE] = on_head(face)
    eye = shape.surface(np.array(layout.eye_x), np.array(layout.eye_y))
    nose = shape.surface(np.array(0.0), np.array(layout.nose_y)) + 0.014 * shape.scale
    ear = 0.0775 * shape.wide / 0.91 * shape.scale
    fixed = np.array(
        (
            (0.0, layout.nose_y, nose),
            (layout.eye_x, layout.eye_y, eye),
            (-layout.eye_x, layout.eye_y, eye),
            (ear + 0.006, 0.070 * shape.scale, -0.022 * shape.scale),
            (-ear - 0.006, 0.070 * shape.scale, -0.022 * shape.scale),
        )
    )
    points[:, 0:5] = on_head(np.broadcast_to(fixed, (count, 5, 3)))
    for index, name in enumerate(_BODY):
        for side, word in enumerate(("left", "right")):
            points[:, 5 + 2 * index + side] = joints[:, JOINT[f"{word}_{name}"]]
    for side in range(2):
        _feet(points, skeleton, side=side, tall=tall)
        hand = LEFT_HAND if side == 0 else RIGHT_HAND
        points[:, hand.start] = joints[:, 20 + side]
        fingers = finger_points(body, skeleton, side=side)
        points[:, hand.start + 1 : hand.stop] = fingers.reshape(count, 20, 3)
    return BodyPoints(points=points, depth_inside=_depth_inside())


def _feet(points: np.ndarray, skeleton: Skeleton, *, side: int, tall: float) -> None:
    """Big toe, small toe, heel of one foot."""
    ankle, foot, sign = skeleton.joints[:, 7 + side], skeleton.frames[:, 7 + side], (1, -1)[side]
    places = ((-sign * 0.014, -0.05, 0.172), (sign * 0.022, -0.052, 0.150), (0, -0.05, -0.052))
    for index, place in enumerate(places):
        points[:, 17 + 3 * side + index] = ankle + apply(foot, np.array(place) * tall)


def _depth_inside() -> np.ndarray:
    inside = np.full(NUM_KEYPOINTS, 0.03)
    inside[5:17] = np.repeat((0.10, 0.075, 0.055, 0.15, 0.095, 0.08), 2)
    inside[17:23] = 0.05
    inside[FACE] = 0.014
    return inside
