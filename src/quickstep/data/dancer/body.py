"""The body as solids on the skeleton: the same list of solids, in the same order, for everyone."""

from dataclasses import dataclass

import numpy as np

from quickstep.data.dancer.identity import Body, Face
from quickstep.data.dancer.skeleton import JOINT, Skeleton, apply
from quickstep.data.dancer.solids import Solids, SolidsBuilder

SIDES = ("left", "right")
FINGERS = ("thumb", "index", "middle", "ring", "little")

_TRUNK = ("pelvis", "belly", "waist", "chest", "bust_left", "bust_right", "neck", "head", "nose")
_SIDE = ("ear", "collar", "upper_arm", "forearm", "palm", "thigh", "shin", "heel", "toe")

SOLIDS: tuple[str, ...] = (
    *_TRUNK,
    *(f"{name}_{side}" for side in SIDES for name in (*_SIDE, *FINGERS)),
)
"""Names of the body's solids, in the order of `body_solids`."""

SOLID = {name: index for index, name in enumerate(SOLIDS)}


@dataclass(frozen=True)
class HeadShape:
    """The skull as one rounded cone from jaw to cranium, in the head's frame, metres.

    The origin of face coordinates is the jaw sphere's centre; x to the person's left, y up,
    z to the front.
    """

    jaw: float
    cranium: float
    length: float
    wide: float
    deep: float
    scale: float

    origin = np.array((0.0, 0.012, 0.02))

    def surface(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Depth z of the face's surface over face coordinates (x, y); 0 outside the outline."""
        slope = (self.jaw - self.cranium) / self.length
        cos = np.sqrt(1 - slope**2)
        low, high = self.jaw * slope, self.length + self.cranium * slope
        share = np.clip((y - low) / (high - low), 0.0, 1.0)
        middle = (self.jaw + (self.cranium - self.jaw) * share) * cos
        under = np.sqrt(np.maximum(self.jaw**2 - y**2, 0.0))
        over = np.sqrt(np.maximum(self.cranium**2 - (y - self.length) ** 2, 0.0))
        radius = np.where(y < low, under, np.where(y > high, over, middle))
        return np.asarray(self.deep * np.sqrt(np.maximum(radius**2 - (x / self.wide) ** 2, 0.0)))


def head_shape(body: Body, face: Face) -> HeadShape:
    """The skull of a person. Heads are a little larger than life, so that faces read at 128 px."""
    scale = 1.2 * body.head * (body.stature / 1.72) ** 0.5
    return HeadShape(
        jaw=0.056 * scale * face.jaw,
        cranium=0.088 * scale,
        length=0.088 * scale,
        wide=0.91 * face.width,
        deep=1.06,
        scale=scale,
    )


def body_solids(body: Body, face: Face, skeleton: Skeleton) -> Solids:
    """The bare body (no hair, no loose garments) in every moment of `skeleton`."""
    builder = SolidsBuilder(count=len(skeleton.joints))
    _trunk(builder, body, skeleton)
    shape = head_shape(body, face)
    _head(builder, shape, face, skeleton)
    for side in range(2):
        _arm(builder, body, shape, skeleton, side=side)
        _leg(builder, body, skeleton, side=side)
        _fingers(builder, body, skeleton, side=side)
    return builder.build()


def _trunk(builder: SolidsBuilder, body: Body, skeleton: Skeleton) -> None:
    tall, fat = body.stature / 1.72, body.weight
    joints, frames = skeleton.joints, skeleton.frames
    pelvis, belly, chest = frames[:, 0], frames[:, 3], frames[:, 9]
    left = pelvis[..., 0]
    hip = 0.088 * tall * body.hips
    side = apply(pelvis, np.array((0.062 * body.hips * tall, 0.0, 0.0)))
    middle = joints[:, 0] - pelvis[..., 1] * 0.015 * tall
    up = apply(pelvis, np.array((0.0, 1.0, 0.0)))
    builder.cone(
        middle - side,
        middle + side,
        radii=(hip + 0.012 * fat, hip + 0.012 * fat),
        part=0,
        x_hint=up,
        stretch=(1.22, 1.0 + 0.25 * fat),
    )
    waist = (0.078 + 0.032 * fat - 0.008 * (body.hips - 0.95) / 0.2) * tall
    builder.cone(
        joints[:, 0] + up * 0.075 * tall,
        joints[:, 6],
        radii=(waist * 1.08, waist),
        part=JOINT["spine1"],
        x_hint=belly[..., 0],
        stretch=(1.38 - 0.12 * (1 - body.weight) * body.bust, 0.98 + 0.30 * fat),
    )
    rib = (0.092 + 0.018 * fat) * tall
    builder.cone(
        joints[:, 6],
        joints[:, 9] - chest[..., 1] * 0.01 * tall,
        radii=(waist, 0.95 * rib),
        part=JOINT["spine2"],
        x_hint=chest[..., 0],
        stretch=(1.36, 1.0 + 0.16 * fat),
    )
    top = joints[:, 9] + apply(chest, np.array((0.0, 0.105, -0.008)) * tall)
    builder.cone(
        joints[:, 9],
        top,
        radii=(0.91 * rib / body.shoulders, 0.068 * tall),
        part=JOINT["spine3"],
        x_hint=chest[..., 0],
        stretch=(1.50 * body.shoulders, 1.1 * body.shoulders + 0.08 * body.muscle),
    )
    cup = (0.042 + 0.020 * body.bust) * tall if body.bust > 0.1 else 0.0
    place = joints[:, 9] + apply(chest, np.array((0.0, 0.02, 0.030 + 0.030 * body.bust)) * tall)
    aside = chest[..., 0] * 0.058 * tall
    size = (1.2 * cup, 1.15 * cup, (0.55 + 0.35 * body.bust) * cup)
    for sign in (1.0, -1.0):
        builder.ball(place + sign * aside, chest, size=size, part=JOINT["spine3"])
    thick = (0.046 + 0.012 * body.muscle + 0.006 * fat) * tall
    builder.cone(
        joints[:, 12] - chest[..., 1] * 0.03 * tall,
        joints[:, 15] + frames[:, 15][..., 2] * 0.01,
        radii=(thick * 1.12, thick),
        part=JOINT["neck"],
        x_hint=left,
    )


def _head(builder: SolidsBuilder, shape: HeadShape, face: Face, skeleton: Skeleton) -> None:
    frame, joint = skeleton.frames[:, 15], skeleton.joints[:, 15]
    origin = joint + apply(frame, shape.origin)
    part, scale = JOINT["head"], shape.scale
    builder.cone(
        origin,
        origin + frame[..., 1] * shape.length,
        radii=(shape.jaw, shape.cranium),
        part=part,
        x_hint=frame[..., 0],
        stretch=(shape.wide, shape.deep),
    )
    tip = np.array((0.0, 0.031 * scale, float(shape.surface(np.zeros(1), np.zeros(1) + 0.03)[0])))
    root = tip + np.array((0.0, 0.026 * scale, -0.003))
    builder.cone(
        origin + apply(frame, tip + np.array((0.0, 0.0, 0.005 * face.nose * scale))),
        origin + apply(frame, root),
        radii=(0.0115 * face.nose * scale, 0.007 * scale),
        part=part,
        x_hint=frame[..., 0],
    )


def _arm(
    builder: SolidsBuilder, body: Body, shape: HeadShape, skeleton: Skeleton, *, side: int
) -> None:
    tall, heavy = body.stature / 1.72, 0.010 * body.weight + 0.007 * body.muscle
    joints, frames, name = skeleton.joints, skeleton.frames, SIDES[side]
    head = frames[:, 15]
    ear = joints[:, 15] + apply(
        head,
        shape.origin
        + np.array(((1, -1)[side] * 0.0775 * shape.wide / 0.91, 0.070, -0.022)) * shape.scale,
    )
    builder.ball(ear, head, size=(0.014, 0.034, 0.021), part=JOINT["head"])
    shoulder, elbow = joints[:, JOINT[f"{name}_shoulder"]], joints[:, JOINT[f"{name}_elbow"]]
    wrist, hand = joints[:, JOINT[f"{name}_wrist"]], joints[:, JOINT[f"{name}_hand"]]
    collar = joints[:, JOINT[f"{name}_collar"]]
    builder.cone(
        collar - frames[:, 9][..., 1] * 0.012,
        shoulder,
        radii=(0.046 * tall, 0.042 * tall + heavy),
        part=JOINT[f"{name}_collar"],
        x_hint=frames[:, 9][..., 1],
    )
    upper, fore, palm = (
        frames[:, JOINT[f"{name}_{joint}"]] for joint in ("shoulder", "elbow", "hand")
    )
    builder.cone(
        shoulder,
        elbow,
        radii=(0.041 * tall + heavy, 0.032 * tall + 0.7 * heavy),
        part=JOINT[f"{name}_shoulder"],
        x_hint=upper[..., 0],
    )
    builder.cone(
        elbow,
        wrist,
        radii=(0.034 * tall + 0.6 * heavy, 0.023 * tall + 0.3 * heavy),
        part=JOINT[f"{name}_elbow"],
        x_hint=fore[..., 0],
    )
    builder.cone(
        wrist,
        hand,
        radii=(0.027 * tall, 0.037 * tall),
        part=JOINT[f"{name}_wrist"],
        x_hint=palm[..., 0],
        stretch=(1.0, 0.52),
    )


def finger_points(body: Body, skeleton: Skeleton, *, side: int) -> np.ndarray:
    """The four joints of each finger, thumb first: (n, 5, 4, 3) metres, world axes."""
    name = SIDES[side]
    palm, wrist = skeleton.frames[:, JOINT[f"{name}_hand"]], skeleton.joints[:, 20 + side]
    curl = skeleton.curl[:, side, None]
    scale = body.stature / 1.72
    # A palm's z turns with the hand: fingers curl to the side that faces the body.
    inward = (1.0, -1.0)[side]
    points = np.zeros((len(wrist), 5, 4, 3))
    for finger in range(5):
        thumb = finger == 0
        spread = 0.85 - 0.35 * curl if thumb else (0.22 - 0.14 * (finger - 1)) * (1 - 0.6 * curl)
        start = (
            np.array((0.026, 0.022, 0.0)) if thumb else np.array((0.044 - 0.020 * finger, 0.1, 0.0))
        )
        if not thumb:
            start[0] += 0.006
        reach = (0.068, 0.074, 0.082, 0.077, 0.062)[finger]
        bend = 0.25 + (0.5 if thumb else 1.25) * curl
        ahead = np.concatenate(
            (np.sin(spread) * np.cos(bend), np.cos(spread) * np.cos(bend), inward * np.sin(bend)),
            -1,
        )
        first = wrist + apply(palm, start * scale)
        for joint in range(4):
            points[:, finger, joint] = first + apply(palm, ahead) * (reach * scale * joint / 3)
    return points


def _fingers(builder: SolidsBuilder, body: Body, skeleton: Skeleton, *, side: int) -> None:
    points = finger_points(body, skeleton, side=side)
    palm = skeleton.frames[:, 22 + side]
    for finger in range(5):
        thick = (0.0125, 0.0105, 0.0110, 0.0105, 0.0095)[finger] * body.stature / 1.72
        builder.cone(
            points[:, finger, 0],
            points[:, finger, 3],
            radii=(1.1 * thick, 0.9 * thick),
            part=22 + side,
            x_hint=palm[..., 0],
        )


def _leg(builder: SolidsBuilder, body: Body, skeleton: Skeleton, *, side: int) -> None:
    tall, heavy = body.stature / 1.72, 0.020 * body.weight + 0.008 * body.muscle
    joints, frames, name = skeleton.joints, skeleton.frames, SIDES[side]
    hip, knee, ankle = (joints[:, JOINT[f"{name}_{at}"]] for at in ("hip", "knee", "ankle"))
    foot, left = frames[:, JOINT[f"{name}_foot"]], frames[:, 0][..., 0]
    builder.cone(
        hip,
        knee,
        radii=(0.076 * tall * body.hips + heavy, 0.050 * tall + 0.5 * heavy),
        part=JOINT[f"{name}_hip"],
        x_hint=left,
    )
    builder.cone(
        knee,
        ankle,
        radii=(0.052 * tall + 0.5 * heavy, 0.034 * tall + 0.2 * heavy),
        part=JOINT[f"{name}_knee"],
        x_hint=left,
    )
    down, front = -foot[..., 1], foot[..., 2]
    builder.cone(
        ankle + (down * 0.034 - front * 0.022) * tall,
        ankle + (down * 0.036 + front * 0.07) * tall,
        radii=(0.041 * tall, 0.040 * tall),
        part=JOINT[f"{name}_ankle"],
        x_hint=foot[..., 0],
    )
    builder.cone(
        ankle + (down * 0.042 + front * 0.075) * tall,
        ankle + (down * 0.046 + front * 0.150) * tall,
        radii=(0.038 * tall, 0.029 * tall),
        part=JOINT[f"{name}_foot"],
        x_hint=foot[..., 0],
        stretch=(1.12, 0.92),
    )
