import numpy as np
import pytest

from quickstep.conditions.body import (
    BodyError,
    BodyMesh,
    chosen_rasteriser,
    mesh_maps,
)
from quickstep.conditions.body.rasteriser import first_faces
from quickstep.conditions.pose_maps import SEMANTIC_COLOURS


def wall(*, part: tuple[int, int] = (0, 0), size: tuple[int, int] = (16, 16)) -> BodyMesh:
    """A wall over the left three quarters of the view, nearer on the right; two frames."""
    verts = np.array([[-1.0, -1, 2], [0.25, -1, 1], [-1, 1, 2], [0.25, 1, 1]])
    return BodyMesh(
        np.stack((verts, verts)),
        faces=np.array([[0, 1, 2], [1, 3, 2]]),
        part=np.array([part[0], part[1], part[0], part[1]]),
        cam_t=np.array([[0, 0, 0.0], [0, 0, 1.0]]),
        focal=8.0,
        size=size,
    )


def test_the_four_maps_of_a_wall():
    maps = mesh_maps(wall(part=(4, 4))).pictures()
    assert list(maps) == ["depth", "normal", "semantic_map", "mask"]
    assert all(each.shape == (2, 16, 16, 3) and each.dtype == np.uint8 for each in maps.values())
    on = maps["mask"][..., 0] == 255
    for each in maps.values():
        assert not each[~on].any()
    for frame in range(2):  # each frame by itself: white at its nearest, black at its farthest
        grey = maps["depth"][frame, :, :, 0][on[frame]]
        assert (grey.max(), grey.min()) == (255, 0)
        row = np.flatnonzero(on[frame].any(axis=1))[0]
        assert (np.diff(maps["depth"][frame, row, on[frame, row], 0].astype(int)) > 0).all()
    # its normal is (-1, 0, -1.25) / 1.6: to the left of the eye and towards it
    assert (maps["normal"][on] == (48, 128, 227)).all()
    assert (maps["semantic_map"][on] == SEMANTIC_COLOURS[5]).all()


def test_colours_of_two_parts_run_into_each_other_as_light():
    seen = mesh_maps(wall(part=(0, 23)))
    row = seen.colour[0, 8][seen.part[0, 8] > 0].astype(int)
    violet, yellow = SEMANTIC_COLOURS[[1, 24]].astype(int)
    assert (np.diff(row[:, 1]) > 0).all() and row[0, 1] > violet[1] and row[-1, 1] < yellow[1]
    # half way in light is brighter than half way in bytes
    depth = seen.depth[0, 8][seen.part[0, 8] > 0]
    share = (2 - depth) / 1
    middle = np.argmin(np.abs(share - 0.5))
    assert row[middle, 1] > (violet[1] + yellow[1]) / 2 + 20
    numbers = seen.part[0, 8][seen.part[0, 8] > 0]
    assert set(numbers) == {1, 24} and ((share > 0.5) == (numbers == 24)).all()


def test_normals_face_the_camera_however_the_mesh_is_wound():
    mesh = wall()
    other = BodyMesh(
        mesh.verts,
        faces=mesh.faces[:, ::-1].copy(),
        part=mesh.part,
        cam_t=mesh.cam_t,
        focal=mesh.focal,
        size=mesh.size,
    )
    np.testing.assert_allclose(mesh_maps(mesh).normal, mesh_maps(other).normal, atol=1e-6)
    assert (mesh_maps(mesh).normal[..., 2] <= 0).all()


def test_a_part_of_a_sequence_gives_the_same_maps():
    whole, second = mesh_maps(wall()).pictures(), mesh_maps(wall()[1:]).pictures()
    for name, frames in whole.items():
        np.testing.assert_array_equal(frames[1:], second[name])


def test_a_body_out_of_the_picture_leaves_it_black():
    mesh = wall()
    away = BodyMesh(
        mesh.verts + 50,
        faces=mesh.faces,
        part=mesh.part,
        cam_t=mesh.cam_t,
        focal=mesh.focal,
        size=(7, 5),
    )
    maps = mesh_maps(away).pictures()
    assert not any(each.any() for each in maps.values()) and maps["mask"].shape == (2, 5, 7, 3)


def test_backends_are_chosen_by_name():
    assert chosen_rasteriser() is first_faces and chosen_rasteriser("torch") is first_faces
    with pytest.raises(BodyError, match="torch, moderngl, auto: got 'vulkan'"):
        chosen_rasteriser("vulkan")


def test_without_moderngl_auto_is_torch_and_moderngl_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setitem(__import__("sys").modules, "moderngl", None)
    assert chosen_rasteriser("auto") is first_faces
    with pytest.raises(BodyError, match=r"pip install 'quickstep\[render\]'"):
        chosen_rasteriser("moderngl")
