"""Poses that the tests share: a made-up dance, and UniAnimate's own arrays."""

from pathlib import Path

import numpy as np
import pytest

from quickstep.conditions.openpose import OpenPoses
from quickstep.conditions.order import FACE, LEFT_FOOT, LEFT_HAND, RIGHT_FOOT, RIGHT_HAND
from quickstep.conditions.skeleton import Poses

SIZE = (512, 704)


def person_at(phase: float) -> np.ndarray:
    """133 points of a person 600 px tall who swings arms, legs and head."""
    swing = np.sin(2 * np.pi * phase)
    points = np.zeros((133, 2))
    neck = np.array([256 + 20 * swing, 160 + 8 * abs(swing)])
    hip = neck + (4 * swing, 170)
    nose = neck + (12 * swing, -62)
    points[:5] = nose + [(0, 0), (14, -14), (-14, -14), (34, -8), (-34, -8)]
    for side, sign in ((0, 1), (1, -1)):
        arm, fore = 0.5 + 0.8 * swing * sign, 1.2 + 1.1 * swing
        shoulder = neck + (sign * 52, 0)
        elbow = shoulder + 88 * np.array([sign * np.sin(arm), np.cos(arm)])
        wrist = elbow + 80 * np.array([sign * np.sin(fore), np.cos(fore)])
        leg, shin = 0.12 + 0.25 * swing * sign, 0.05 - 0.2 * swing * sign
        top = hip + (sign * 32, 0)
        knee = top + 130 * np.array([sign * np.sin(leg), np.cos(leg)])
        ankle = knee + 125 * np.array([sign * np.sin(shin), np.cos(shin)])
        points[[5 + side, 7 + side, 9 + side]] = shoulder, elbow, wrist
        points[[11 + side, 13 + side, 15 + side]] = top, knee, ankle
        foot, hand = (LEFT_FOOT, LEFT_HAND) if side == 0 else (RIGHT_FOOT, RIGHT_HAND)
        points[foot] = ankle + [(sign * 22, 26), (sign * 28, 24), (-sign * 4, 12)]
        away = (wrist - elbow) / 80
        points[hand][0] = wrist + 6 * away
        fan = np.stack([away, [-away[1], away[0]]])
        for finger in range(5):
            for step in range(4):
                place = (14 + 9 * step, (finger - 2) * (4 + 2 * step)) @ fan
                points[hand][1 + 4 * finger + step] = wrist + place
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    points[FACE] = nose + (0, 2) + np.stack([24 * np.cos(angles), 30 * np.sin(angles)], axis=1)
    return points


@pytest.fixture
def dance() -> Poses:
    """Eight frames of a whole person, everything visible and inside 512x704."""
    keypoints = np.stack([person_at(phase) for phase in np.linspace(0, 0.7, 8)])
    seen = np.ones((8, 133))
    return Poses(keypoints, scores=seen, visible=seen > 0, size=SIZE, fps=30.0)


@pytest.fixture(scope="session")
def upstream_arrays(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "fixtures" / "unianimate_pose_align.npz") as file:
        return {name: file[name] for name in file.files}


def upstream_poses(arrays: dict[str, np.ndarray], prefix: str) -> OpenPoses:
    """The fixture's arrays, in shares of the picture's sides, as poses in pixels."""
    side = np.array([512, 768])
    body = arrays[f"{prefix}_body"].reshape(-1, 20, 2) * side
    hands = arrays[f"{prefix}_hands"].reshape(-1, 2, 21, 2) * side
    face = arrays[f"{prefix}_faces"].reshape(-1, 68, 2) * side
    if prefix == "in/ref":
        visible = np.ones(body.shape[:2], dtype=bool)
    else:
        visible = arrays["in/vid_subset"].reshape(-1, 20) >= 0
    return OpenPoses(
        body=body,
        body_visible=visible,
        hands=hands,
        hands_visible=np.ones(hands.shape[:3], dtype=bool),
        face=face,
        face_visible=np.ones(face.shape[:2], dtype=bool),
        size=(512, 768),
        fps=8.0,
    )


@pytest.fixture
def upstream(upstream_arrays: dict[str, np.ndarray]) -> dict[str, OpenPoses]:
    """UniAnimate's dance and reference before, and its dance after alignment."""
    return {name: upstream_poses(upstream_arrays, name) for name in ("in/vid", "in/ref", "out/vid")}
