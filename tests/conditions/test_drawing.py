from pathlib import Path

import numpy as np
import pytest

from quickstep.conditions.drawing import draw_skeletons
from quickstep.conditions.openpose import OpenPoses


def upstream_poses(arrays: dict[str, np.ndarray], prefix: str) -> OpenPoses:
    """The fixture's arrays, in units of the picture's sides, as poses in pixels."""
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
def fixture(shared: Path) -> dict[str, np.ndarray]:
    with np.load(shared / "fixtures" / "unianimate_pose_align.npz") as arrays:
        return {name: arrays[name] for name in arrays.files}


def test_pictures_equal_upstreams(fixture: dict[str, np.ndarray]):
    drawn = draw_skeletons(upstream_poses(fixture, "out/vid"))
    np.testing.assert_array_equal(drawn[..., ::-1], fixture["out/img_bgr_as_written"])
    drawn = draw_skeletons(upstream_poses(fixture, "in/ref"))
    np.testing.assert_array_equal(drawn[0, ..., ::-1], fixture["out/img_ref"])
