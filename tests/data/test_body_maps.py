from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quickstep.conditions.body import BodyError, BodyMesh
from quickstep.data import body_maps
from quickstep.data.body_maps import body_pose_maps, write_body_maps
from quickstep.data.clip import MAPS
from quickstep.data.dancer import DancerSeeds, render_clip
from quickstep.data.dancer_poses import dancer_poses
from quickstep.data.image import read_image
from quickstep.data.video import read_video

FRAMES = 5


@pytest.fixture(scope="module")
def clip():
    return render_clip(DancerSeeds.of(21), num_frames=FRAMES, size=48)


@pytest.fixture(scope="module")
def mesh(clip) -> BodyMesh:
    return clip.mesh()


def test_all_maps_of_a_dancer_in_memory(clip, mesh: BodyMesh):
    maps = body_pose_maps(mesh, poses=dancer_poses(clip))
    assert set(maps) == set(MAPS)
    assert all(each.shape == (FRAMES, 48, 48, 3) for each in maps.values())
    lit = {name: np.asarray((each > 0).any(-1)) for name, each in maps.items()}
    for name in ("normal", "semantic_map"):
        np.testing.assert_array_equal(lit[name], lit["mask"])
    assert lit["dwpose"].any() and not lit["depth"][~lit["mask"]].any()
    assert (body_pose_maps(mesh)["dwpose"] > 0).any()  # from the joints
    assert "dwpose" not in body_pose_maps(replace(mesh, joints=None), with_skeleton=False)
    with pytest.raises(BodyError, match="the mesh has no joints"):
        body_pose_maps(replace(mesh, joints=None))
    with pytest.raises(BodyError, match=r"the mesh's 4 frames of \(48, 48\): got 5 of \(48, 48\)"):
        body_pose_maps(mesh[:4], poses=dancer_poses(clip))


@pytest.mark.parametrize("layout", ["videos", "pictures"])
def test_a_folder_holds_every_value(tmp_path: Path, mesh: BodyMesh, layout):
    said = []
    out = tmp_path / "maps"
    empty = write_body_maps(mesh, out, layout=layout, report=lambda *one: said.append(one))
    assert empty == 0 and said[0] == (FRAMES, FRAMES, "rendering maps")
    suffix = ".mp4" if layout == "videos" else ""
    assert {path.name for path in out.iterdir()} == {f"{name}{suffix}" for name in MAPS} | {
        "contact.png"
    }
    for name, frames in body_pose_maps(mesh).items():
        if layout == "videos":
            video = read_video(out / f"{name}.mp4")
            stored, fps = video.frames, float(video.fps)
            assert fps == mesh.fps
        else:
            files = sorted((out / name).iterdir())
            assert [path.name for path in files] == [f"{n:04d}.png" for n in range(FRAMES)]
            stored = np.stack([read_image(path) for path in files])
        np.testing.assert_array_equal(stored, frames)
    assert [path.name for path in tmp_path.iterdir()] == ["maps"]


def test_a_stopped_run_goes_on(tmp_path: Path, mesh: BodyMesh, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(body_maps, "_CHUNK_PIXELS", 48 * 48)  # a frame at a time
    out = tmp_path / "maps"

    def stop(done: int, total: int, stage: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_body_maps(mesh, out, layout="pictures", report=stop)
    assert not out.exists()
    kept = tmp_path / ".maps.partial" / "normal"
    assert len(list(kept.iterdir())) == 2
    (kept / ".0002.77-1.png").write_bytes(b"torn")
    first = (kept / "0000.png").stat().st_mtime_ns
    write_body_maps(mesh, out, layout="pictures")
    assert (out / "normal" / "0000.png").stat().st_mtime_ns == first
    assert len(list((out / "normal").iterdir())) == FRAMES
    np.testing.assert_array_equal(
        read_image(out / "depth" / "0004.png"), body_pose_maps(mesh)["depth"][4]
    )
    # what was kept of another body is not used
    with pytest.raises(KeyboardInterrupt):
        write_body_maps(mesh, tmp_path / "other", layout="pictures", report=stop)
    moved = replace(mesh, cam_t=mesh.cam_t + np.float32(0.1))
    write_body_maps(moved, tmp_path / "other", layout="pictures")
    np.testing.assert_array_equal(
        read_image(tmp_path / "other" / "normal" / "0000.png"), body_pose_maps(moved)["normal"][0]
    )


def test_nothing_is_left_after_a_mistake(tmp_path: Path, mesh: BodyMesh):
    (tmp_path / "mine").mkdir()
    with pytest.raises(BodyError, match="mine: already there"):
        write_body_maps(mesh, tmp_path / "mine")
    with pytest.raises(BodyError, match="no joints"):
        write_body_maps(replace(mesh, joints=None), tmp_path / "maps")
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_frames_without_a_body_are_counted(tmp_path: Path, mesh: BodyMesh):
    away = mesh.cam_t.copy()
    away[1:3, 0] += 40
    assert write_body_maps(replace(mesh, cam_t=away), tmp_path / "maps") == 2


def test_the_sheet_shows_the_body_over_the_footage(tmp_path: Path, mesh: BodyMesh):
    behind = dict.fromkeys(range(FRAMES), np.full((48, 48, 3), 200, np.uint8))
    write_body_maps(mesh, tmp_path / "with", behind=behind, layout="pictures")
    write_body_maps(mesh, tmp_path / "without", layout="pictures")
    tall, short = (read_image(tmp_path / name / "contact.png") for name in ("with", "without"))
    assert tall.shape[0] == short.shape[0] + 50 and (tall[-40:] == 200).any()
