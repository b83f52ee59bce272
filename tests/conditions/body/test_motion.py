from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstep.conditions.body import BodyError, BodyMotion, read_body, read_smpl

Fields = dict[str, Any]


def saved(path: Path, **fields: Any) -> Path:
    np.savez(path, **{name: value for name, value in fields.items() if value is not None})
    return path


def test_parameters_become_a_mesh_with_joints(
    tmp_path: Path, model_file: Path, motion_fields: Fields, joints_at_rest: np.ndarray
):
    motion = BodyMotion.read(saved(tmp_path / "motion.npz", **motion_fields))
    mesh = motion.mesh(read_smpl(model_file))
    assert (len(mesh), mesh.size, mesh.focal, mesh.fps) == (3, (64, 96), 120.0, 15.0)
    assert mesh.joints is not None
    # half a turn about x stands the body, whose y is up, before a camera whose y is down
    np.testing.assert_allclose(mesh.joints[0], joints_at_rest * (1, -1, -1), atol=1e-6)
    wrist = mesh.joints[:, 20]
    assert (np.diff(wrist[:, 1]) < 0).all()  # rises in the picture
    np.testing.assert_allclose(
        wrist[2], (0.2 + 0.5 * np.cos(1), -0.45 - 0.5 * np.sin(1), 0), atol=1e-6
    )
    again = read_body(tmp_path / "motion.npz", model=read_smpl(model_file))
    np.testing.assert_array_equal(again.verts, mesh.verts)


def test_every_form_of_the_same_pose_is_the_same(tmp_path: Path, motion_fields: Fields):
    fields = motion_fields
    plain = BodyMotion.read(saved(tmp_path / "plain.npz", **fields))
    matrices = {
        "global_orient": plain.rotations[:, :1],
        "body_pose": plain.rotations[:, 1:],
        "betas": fields["betas"][:, None],
        "focal": None,
        "scaled_focal_length": fields["focal"],
        "size": None,
        "render_res": fields["size"].astype(np.float64),
    }
    as_hmr = BodyMotion.read(saved(tmp_path / "hmr.npz", **{**fields, **matrices}))
    poses = np.concatenate((fields["global_orient"], fields["body_pose"]), axis=1)
    grouped = {
        **fields,
        "global_orient": None,
        "body_pose": None,
        "poses": poses,
        "betas": fields["betas"][0],
    }
    together = BodyMotion.read(saved(tmp_path / "poses.npz", **grouped))
    for other in (as_hmr, together):
        np.testing.assert_allclose(other.rotations, plain.rotations, atol=1e-6)
        np.testing.assert_array_equal(other.betas, plain.betas)
        assert (other.size, other.focal) == (plain.size, plain.focal)
    without = BodyMotion.read(saved(tmp_path / "no.npz", **{**fields, "focal": None}))
    assert without.focal == pytest.approx(5000 / 256 * 96)


def test_a_motion_is_transferred_to_the_references_body(
    tmp_path: Path, model_file: Path, motion_fields: Fields
):
    model, driving = (
        read_smpl(model_file),
        BodyMotion.read(saved(tmp_path / "a.npz", **motion_fields)),
    )
    person = motion_fields | {
        "betas": np.array([[1.0, 0.0]], dtype=np.float32),
        "cam_t": np.tile([[0.5, 0.0, 9.0]], (3, 1)),
        "size": np.array([128, 144]),
        "focal": np.array(500.0),
    }
    reference = BodyMotion.read(saved(tmp_path / "b.npz", **person))
    kept = driving.transferred(reference).mesh(model)
    own = driving.mesh(model)
    np.testing.assert_allclose(kept.verts, 1.1 * own.verts, atol=1e-5)  # its shape, our pose
    np.testing.assert_array_equal(kept.cam_t, own.cam_t)
    assert (kept.size, kept.focal) == ((128, 144), 120 * 1.5)
    placed = driving.transferred(reference, camera="reference").mesh(model)
    np.testing.assert_array_equal(placed.verts, kept.verts)
    np.testing.assert_array_equal(placed.cam_t, np.tile([[0.5, 0, 9]], (3, 1)))
    assert (placed.size, placed.focal) == ((128, 144), 500.0)


