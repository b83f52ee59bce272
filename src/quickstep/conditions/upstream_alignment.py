"""UniAnimate's own alignment of poses, kept exactly, for results that must match its."""

from dataclasses import replace

import numpy as np
from jaxtyping import Float

from quickstep.conditions.openpose import OpenPoses
from quickstep.conditions.order import LEFT_TOES, NECK, RIGHT_TOES

_LEFT, _RIGHT = 0, 1

# Each bone: upper joint, lower joint, joints that move with the lower one, hand that does.
_BONES: tuple[tuple[int, int, tuple[int, ...], int | None], ...] = (
    (NECK, 0, (0, 14, 15, 16, 17), None),
    (NECK, 2, (2, 3, 4), _RIGHT),
    (NECK, 5, (5, 6, 7), _LEFT),
    (2, 3, (3, 4), _RIGHT),
    (3, 4, (4,), _RIGHT),
    (5, 6, (6, 7), _LEFT),
    (6, 7, (7,), _LEFT),
    (0, 14, (14, 16), None),
    (0, 15, (15, 17), None),
    (14, 16, (16,), None),
    (15, 17, (17,), None),
    (8, 9, (9, 10, RIGHT_TOES), None),
    (9, 10, (10, RIGHT_TOES), None),
    (11, 12, (12, 13, LEFT_TOES), None),
    (12, 13, (13, LEFT_TOES), None),
)


def align_upstream(dance: OpenPoses, reference: OpenPoses) -> OpenPoses:
    """Aligns a dance to a reference as UniAnimate's `run_align_pose` does.

    All coordinates are shares of the picture's sides. The first frame gives a scale for x
    (shoulder width) and y (shoulders to hips), then a ratio for each of 15 bones; at last its
    neck is moved onto the reference's. The first frame must show the whole body facing the
    camera: a missing or turned shoulder gives a wild or negative scale, and nothing guards
    against it. Use `alignment.align_poses` unless upstream's very numbers are wanted.

    Args:
        dance: the driving poses.
        reference: one frame, the pose in the reference picture.

    Returns:
        The dance in the reference's picture, hidden points moved like all others.
    """
    body, hands, face = (
        np.asarray(one, dtype=np.float64) / dance.size
        for one in (dance.body, dance.hands, dance.face)
    )
    target = np.asarray(reference.body[0], dtype=np.float64) / reference.size
    scale = _first_scale(body[0], target)
    body, hands, face = body * scale, hands * scale, face * scale
    ratios = [_length(target, bone) / _length(body[0], bone) for bone in _BONES]
    for (upper, lower, joints, hand), ratio in zip(_BONES, ratios, strict=True):
        shift = (body[:, upper] - body[:, lower]) * (1 - ratio)
        body[:, joints] += shift[:, None]
        if hand is not None:
            hands[:, hand] += shift[:, None]
    offset = target[NECK] - body[0, NECK]
    body, hands, face = ((one + offset) * np.asarray(reference.size) for one in (body, hands, face))
    return replace(dance, body=body, hands=hands, face=face, size=reference.size)


def _first_scale(
    first: Float[np.ndarray, "j 2"], target: Float[np.ndarray, "j 2"]
) -> Float[np.ndarray, " 2"]:
    def measures(body: np.ndarray) -> np.ndarray:
        trunk = (body[8, 1] + body[11, 1]) / 2 - (body[2, 1] + body[5, 1]) / 2
        return np.array([body[5, 0] - body[2, 0], trunk])

    return measures(target) / measures(first)


def _length(body: Float[np.ndarray, "j 2"], bone: tuple) -> float:
    return float(np.hypot(*(body[bone[0]] - body[bone[1]])))
