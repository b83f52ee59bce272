"""Poses in OpenPose's order of joints, the one that skeleton pictures are drawn in."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from quickstep.conditions.order import (
    COCO_OF_JOINT,
    FACE,
    LEFT_HAND,
    LEFT_TOES,
    NECK,
    NUM_KEYPOINTS,
    RIGHT_HAND,
    RIGHT_TOES,
)
from quickstep.conditions.skeleton import Poses


@dataclass(frozen=True)
class OpenPoses:
    """Poses in OpenPose's order, with the neck and the toes as joints of their own.

    Attributes:
        body: pixels of 18 OpenPose joints, then left and right toes (UniAnimate's two).
        body_visible: which of them may be drawn.
        hands: pixels of 21 points; the first hand is the left one.
        hands_visible: which of them may be drawn.
        face: pixels of the 68 face points.
        face_visible: which of them may be drawn.
        size: (width, height) of the picture.
        fps: frames per second.
    """

    body: Float[np.ndarray, "f 20 2"]
    body_visible: Bool[np.ndarray, "f 20"]
    hands: Float[np.ndarray, "f 2 21 2"]
    hands_visible: Bool[np.ndarray, "f 2 21"]
    face: Float[np.ndarray, "f 68 2"]
    face_visible: Bool[np.ndarray, "f 68"]
    size: tuple[int, int]
    fps: float | int

    @classmethod
    def of(cls, poses: Poses) -> "OpenPoses":
        """Reorders COCO-WholeBody's points; neck: middle of the shoulders; toes: of two toes.

        A foot with one visible toe ends there; without any it is hidden.
        """
        points, visible = poses.keypoints, poses.visible
        num_frames = len(poses)
        body = np.zeros((num_frames, 20, 2), dtype=points.dtype)
        body_visible = np.zeros((num_frames, 20), dtype=np.bool_)
        joints = [joint for joint, coco in enumerate(COCO_OF_JOINT) if coco >= 0]
        cocos = [COCO_OF_JOINT[joint] for joint in joints]
        body[:, joints], body_visible[:, joints] = points[:, cocos], visible[:, cocos]
        body[:, NECK], body_visible[:, NECK] = poses.neck()
        for joint, pair in ((LEFT_TOES, (17, 18)), (RIGHT_TOES, (20, 21))):
            seen = visible[:, pair]
            weight = np.where(seen.any(axis=1, keepdims=True), seen, True)[..., None]
            body[:, joint] = (points[:, pair] * weight).sum(axis=1) / weight.sum(axis=1)
            body_visible[:, joint] = seen.any(axis=1)
        return cls(
            body=body,
            body_visible=body_visible,
            hands=np.stack([points[:, LEFT_HAND], points[:, RIGHT_HAND]], axis=1),
            hands_visible=np.stack([visible[:, LEFT_HAND], visible[:, RIGHT_HAND]], axis=1),
            face=points[:, FACE],
            face_visible=visible[:, FACE],
            size=poses.size,
            fps=poses.fps,
        )

    def coco(self, *, scores: Float[np.ndarray, "f 133"] | None = None) -> Poses:
        """Back to COCO-WholeBody: both toes of a foot at its one joint, heels hidden, no neck."""
        num_frames = len(self.body)
        points = np.zeros((num_frames, NUM_KEYPOINTS, 2), dtype=np.float32)
        visible = np.zeros((num_frames, NUM_KEYPOINTS), dtype=np.bool_)
        for joint, coco in enumerate(COCO_OF_JOINT):
            if coco >= 0:
                points[:, coco], visible[:, coco] = self.body[:, joint], self.body_visible[:, joint]
        for joint, pair in ((LEFT_TOES, [17, 18]), (RIGHT_TOES, [20, 21])):
            points[:, pair] = self.body[:, joint, None]
            visible[:, pair] = self.body_visible[:, joint, None]
        points[:, FACE], visible[:, FACE] = self.face, self.face_visible
        for side, hand in enumerate((LEFT_HAND, RIGHT_HAND)):
            points[:, hand], visible[:, hand] = self.hands[:, side], self.hands_visible[:, side]
        points[~visible] = 0.0
        if scores is None:
            scores = visible.astype(np.float32)
        return Poses(points, scores=scores, visible=visible, size=self.size, fps=self.fps)