BAD_TURN = np.tile(np.eye(3) * 1.1, (3, 1, 1, 1))
BAD_NUMBER = np.zeros((3, 69))
BAD_NUMBER[1, 4] = np.nan
MISTAKES: list[tuple[str, dict[str, Any]]] = [
    (r"the field smpl is pickled: .*docs/body", {"smpl": np.array([{"betas": 0}])}),
    (
        r"body_pose must hold 23 axis-angles .* 3 frames: got the shape \(3, 63\)",
        {"body_pose": np.zeros((3, 63))},
    ),
    (r"body_pose must be finite: got nan at \[1, 4\]", {"body_pose": BAD_NUMBER}),
    (r"global_orient must hold 1 .*: got the shape \(2, 3\)", {"global_orient": np.zeros((2, 3))}),
    (r"rotations must be orthogonal.*at frame 0, joint 0", {"global_orient": BAD_TURN}),
    (r"betas must have the shape \(3, S\): got \(2, 10\)", {"betas": np.zeros((2, 10))}),
    (r"cam_t must have the shape \(T, 3\): got \(3,\)", {"cam_t": np.zeros(3)}),
    (r"cam_t must not be empty: got the shape \(0, 3\)", {"cam_t": np.zeros((0, 3))}),
    (r"needs the field render_res", {"size": None}),
    (r"focal must be finite and above 0: got nan", {"focal": np.array(np.nan)}),
]


@pytest.mark.parametrize(("message", "change"), MISTAKES, ids=lambda one: str(one)[:24])
def test_mistakes_name_file_and_field(
    tmp_path: Path, motion_fields: Fields, message: str, change: dict[str, Any]
):
    path = saved(tmp_path / "motion.npz", **{**motion_fields, **change})
    with pytest.raises(BodyError, match=message) as caught:
        BodyMotion.read(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and text.count(str(path)) == 1 and "\n" not in text


def test_what_a_sequence_lacks_is_said(tmp_path: Path, model_file: Path, motion_fields: Fields):
    model = read_smpl(model_file)
    motion = saved(tmp_path / "motion.npz", **motion_fields)
    with pytest.raises(BodyError, match=r"motion\.npz: SMPL parameters need a body model"):
        read_body(motion)
    wide = saved(tmp_path / "wide.npz", **{**motion_fields, "betas": np.zeros(10)})
    with pytest.raises(
        BodyError, match=r"wide\.npz: betas must be at most the model's 2 .* got 10"
    ):
        read_body(wide, model=model)
    away = saved(tmp_path / "away.npz", **{**motion_fields, "cam_t": np.full((3, 3), -4.0)})
    with pytest.raises(BodyError, match=r"away\.npz: verts \+ cam_t must lie before the camera"):
        read_body(away, model=model)
    other = saved(tmp_path / "other.npz", keypoints=np.zeros(3))
    with pytest.raises(BodyError, match=r"other\.npz: a body sequence has verts.*holds keypoints"):
        read_body(other)


def test_vertices_take_faces_and_parts_from_the_model(
    tmp_path: Path, model_file: Path, motion_fields: Fields, smpl_fields: Fields
):
    model = read_smpl(model_file)
    mesh = BodyMotion.read(saved(tmp_path / "motion.npz", **motion_fields)).mesh(model)
    hmr = {
        "verts": mesh.verts,
        "cam_t": mesh.cam_t,
        "render_res": [64, 96],
        "scaled_focal_length": 120.0,
    }
    path = saved(tmp_path / "hmr.npz", **hmr)
    read = read_body(path, model=model)
    np.testing.assert_array_equal(read.faces, smpl_fields["f"])
    np.testing.assert_array_equal(read.part, mesh.part)
    assert read.joints is not None and mesh.joints is not None
    np.testing.assert_allclose(read.joints, mesh.joints, atol=1e-5)  # each box about its joint
    few = saved(
        tmp_path / "few.npz",
        **(hmr | {"verts": mesh.verts[:, :8], "faces": mesh.faces[:12], "part": mesh.part[:8]}),
    )
    with pytest.raises(BodyError, match=r"few\.npz: verts must have the body model's 192 .* got 8"):
        read_body(few, model=model)
    with pytest.raises(BodyError, match=r"hmr\.npz: .* needs the field faces"):
        read_body(path)
    reference = BodyMotion.read(tmp_path / "motion.npz")
    with pytest.raises(BodyError, match="only SMPL parameters can be transferred"):
        read_body(path, model=model, reference=reference)
    mesh.write(tmp_path / "mesh.npz")
    np.testing.assert_array_equal(read_body(tmp_path / "mesh.npz").verts, mesh.verts)
