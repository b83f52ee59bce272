"""Kinematics: the 24 joints of a body in a pose, as SMPL orders them, with a frame at each bone.

World axes: y up, the floor at y = 0; a person with yaw 0 looks along z and has its left at x.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from quickstep.data.dancer.identity import Body
from quickstep.data.dancer.motion import Pose

JOINTS = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 "
    "left_foot right_foot neck left_collar right_collar head left_shoulder right_shoulder "
    "left_elbow right_elbow left_wrist right_wrist left_hand right_hand"
).split()
"""SMPL's joints in its order; the part map holds this index + 1, and 0 for no body."""

JOINT = {name: index for index, name in enumerate(JOINTS)}


@dataclass(frozen=True)
class Skeleton:
    """Joints and bone frames of n moments.

    Attributes:
        joints: positions in metres, world axes, in the order of `JOINTS`.
        frames: a rotation for each joint, columns x, y, z of the bone that starts there. On limbs
            y points along the bone to the next joint; on hands z is the palm's normal and x
            points to the thumb.
    """

    joints: Float[np.ndarray, "n 24 3"]
    frames: Float[np.ndarray, "n 24 3 3"]
    curl: Float[np.ndarray, "n 2"]


def unit(vector: np.ndarray) -> np.ndarray:
    """The vector scaled to length 1 (along the last axis)."""
    length = np.sqrt((vector * vector).sum(-1, keepdims=True))
    return vector / np.maximum(length, 1e-9)


def frame_along(direction: np.ndarray, *, x_hint: np.ndarray) -> np.ndarray:
    """A rotation whose y is `direction` and whose x is as near to `x_hint` as that allows."""
    y = unit(direction)
    x = unit(x_hint - (x_hint * y).sum(-1, keepdims=True) * y)
    z = x[..., [1, 2, 0]] * y[..., [2, 0, 1]] - x[..., [2, 0, 1]] * y[..., [1, 2, 0]]
    return np.stack((x, y, z), axis=-1)


