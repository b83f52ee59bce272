from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quickstep.conditions.body import BodyError, BodyMesh


def fields(**changes: Any) -> dict[str, Any]:
    """A tetrahedron in two frames."""
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    return {
        "verts": np.stack((corners, 2 * corners)),
        "faces": np.array([[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]]),
        "part": np.array([0, 5, 23, 1]),
        "cam_t": np.array([[0, 0, 3.0], [0, 0.5, 4.0]]),
        "focal": 100.0,
        "size": (64, 48),
        **changes,
    }


def test_a_mesh_comes_back(tmp_path: Path):
    mesh = BodyMesh(**fields(joints=np.ones((2, 24, 3)), fps=29.97))
    mesh.write(tmp_path / "body.npz")
    read = BodyMesh.read(tmp_path / "body.npz")
    assert read.joints is not None and mesh.joints is not None
    for name in ("verts", "faces", "part", "cam_t", "joints"):
        np.testing.assert_array_equal(getattr(read, name), getattr(mesh, name))
        assert getattr(read, name).dtype == getattr(mesh, name).dtype
    assert (read.focal, read.size, read.fps) == (100.0, (64, 48), 29.97)
    BodyMesh(**fields()).write(tmp_path / "bare.npz")
    bare = BodyMesh.read(tmp_path / "bare.npz")
    assert bare.joints is None and bare.fps is None and len(bare[1:]) == 1


def test_a_camera_projects_to_its_centre_and_scales_with_the_picture():
    mesh = BodyMesh(**fields())
    assert mesh.projected()[0, 0].tolist() == [32.0, 24.0]
    assert mesh.projected()[0, 1].tolist() == pytest.approx([32 + 100 / 3, 24.0])
    taller = mesh.resized((128, 200))  # twice as wide, so everything is twice as large
    assert taller.focal == 200.0
    expected = 2 * (mesh.projected() - (32, 24)) + (64, 100)
    np.testing.assert_allclose(taller.projected(), expected, rtol=1e-5)


NAN = fields()["verts"].copy()
NAN[1, 2, 0] = np.nan
MISTAKES: list[tuple[str, dict[str, Any]]] = [
    (r"verts must be finite: got nan at \[1, 2, 0\] \(1 such numbers\)", {"verts": NAN}),
    (r"verts must have the shape \(T, V, 3\): got \(4, 3\)", {"verts": np.zeros((4, 3))}),
    (r"verts must be floats: got int64", {"verts": np.zeros((2, 4, 3), dtype=np.int64)}),
    (r"verts must not be empty: got the shape \(0, 4, 3\)", {"verts": np.zeros((0, 4, 3))}),
    (r"verts must be floats: got object", {"verts": np.array([None])}),
    (r"faces must be between 0 and 3 .*4 vertices.*: got 4 at \[0, 2\]", {"faces": [[0, 1, 4]]}),
    (r"faces must be between 0 and 3 .*: got -1 at \[0, 0\]", {"faces": [[-1, 1, 2]]}),
    (r"faces must have the shape \(F, 3\): got \(1, 4\)", {"faces": [[0, 1, 2, 3]]}),
    (r"faces must be integers: got float64", {"faces": [[0.0, 1.0, 2.0]]}),
    (r"faces must not be empty", {"faces": np.zeros((0, 3), dtype=np.int64)}),
    (r"part must have the shape \(4\): got \(3,\)", {"part": [0, 1, 2]}),
    (r"part must be between 0 and 23 \(there are 24 joints\): got 24", {"part": [0, 1, 2, 24]}),
    (r"cam_t must have the shape \(2, 3\): got \(3, 3\)", {"cam_t": np.ones((3, 3))}),
    (
        r"before the camera.*farthest vertex of frame 1 is at z = -2 m",
        {"cam_t": [[0, 0, 3.0], [0, 0, -4]]},
    ),
    (r"joints must have the shape \(2, 24, 3\): got \(2, 22, 3\)", {"joints": np.ones((2, 22, 3))}),
    (r"focal must be finite and above 0: got 0.0", {"focal": 0.0}),
    (r"size must be whole pixels, 1 to 16384: got \[64, 0\]", {"size": (64, 0)}),
    (r"size must be whole pixels, 1 to 16384: got \[64, 20000\]", {"size": (64, 20000)}),
    (r"cam_t must be finite: got 1e\+300 at \[0, 0\]", {"cam_t": np.full((2, 3), 1e300)}),
    (r"fps must be finite and above 0: got -1.0", {"fps": -1.0}),
]


@pytest.mark.parametrize(("message", "change"), MISTAKES, ids=lambda one: str(one)[:24])
def test_mistakes_name_field_value_and_what_is_allowed(message: str, change: dict[str, Any]):
    change = {
        name: np.array(value) if isinstance(value, list) else value
        for name, value in change.items()
    }
    with pytest.raises(BodyError, match=message) as caught:
        BodyMesh(**fields(**change))
    assert "\n" not in str(caught.value)


def test_files_that_are_no_mesh_are_named(tmp_path: Path):
    with pytest.raises(BodyError, match=r"none\.npz: no such file"):
        BodyMesh.read(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a zip")
    with pytest.raises(BodyError, match=r"text\.npz: not a \.npz that can be read"):
        BodyMesh.read(tmp_path / "text.npz")
    np.save(tmp_path / "body.npy", np.zeros(3))
    with pytest.raises(BodyError, match=r"body\.npy: a body mesh is read from a \.npz"):
        BodyMesh.read(tmp_path / "body.npy")
    np.savez(tmp_path / "poses.npz", keypoints=np.zeros(3))
    with pytest.raises(
        BodyError, match=r"poses\.npz: a body mesh needs the field verts: .*keypoints"
    ):
        BodyMesh.read(tmp_path / "poses.npz")
    np.savez(tmp_path / "two.npz", **fields(focal=np.array([1.0, 2.0])))
    with pytest.raises(
        BodyError, match=r"two\.npz: focal must be one number: got float64 of shape"
    ):
        BodyMesh.read(tmp_path / "two.npz")
    whole = tmp_path / "whole.npz"
    BodyMesh(**fields()).write(whole)
    data = bytearray(whole.read_bytes())
    data[len(data) // 3] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(data)
    with pytest.raises(BodyError, match=r"flipped\.npz"):
        BodyMesh.read(tmp_path / "flipped.npz")


def test_a_pickle_is_never_run(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return (Path(tmp_path / "ran").write_text, ("",))

    np.savez(tmp_path / "trap.npz", allow_pickle=True, **fields(verts=np.array([Trap()])))
    with pytest.raises(BodyError, match=r"trap\.npz: the field verts is pickled: .*convert"):
        BodyMesh.read(tmp_path / "trap.npz")
    assert not (tmp_path / "ran").exists()


def test_nothing_half_written(tmp_path: Path):
    mesh = BodyMesh(**fields())
    with pytest.raises(BodyError, match="written as .npz"):
        mesh.write(tmp_path / "body.obj")
    with pytest.raises(OSError, match="cannot write"):
        mesh.write(tmp_path / "none" / "body.npz")
    assert not list(tmp_path.iterdir())
