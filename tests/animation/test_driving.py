import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstep.animation.driving import read_driving
from quickstep.conditions.body import BodyError, BodyMesh
from quickstep.conditions.skeleton import Poses
from quickstep.data.dancer_folders import write_dancer_clips


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dancer") / "clips"
    return write_dancer_clips(out, num_clips=1, num_frames=3, size=48, seed=5)[0]


def test_a_body_in_its_clip_folder_dances_by_the_folders_skeletons(clip: Path):
    driving = read_driving(clip / "body.npz")
    expected = Poses.read(clip / "skeletons.npz")
    np.testing.assert_array_equal(driving.poses.keypoints, expected.keypoints)
    assert driving.body is not None and len(driving.body) == 3
    assert read_driving(clip).body is None


def test_a_body_alone_dances_by_its_joints(clip: Path, tmp_path: Path):
    shutil.copy(clip / "body.npz", tmp_path / "body.npz")
    driving, truth = read_driving(tmp_path / "body.npz"), Poses.read(clip / "skeletons.npz")
    assert (driving.poses.size, driving.poses.fps) == (truth.size, truth.fps)
    both = driving.poses.visible & truth.visible
    assert both[:, 5:11].mean() > 0.8  # half a body is in the picture
    limbs = np.abs(driving.poses.keypoints - truth.keypoints)[both]
    assert limbs.max() < 3  # pixels; hips are marked lower than SMPL's joints lie


def test_bodies_that_cannot_dance_are_named(
    clip: Path, tmp_path: Path, motion_fields: dict[str, Any]
):
    mesh = BodyMesh.read(clip / "body.npz")
    replace(mesh, joints=None).write(tmp_path / "bare.npz")
    with pytest.raises(BodyError, match=r"bare\.npz: the mesh has no joints"):
        read_driving(tmp_path / "bare.npz")
    np.savez(tmp_path / "motion.npz", **motion_fields)
    with pytest.raises(BodyError, match=r"motion\.npz --smpl SMPL\.npz -o MAPS.* animate goes"):
        read_driving(tmp_path / "motion.npz")
    shutil.copy(clip / "skeletons.npz", tmp_path / "skeletons.npz")
    mesh[:2].write(tmp_path / "body.npz")
    with pytest.raises(BodyError, match=r"body\.npz: 2 frames, but .*skeletons\.npz has 3"):
        read_driving(tmp_path / "body.npz")