def rotation(angles: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 3 3"]:
    """Turn by yaw about y, then roll about z, then pitch about x: R = Ry Rz Rx of (x, y, z)."""
    sin, cos = np.sin(angles), np.cos(angles)
    zero, one = np.zeros(len(angles)), np.ones(len(angles))

    def matrix(*rows: np.ndarray) -> np.ndarray:
        return np.stack(rows, axis=-1).reshape(-1, 3, 3)

    pitch = matrix(one, zero, zero, zero, cos[:, 0], -sin[:, 0], zero, sin[:, 0], cos[:, 0])
    yaw = matrix(cos[:, 1], zero, sin[:, 1], zero, one, zero, -sin[:, 1], zero, cos[:, 1])
    roll = matrix(cos[:, 2], -sin[:, 2], zero, sin[:, 2], cos[:, 2], zero, zero, zero, one)
    return yaw @ roll @ pitch


def apply(frame: np.ndarray, point: np.ndarray) -> np.ndarray:
    """A point given in a frame, in the axes the frame itself is given in."""
    return (frame @ np.asarray(point)[..., None])[..., 0]


def leg_length(body: Body) -> float:
    """Hip to ankle, in metres: the unit that dances are written in."""
    return 0.462 * body.stature


def solve(body: Body, pose: Pose) -> Skeleton:
    """The joints of `body` doing what `pose` asks; feet stay where asked, knees follow (IK)."""
    count = len(pose.yaw)
    joints, frames = np.zeros((count, 24, 3)), np.zeros((count, 24, 3, 3))
    frames[:] = np.eye(3)
    facing = rotation(np.stack((0 * pose.yaw, pose.yaw, 0 * pose.yaw), axis=-1))
    _trunk(body, pose, facing=facing, joints=joints, frames=frames)
    for side in range(2):
        _arm(body, pose, side=side, joints=joints, frames=frames)
        _leg(body, pose, side=side, facing=facing, joints=joints, frames=frames)
    return Skeleton(joints=joints, frames=frames, curl=pose.curl)


def _foot_targets(body: Body, pose: Pose, facing: np.ndarray) -> np.ndarray:
    leg = leg_length(body)
    target = pose.foot * leg
    target[..., 1] += 0.045 * body.stature
    return apply(facing[:, None], target)


def _trunk(
    body: Body, pose: Pose, *, facing: np.ndarray, joints: np.ndarray, frames: np.ndarray
) -> None:
    """Pelvis, low enough for both feet to reach their places, and the chain up to the head."""
    tall, leg = body.stature, leg_length(body)
    pelvis = facing @ rotation(pose.pelvis)
    place = apply(facing, pose.shift * leg)
    place[:, 1] += 0.53 * tall
    targets = _foot_targets(body, pose, facing)
    for side, name in enumerate(("left_hip", "right_hip")):
        offset = apply(pelvis, np.array(((1, -1)[side] * 0.052 * body.hips, -0.023, 0.0)) * tall)
        flat = (place + offset - targets[:, side])[:, [0, 2]]
        reach = np.sqrt(np.maximum((0.992 * leg) ** 2 - (flat**2).sum(-1), (0.4 * leg) ** 2))
        place[:, 1] = np.minimum(place[:, 1], targets[:, side, 1] + reach - offset[:, 1])
        joints[:, JOINT[name]] = offset
    for name in ("left_hip", "right_hip"):
        joints[:, JOINT[name]] += place
    joints[:, 0], frames[:, 0] = place, pelvis
    third = rotation(pose.spine / 3.0)
    steps = (("spine1", 0.055), ("spine2", 0.075), ("spine3", 0.075), ("neck", 0.092))
    point, frame = place, pelvis
    for name, rise in steps:
        point = point + apply(frame, np.array((0.0, rise * tall, 0.0)))
        frame = frame @ (third if name != "neck" else rotation(0.4 * pose.head))
        joints[:, JOINT[name]], frames[:, JOINT[name]] = point, frame
    joints[:, 15] = point + apply(frame, np.array((0.0, 0.040, 0.006)) * tall)
    frames[:, 15] = frame @ rotation(0.6 * pose.head)


def _arm(body: Body, pose: Pose, *, side: int, joints: np.ndarray, frames: np.ndarray) -> None:
    sign, tall = (1, -1)[side], body.stature
    chest, neck = frames[:, 9], joints[:, 12]
    rise = np.stack((0 * pose.yaw, pose.shrug[:, side], 0 * pose.yaw), axis=-1) * 0.1 * tall
    collar = neck + apply(chest, np.array((sign * 0.03, -0.014, 0.0)) * tall)
    shoulder = neck + apply(
        chest, np.array((sign * 0.102 * body.shoulders, -0.022, -0.004)) * tall + rise
    )
    upper = apply(chest, unit(pose.upper_arm[:, side]))
    fore = apply(chest, unit(pose.forearm[:, side]))
    elbow = shoulder + upper * 0.163 * tall
    wrist = elbow + fore * 0.145 * tall
    x, y, z = chest[..., 0], chest[..., 1], chest[..., 2]
    ahead, up = (fore * z).sum(-1, keepdims=True), (fore * y).sum(-1, keepdims=True)
    inward = -sign * 0.6 * np.maximum(up, 0.0)
    thumb = x * inward + y * (ahead + 0.35) + z * (0.25 - up)
    palm = frame_along(fore, x_hint=thumb)
    bend = np.zeros((len(fore), 3))
    bend[:, 0] = pose.wrist[:, side]
    palm = palm @ rotation(bend)
    names = ("collar", "shoulder", "elbow", "wrist", "hand")
    points = (collar, shoulder, elbow, wrist, wrist + palm[..., 1] * 0.052 * tall)
    bones = (frame_along(shoulder - collar, x_hint=y), frame_along(upper, x_hint=z))
    for name, point in zip(names, points, strict=True):
        joints[:, JOINT[f"{('left', 'right')[side]}_{name}"]] = point
    for name, frame in zip(names, (*bones, frame_along(fore, x_hint=z), palm, palm), strict=True):
        frames[:, JOINT[f"{('left', 'right')[side]}_{name}"]] = frame


def _leg(
    body: Body,
    pose: Pose,
    *,
    side: int,
    facing: np.ndarray,
    joints: np.ndarray,
    frames: np.ndarray,
) -> None:
    """Two bones between hip and foot; the knee bends to the front and a little outward."""
    sign, leg = (1, -1)[side], leg_length(body)
    hip, ankle = joints[:, 1 + side], _foot_targets(body, pose, facing)[:, side]
    upper, lower = 0.52 * leg, 0.48 * leg
    line = ankle - hip
    reach = np.clip(np.linalg.norm(line, axis=-1, keepdims=True), 0.3 * leg, 0.999 * leg)
    along = (upper**2 - lower**2 + reach**2) / (2 * reach)
    out = np.sqrt(np.maximum(upper**2 - along**2, 0.0))
    aim = facing[..., 2] + 0.35 * sign * facing[..., 0]
    down = unit(line)
    front = unit(aim - (aim * down).sum(-1, keepdims=True) * down)
    knee = hip + down * along + front * out
    angles = np.zeros((len(hip), 3))
    angles[:, 1] = sign * pose.foot_yaw[:, side]
    angles[:, 0] = np.clip(2.2 * pose.foot[:, side, 1], 0.0, 0.7)  # a lifted foot points down
    foot = facing @ rotation(angles)
    toe = ankle + apply(foot, np.array((0.0, -0.026, 0.075)) * body.stature)
    left = facing[..., 0]
    for base, point in ((4, knee), (7, ankle), (10, toe)):
        joints[:, base + side] = point
    frames[:, 1 + side] = frame_along(knee - hip, x_hint=left)
    frames[:, 4 + side] = frame_along(ankle - knee, x_hint=left)
    frames[:, 7 + side] = frames[:, 10 + side] = foot
