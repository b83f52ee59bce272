"""A dancer's keypoints as a pose detector would mark them."""

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.order import FACE, LEFT_HAND, NOSE, RIGHT_EYE, RIGHT_HAND
from quickstep.conditions.skeleton import Poses
from quickstep.data.dancer import DancerClip

FRAME_MARGIN = 0.1
"""Joints this far outside, as a share of the side, are still drawn: a limb then ends beyond."""

_LEAST_OF_FACE = 0.3
_LEAST_OF_HAND = 0.25


def dancer_poses(clip: DancerClip) -> Poses:
    """The clip's poses, as a detector would have found them in its pictures."""
    return _poses(clip.keypoints.cpu().numpy(), clip.visible.cpu().numpy(), clip)


def dancer_reference_pose(clip: DancerClip) -> Poses:
    """The reference's pose, one frame; scores are 1 where a point is really seen, else 0.5."""
    keypoints, visible = clip.reference_keypoints[None], clip.reference_visible[None]
    return _poses(keypoints.cpu().numpy(), visible.cpu().numpy(), clip)


def detected(
    keypoints: Float[np.ndarray, "f 133 2"], visible: Bool[np.ndarray, "f 133"], *, size: int
) -> Bool[np.ndarray, "f 133"]:
    """Which points a detector marks, from which are really to be seen.

    A detector guesses joints behind an arm, a skirt or hair well, and DWPose's skeletons are
    whole in almost every frame. Body and feet are marked whenever they are in the frame or a
    little outside. Nose and eyes are marked, with the face, when a part of the face is seen:
    that tells front from back. A hand is marked when a quarter of its points is seen.

    Args:
        keypoints: pixels, known everywhere.
        visible: in the frame, and nothing before it.
        size: pixels a side.
    """
    margin = FRAME_MARGIN * size
    inside = _within(keypoints, 0.0, size)
    marked = _within(keypoints, -margin, size + margin)
    face = visible[:, FACE].mean(axis=1) >= _LEAST_OF_FACE
    marked[:, NOSE : RIGHT_EYE + 1] &= face[:, None] | visible[:, NOSE : RIGHT_EYE + 1].any(
        axis=1, keepdims=True
    )
    marked[:, FACE] = inside[:, FACE] & face[:, None]
    for hand in (LEFT_HAND, RIGHT_HAND):
        seen = visible[:, hand].mean(axis=1) >= _LEAST_OF_HAND
        marked[:, hand] = inside[:, hand] & seen[:, None]
    return marked


def _within(
    keypoints: Float[np.ndarray, "f 133 2"], low: float, high: float | int
) -> Bool[np.ndarray, "f 133"]:
    return np.asarray(((keypoints >= low) & (keypoints < high)).all(axis=2))


def _poses(
    keypoints: Float[np.ndarray, "f 133 2"], visible: Bool[np.ndarray, "f 133"], clip: DancerClip
) -> Poses:
    marked = detected(keypoints, visible, size=clip.size)
    scores = marked * np.where(visible, 1.0, 0.5)
    size = (clip.size, clip.size)
    return Poses(keypoints, scores=scores, visible=marked, size=size, fps=clip.fps)
