from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstep.conditions.body import BodyError, BodyMesh, BodyMotion, mesh_poses, read_smpl
from quickstep.conditions.body.keypoints import SMPL_VERTICES


@pytest.fixture
def mesh(tmp_path: Path, model_file: Path, motion_fields: dict[str, Any]) -> BodyMesh:
    np.savez(tmp_path / "motion.npz", **motion_fields)
    return BodyMotion.read(tmp_path / "motion.npz").mesh(read_smpl(model_file))


def test_limbs_are_where_the_joints_project(mesh: BodyMesh):
    poses = mesh_poses(mesh)
    assert mesh.joints is not None
    assert (poses.size, poses.fps, len(poses)) == ((64, 96), 15.0, 3)
    assert poses.visible[:, 5:17].all() and poses.visible.sum() == 3 * 12
    left_wrist = mesh.joints[:, 20] + mesh.cam_t
    expected = left_wrist[:, :2] / left_wrist[:, 2:] * 120 + (32, 48)
    np.testing.assert_allclose(poses.keypoints[:, 9], expected, atol=1e-4)
    # the person faces the camera: its left is on the picture's right
    assert (poses.keypoints[:, 5, 0] > poses.keypoints[:, 6, 0]).all()


def test_joints_far_outside_are_not_marked(mesh: BodyMesh):
    poses = mesh_poses(replace(mesh, cam_t=mesh.cam_t + (1.0, 0, 0)))
    assert not poses.visible[0, 9] and poses.visible[0, 10]


def test_a_nose_behind_the_head_is_not_marked():
    """SMPL's number of vertices, all of them at the origin but the nose."""
    verts = np.zeros((2, SMPL_VERTICES, 3), dtype=np.float32)
    verts[:, 332] = [(0, 0, -0.1), (0, 0, 0.1)]
    mesh = BodyMesh(
        verts,
        faces=np.array([[0, 1, 2]]),
        part=np.zeros(SMPL_VERTICES, dtype=np.int64),
        cam_t=np.tile([[0, 0, 3.0]], (2, 1)),
        focal=100.0,
        size=(32, 32),
        joints=np.zeros((2, 24, 3)),
    )
    poses = mesh_poses(mesh, depth=np.full((2, 32, 32), 3.0, dtype=np.float32))
    assert poses.visible[:, 0].tolist() == [True, False]
    assert mesh_poses(mesh).visible[:, 0].all()
    assert poses.visible[:, 5:17].all() and poses.fps == 30.0


def test_without_joints_it_says_what_is_missing(mesh: BodyMesh):
    with pytest.raises(BodyError, match="has no joints .* by quickstep maps with --skeleton"):
        mesh_poses(replace(mesh, joints=None))
